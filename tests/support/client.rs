//! A client of the API that asks all the time.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::lab::Lab;
use super::{figure, pause, secs};

/// How often a client connects.
pub const EVERY: Duration = Duration::from_millis(100);

/// The longest time without an answer that is still high availability.
pub const LONGEST: Duration = secs(5);

/// A client that asks the API again and again, each time by a new, verified TLS connection.
pub struct Client {
    stop: Arc<AtomicBool>,
    answers: Arc<Mutex<Vec<(Instant, bool)>>>,
    asking: JoinHandle<()>,
}

impl Client {
    pub fn start(lab: &Lab, address: &str) -> Self {
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
    pub fn answered_since(&self, moment: Instant) -> bool {
        self.answers.lock().unwrap().iter().any(|(asked, good)| *good && *asked > moment)
    }

    /// The longest time between two successful connections that were tried in this span.
    pub fn longest_gap(&self, from: Instant, to: Instant) -> Duration {
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

    /// Ends it, and prints the longest gap since `from`, as the figure `what`.
    pub fn end_with_gap(self, what: &str, from: Instant) -> Duration {
        let gap = self.longest_gap(from, Instant::now());
        self.end();
        figure(what, format!("{:.2} s", gap.as_secs_f64()));
        gap
    }

    pub fn end(self) {
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
