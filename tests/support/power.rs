//! Power cuts: the API answers at the virtual IP, and the cluster mends itself.

use std::time::{Duration, Instant};

use super::client::{Client, EVERY, LONGEST};
use super::kube::{Kube, etcd_whole};
use super::lab::Lab;
use super::{CONNECTION, eventually, figure, pause, secs, shown, snapshot};

/// Cuts the power of each control plane in turn; `meanwhile` runs while the last one is off.
pub fn any_control_plane_may_lose_power(lab: &Lab, kube: &Kube, meanwhile: impl Fn(&str)) {
    let vip = lab.address(100);
    let planes: Vec<_> = lab.control_planes().cloned().collect();
    let (mut worst, mut holders) = (Duration::ZERO, 0);
    for (number, victim) in planes.iter().enumerate() {
        let held = lab.on(&victim.name, &format!("ip -o addr show to {vip}; :"));
        holders += usize::from(!held.is_empty());
        let held = if held.is_empty() { "" } else { " (it held the virtual IP)" };
        let client = Client::start(lab, &vip);
        let began = Instant::now();
        eventually("the client is answered", secs(10), || {
            if client.answered_since(began) { Ok(()) } else { Err("no answer".to_owned()) }
        });
        pause(secs(1));
        let (cut, time) = (Instant::now(), jiff::Timestamp::now());
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
        eventually("the node's pods have started again", secs(240), || {
            kube.started_since(&victim.name, time)
        });
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
    assert!(holders > 0, "no power cut hit the virtual IP's holder");
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
