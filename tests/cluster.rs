//! The whole thing, end to end: machines of a lab become clusters, which work, survive power cuts,
//! and are left alone by a second run. Needs root, and the bundles of both Kubernetes versions.
//!
//! One test for each lab. Each takes the machine for itself, and removes its lab however it ends.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test may panic, prints its figures, starts commands and waits for conditions"
)]

mod support;

use support::balancer::Balancer;
use support::hub::{self, Hub};
use support::lab::Lab;
use support::secrets::Sampler;
use support::{
    CHANGES, KUBERNETES, Turn, bare, drift, figure, kube, kubelets, odd, pods, power, rerun,
    secrets, secs, shown,
};

const INVENTORY: &str = "slipway.yaml";

/// Three control planes and two workers, through everything that may happen to them.
#[test]
fn five_machines_become_a_cluster_that_survives() {
    let _turn = Turn::take();
    let lab = Lab::up("t-five", 3, 2, &[]);
    bare::nothing_changes(&lab);

    let plan = lab.save_plan(INVENTORY, "plan.json");
    assert_eq!(plan.ran.code, CHANGES, "plan --exit-code on bare nodes:\n{}", plan.ran.both());
    lab.assert_no_state();
    let sampler = Sampler::start();
    let run = lab.apply_plan(INVENTORY, "plan.json");
    assert_eq!(run.ran.code, 0, "apply:\n{}", run.ran.both());
    figure("t-five: apply, while command lines are sampled", shown(run.took));
    let (processes, rounds) = sampler.end(&lab);
    figure("t-five: samples of all command lines", rounds);
    let kube = lab.kube(KUBERNETES);
    figure("t-five: whole after apply", shown(kube.wait_whole(&lab, secs(60))));
    kube::etcd_whole(&lab, "cp-1").unwrap();

    secrets::authorities(&lab);
    secrets::no_request_is_pending(&kube);
    let probes = pods::work(&lab, &kube, KUBERNETES);
    pods::policy_is_enforced(&lab, &kube, &probes);
    kubelets::metrics(&lab, &kube);
    kubelets::nothing_is_insecure(&lab, &kube, &processes);
    rerun::changes_nothing(&lab);
    rerun::an_old_plan_is_refused(&lab, "plan.json");
    rerun::state_is_read_back(&lab);
    kubelets::a_foreign_certificate_is_refused(&lab, &kube, &probes);
    drift::is_shown_and_put_back(&lab, &kube);
    power::any_control_plane_may_lose_power(&lab, &kube, |silent| {
        power::a_silent_member_stops_the_run(&lab, silent);
    });

    // Last, so that it covers all runs.
    let canaries = secrets::canaries(&lab, &kube);
    secrets::assert_absent(&canaries, "a command line", &processes);
    for (place, text) in lab.said() {
        secrets::assert_absent(&canaries, &place, &text);
    }
    secrets::assert_hidden_on_nodes(&lab, &canaries);
}

/// What every cluster must do, however it is made.
fn becomes_a_cluster(lab: &Lab, version: &str) {
    let run = lab.apply(INVENTORY);
    assert_eq!(run.ran.code, 0, "apply on {}:\n{}", lab.name, run.ran.both());
    figure(&format!("{}: apply", lab.name), shown(run.took));
    let kube = lab.kube(version);
    figure(&format!("{}: whole after apply", lab.name), shown(kube.wait_whole(lab, secs(60))));
    pods::work(lab, &kube, version);
    kubelets::metrics(lab, &kube);
    lab.apply(INVENTORY).assert_nothing_to_do("a second apply");
}

/// An older Kubernetes, a worker with another Debian, a login that is not root's, and whatever else
/// machines may have.
#[test]
fn two_machines_become_an_older_cluster_by_sudo() {
    const OLDER: &str = slipway::bundle::VERSIONS[1];
    let _turn = Turn::take();
    let lab = Lab::up("t-two", 1, 1, &["--worker-release", "trixie", "--kubernetes", OLDER]);
    lab.edit("user: root", "user: admin");
    odd::make(&lab);
    becomes_a_cluster(&lab, OLDER);
    let kube = lab.kube(OLDER);
    odd::matters_not(&lab, &kube);
    odd::all_lose_power(&lab, &kube, INVENTORY);
    let release = lab.on("w-1", ". /etc/os-release; echo $VERSION_CODENAME");
    assert_eq!(release.lines().last(), Some("trixie"));
}

/// One machine becomes a hub. A cluster of four machines registers with it, and one of one machine,
/// whose API is behind a load balancer that slipway does not run.
#[test]
fn clusters_register_with_a_hub() {
    let _turn = Turn::take();
    let lab = Lab::up("t-hub", 1, 0, &[]);
    lab.edit("  nodes:\n", "  addons: {hub: true}\n  nodes:\n");
    becomes_a_cluster(&lab, KUBERNETES);
    let hub = Hub::of(lab);
    assert!(hub.clusters().is_empty());

    let west = Lab::up("t-west", 1, 0, &[]);
    let balancer = outside(&west);
    hub.named_by(&west, "west");
    becomes_a_cluster(&west, KUBERNETES);
    is_reached_through(&west, &balancer);
    let east = Lab::up("t-east", 3, 1, &[]);
    hub.named_by(&east, "east");
    becomes_a_cluster(&east, KUBERNETES);
    hub.shows_whole(&west, "west");
    hub.shows_whole(&east, "east");
    println!("{}\n{}", hub.slipway("clusters", &[]), hub.slipway("status", &[]));

    hub.sends_objects(&east);
    let (kube, agent) =
        (east.kube(KUBERNETES), ["-n", "mcp-agent", "scale", "deployment/mcp-agent"]);
    let scale = |replicas| drop(kube.get(&[&agent[..], &[replicas]].concat()));
    hub.notices(&east, "no agent", || scale("--replicas=0"), || scale("--replicas=1"));
    let network = |verb| drop(west.lab(verb, &["cp-1"]));
    hub.notices(&west, "network cut", || network("cut"), || network("mend"));

    assert!(hub::unregister(&west).contains("nothing remains"));
    hub.forgot(&west);
    hub.kube().get(&["delete", "clusterregistration", &east.name, "--timeout=60s"]);
    hub.forgot(&east);
    // A cluster that has left may come again.
    let again = west.apply(INVENTORY);
    assert_eq!(again.ran.code, 0, "{}", again.ran.both());
    hub.shows_whole(&west, "west");
}

/// A load balancer before the lab's only control plane, which its inventory then names.
fn outside(lab: &Lab) -> Balancer {
    let plane = format!("{}:6443", lab.nodes[0].address);
    let balancer = Balancer::start(&lab.address(1), &plane);
    let endpoint = format!("spec:\n  endpoint: {{address: \"{}\"}}\n", balancer.authority);
    lab.edit("spec:\n", &endpoint);
    balancer
}

fn is_reached_through(lab: &Lab, balancer: &Balancer) {
    let kubeconfig = std::fs::read_to_string(lab.state().join("kubeconfig")).unwrap();
    assert!(kubeconfig.contains(&balancer.authority), "{kubeconfig}");
    assert!(balancer.connections() > 0);
    let kept = lab.on("cp-1", "cat /etc/kubernetes/admin.conf");
    assert!(kept.contains(&balancer.authority), "kubeadm's own kubeconfig goes elsewhere");
}
