//! Power cuts: the API answers at the virtual IP, and the cluster mends itself.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::kube::{Kube, etcd_whole};
use super::lab::Lab;
use super::{CONNECTION, eventually, figure, pause, secs, shown, snapshot};

/// How often a client connects.
const EVERY: Duration = Duration::from_millis(100);

/// The longest time without an answer that is still high availability.
const LONGEST: Duration = secs(5);

/// A client that asks the API again and again, each time by a new, verified TLS connection.
struct Client {
    stop: Arc<AtomicBool>,
    answers: Arc<Mutex<Vec<(Instant, bool)>>>,
    asking: JoinHandle<()>,
}

impl Client {
    fn start(lab: &Lab, address: &str) -> Self {
        let url = format!("https://{address}:6443/livez");
        let ca = lab.state().join("pki/ca.crt").display().to_string();
        let stop = Arc::new(AtomicBool::new(false));
        let answers: Arc<Mutex<Vec<(Instant, bool)>>> = Arc::default();
        let (stopping, kept) = (Arc::clone(&stop), Arc::clone(&answers));
        let asking = std::thread::spawn(move || {
            let mut next = Instant::now();
            while !stopping.load(Ordering::Relaxed) {
                let (url, ca, kept) = (url.clone(), ca.clone(), Arc::clone(&kept));
                // Beside each other: one that hangs keeps no other from asking.
                std::thread::spawn(move || {
                    let asked = Instant::now();
                    let good = answers_ok(&url, &ca);
                    kept.lock().unwrap().push((asked, good));
                });
                next += EVERY;
                pause(next.saturating_duration_since(Instant::now()));
            }
        });
        Self { stop, answers, asking }
    }

    /// Whether one that asked since `moment` was answered.
    fn answered_since(&self, moment: Instant) -> bool {
        self.answers.lock().unwrap().iter().any(|(asked, good)| *good && *asked > moment)
    }

    /// The longest time between two successful connections that were tried in this span.
    fn longest_gap(&self, from: Instant, to: Instant) -> Duration {
        let mut good: Vec<Instant> = self
            .answers
            .lock()
            .unwrap()
            .iter()
            .filter(|(asked, good)| *good && *asked >= from && *asked <= to)
            .map(|(asked, _)| *asked)
            .collect();
        good.sort();
        let ends = [&[from], good.as_slice(), &[to]].concat();
        ends.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    }

    fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.asking.join().unwrap();
    }
}

fn answers_ok(url: &str, ca: &str) -> bool {
    let asked = Command::new("curl")
        .args(["-s", "-f", "-o", "/dev/null", "--max-time", "2", "--cacert", ca, url])
        .stdin(Stdio::null())
        .status();
    asked.is_ok_and(|status| status.success())
}

/// Cuts the power of each control plane in turn; `meanwhile` runs while the last one is off.
pub fn any_control_plane_may_lose_power(lab: &Lab, kube: &Kube, meanwhile: impl Fn(&str)) {
    let vip = lab.address(100);
    let planes: Vec<_> = lab.control_planes().cloned().collect();
    let mut worst = Duration::ZERO;
    for (number, victim) in planes.iter().enumerate() {
        let held = lab.on(&victim.name, &format!("ip -o addr show to {vip}; :"));
        let held = if held.is_empty() { "" } else { " (it held the virtual IP)" };
        let client = Client::start(lab, &vip);
        let began = Instant::now();
        eventually("the client is answered", secs(10), || {
            if client.answered_since(began) { Ok(()) } else { Err("no answer".to_owned()) }
        });
        pause(secs(1));
        let cut = Instant::now();
        lab.lab("kill", &[&victim.name]);
        pause(secs(10));
        eventually("the API answers after a power cut", secs(60), || {
            let now = Instant::now();
            pause(EVERY * 3);
            if client.answered_since(now) { Ok(()) } else { Err("no answer".to_owned()) }
        });
        let gap = client.longest_gap(cut, Instant::now());
        figure(
            &format!("{}: power cut of {}{held}, longest gap", lab.name, victim.name),
            format!("{:.2} s", gap.as_secs_f64()),
        );
        worst = worst.max(gap);
        if number + 1 == planes.len() {
            meanwhile(&victim.name);
        }
        let back = Instant::now();
        lab.lab("start", &[&victim.name]);
        kube.wait_whole(lab, secs(240));
        eventually("etcd is whole", secs(60), || etcd_whole(lab, &planes[0].name));
        figure(
            &format!("{}: whole again after switching {} on", lab.name, victim.name),
            shown(back.elapsed()),
        );
        let gap = client.longest_gap(back, Instant::now());
        figure(
            &format!("{}: longest gap while {} came back", lab.name, victim.name),
            format!("{:.2} s", gap.as_secs_f64()),
        );
        client.end();
    }
    assert!(worst < LONGEST, "the API was silent for {worst:?}");
}

/// With a control plane that does not answer, nothing is begun and nothing is changed.
pub fn a_silent_member_stops_the_run(lab: &Lab, silent: &str) {
    let others: Vec<&str> = lab.names().into_iter().filter(|name| *name != silent).collect();
    let before = snapshot::ours(lab, &others);
    let words = &[silent];
    lab.apply("slipway.yaml").assert_refused(CONNECTION, words, "a control plane that is off");
    snapshot::assert_same(&before, &snapshot::ours(lab, &others), "apply with a silent member");
}
