//! The whole thing, end to end: machines of a lab become clusters, which work, survive power cuts and
//! edits, are left alone by a second run, and register with a hub. Needs root, and the newest Kubernetes'
//! bundle.
//!
//! The labs are made once, and everything that `make test` looks at happens to them in turn. `make sweep` runs
//! the rest.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test may panic, prints its figures, starts commands and waits for conditions"
)]

mod faults;
mod support;

use faults::{Start, lab_cluster::LabCluster};
use support::balancer::Balancer;
use support::hub::{self, Hub};
use support::lab::{Lab, SLIPWAY};
use support::secrets::Sampler;
use support::{
    CHANGES, KUBERNETES, Turn, bare, change, drift, figure, kube, kubelets, maintenance, odd, part,
    pods, power, removal, rerun, run, secrets, secs, shown, upgrade,
};

const INVENTORY: &str = "slipway.yaml";

#[test]
fn machines_become_clusters_that_survive_and_register() {
    let _turn = Turn::take();
    let five = LabCluster::up("t-five");
    let processes = part("five machines", || five_machines(&five));
    let hub = part("a hub", a_hub);
    part("five machines register", || registers(&hub, &five.lab));
    let odd = Lab::up("t-two", 1, 1, &["--worker-release", "trixie"]);
    part("two odd machines", || two_odd_machines(&hub, &odd));
    part("members come and go", || come_and_go(&hub, &five.lab, &odd));
    part("secrets stay where they belong", || no_secret_is_told(&five.lab, &processes));
}

#[test]
#[ignore = "takes hours: `make sweep`"]
fn what_goes_wrong_is_mended_by_the_next_apply() {
    let _turn = Turn::take();
    faults::sweep();
}

#[test]
#[ignore = "builds a bundle: `make sweep`"]
fn every_older_kubernetes_becomes_a_cluster_and_the_newest() {
    let _turn = Turn::take();
    for version in &slipway::bundle::VERSIONS[1..] {
        let build = ["bundle", "build", "--kubernetes", version];
        run(SLIPWAY, &build, "").ok("slipway bundle build");
        let lab = Lab::up("t-older", 3, 2, &["--kubernetes", version]);
        part(version, || becomes_a_cluster(&lab, version));
        part(&format!("{version} to {KUBERNETES}"), || upgrade::becomes_the_newest(&lab, version));
    }
}

/// Three control planes and two workers, through everything that may happen to them. Gives the command
/// lines that were seen while they became a cluster.
fn five_machines(cluster: &LabCluster) -> String {
    let lab = &cluster.lab;
    part("bare nodes are left alone", || bare::nothing_changes(lab));
    faults::often(cluster, Start::Bare);

    let plan = lab.save_plan(INVENTORY, "plan.json");
    assert_eq!(plan.ran.code, CHANGES, "plan --exit-code on bare nodes:\n{}", plan.ran.both());
    lab.assert_no_state();
    let sampler = Sampler::start();
    let run = part("apply", || lab.apply_plan(INVENTORY, "plan.json"));
    assert_eq!(run.ran.code, 0, "apply:\n{}", run.ran.both());
    figure("t-five: apply, while command lines are sampled", shown(run.took));
    let (processes, rounds) = sampler.end(lab);
    figure("t-five: samples of all command lines", rounds);
    let kube = lab.kube(KUBERNETES);
    figure("t-five: whole after apply", shown(kube.wait_whole(lab, secs(60))));
    kube::etcd_whole(lab, "cp-1").unwrap();

    let probes = part("pods, metrics, verified kubelets", || {
        secrets::authorities(lab);
        secrets::no_request_is_pending(&kube);
        let probes = pods::work(lab, &kube, KUBERNETES);
        pods::policy_is_enforced(lab, &kube, &probes);
        kubelets::metrics(lab, &kube);
        kubelets::nothing_is_insecure(lab, &kube, &processes);
        probes
    });
    part("again, and without state", || {
        rerun::changes_nothing(lab);
        rerun::an_old_plan_is_refused(lab, "plan.json");
        rerun::state_is_read_back(lab);
    });
    faults::often(cluster, Start::Whole);
    part("a foreign certificate", || {
        kubelets::a_foreign_certificate_is_refused(lab, &kube, &probes);
    });
    part("drift is put back", || drift::is_shown_and_put_back(lab, &kube));
    part("settings change in place", || change::settings_change_in_place(lab, &kube));
    part("a node is drained", || maintenance::a_node_is_drained_and_takes_pods_again(lab, &kube));
    part("nodes leave and come back", || removal::nodes_leave_and_come_back(lab, &kube));
    part("power cuts", || {
        power::any_control_plane_may_lose_power(lab, &kube, |silent| {
            power::a_silent_member_stops_the_run(lab, silent);
        });
    });
    processes
}

/// After all runs, so that it covers them.
fn no_secret_is_told(lab: &Lab, processes: &str) {
    let canaries = secrets::canaries(lab, &lab.kube(KUBERNETES));
    secrets::assert_absent(&canaries, "a command line", processes);
    for (place, text) in lab.said() {
        secrets::assert_absent(&canaries, &place, &text);
    }
    secrets::assert_hidden_on_nodes(lab, &canaries);
}

/// What every cluster must do, however it is made.
fn becomes_a_cluster(lab: &Lab, version: &str) {
    let run = part("apply", || lab.apply(INVENTORY));
    assert_eq!(run.ran.code, 0, "apply on {}:\n{}", lab.name, run.ran.both());
    figure(&format!("{}: apply", lab.name), shown(run.took));
    let kube = lab.kube(version);
    figure(&format!("{}: whole after apply", lab.name), shown(kube.wait_whole(lab, secs(60))));
    pods::work(lab, &kube, version);
    kubelets::metrics(lab, &kube);
    lab.apply(INVENTORY).assert_nothing_to_do("a second apply");
}

/// One machine becomes a hub; its API is behind a load balancer that slipway does not run.
fn a_hub() -> Hub {
    let lab = Lab::up("t-hub", 1, 0, &[]);
    lab.edit("  nodes:\n", "  addons: {hub: true}\n  nodes:\n");
    let balancer = outside(&lab);
    becomes_a_cluster(&lab, KUBERNETES);
    is_reached_through(&lab, &balancer);
    let hub = Hub::of(lab, balancer);
    assert!(hub.clusters().is_empty());
    hub
}

/// A living cluster registers.
fn registers(hub: &Hub, lab: &Lab) {
    hub.named_by(lab, "east");
    let run = lab.apply(INVENTORY);
    assert_eq!(run.ran.code, 0, "{}", run.ran.both());
    lab.apply(INVENTORY).assert_nothing_to_do("an apply after the registration");
    hub.shows_whole(lab, "east", KUBERNETES);
    hub.sends_objects(lab);
    let (kube, agent) =
        (lab.kube(KUBERNETES), ["-n", "mcp-agent", "scale", "deployment/mcp-agent"]);
    let scale = |replicas| drop(kube.get(&[&agent[..], &[replicas]].concat()));
    hub.notices(lab, "no agent", || scale("--replicas=0"), || scale("--replicas=1"));
}

/// A worker with another Debian, a login that is not root's, and whatever else
/// machines may have. They register when they become a cluster.
fn two_odd_machines(hub: &Hub, lab: &Lab) {
    lab.edit("user: root", "user: admin");
    odd::make(lab);
    hub.named_by(lab, "west");
    becomes_a_cluster(lab, KUBERNETES);
    hub.shows_whole(lab, "west", KUBERNETES);
    let kube = lab.kube(KUBERNETES);
    odd::matters_not(lab, &kube);
    odd::all_lose_power(lab, &kube, INVENTORY);
    let release = lab.on("w-1", ". /etc/os-release; echo $VERSION_CODENAME");
    assert_eq!(release.lines().last(), Some("trixie"));
}

/// Members are shown, silent, unregistered by either side, and registered again.
fn come_and_go(hub: &Hub, east: &Lab, west: &Lab) {
    hub.shows_whole(east, "east", KUBERNETES);
    hub.shows_whole(west, "west", KUBERNETES);
    println!("{}\n{}", hub.slipway("clusters", &[]), hub.slipway("status", &[]));
    let network = |verb: &str| {
        for node in west.names() {
            west.lab(verb, &[node]);
        }
    };
    hub.notices(west, "network cut", || network("cut"), || network("mend"));

    assert!(hub::unregister(west).contains("nothing remains"));
    hub.forgot(west);
    hub.kube().get(&["delete", "clusterregistration", &east.name, "--timeout=60s"]);
    hub.forgot(east);
    // A cluster that has left may come again.
    let again = west.apply(INVENTORY);
    assert_eq!(again.ran.code, 0, "{}", again.ran.both());
    hub.shows_whole(west, "west", KUBERNETES);
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
