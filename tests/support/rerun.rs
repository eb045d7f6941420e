//! Running again: nothing to do, few connections, and an operator's machine that lost its state.

use std::collections::BTreeSet;
use std::fs;

use super::lab::Lab;
use super::{OUTDATED, PREFLIGHT, figure, shown, snapshot};

const INVENTORY: &str = "slipway.yaml";

/// The most commands that a run with nothing to do may start on a node.
const EXECS: usize = 3;

/// A second apply changes nothing, by one connection and few commands a node, as the nodes' own
/// sshd counts them.
pub fn changes_nothing(lab: &Lab) {
    const VERBOSE: &str = "echo 'LogLevel VERBOSE' >/etc/ssh/sshd_config.d/e2e.conf && \
        systemctl restart ssh && sleep 1";
    const CURSOR: &str =
        "journalctl --sync; journalctl -n 0 --show-cursor | sed -n 's/^-- cursor: //p'";
    let all = lab.names();
    lab.on_all(&all, VERBOSE, "");
    let cursors = lab.on_all(&all, CURSOR, "");
    let before = snapshot::ours(lab, &all);
    // The snapshot logs in, too; only what comes after counts.
    let starts = lab.on_all(&all, CURSOR, "");
    assert_ne!(cursors, starts);
    let run = lab.apply(INVENTORY);
    run.assert_nothing_to_do("a second apply");
    figure(&format!("{}: apply with nothing to do", lab.name), shown(run.took));
    let (mut most, mut least) = (0, usize::MAX);
    for (node, cursor) in all.iter().zip(&starts) {
        let (connections, execs) = logins(lab, node, cursor.trim());
        assert_eq!(connections, 1, "connections to {node} by an apply with nothing to do");
        assert!((1..=EXECS).contains(&execs), "{execs} commands on {node}");
        (most, least) = (most.max(execs), least.min(execs));
    }
    figure(&format!("{}: commands a node by it", lab.name), format!("{least} to {most}"));
    snapshot::assert_same(&before, &snapshot::ours(lab, &all), "a second apply");
    lab.on_all(&all, "rm /etc/ssh/sshd_config.d/e2e.conf && systemctl restart ssh", "");
}

/// The plan that the cluster was made by is bound to there being none; a new one says so.
pub fn an_old_plan_is_refused(lab: &Lab, old: &str) {
    let words = &["is out of date", "identity: new when planned"];
    lab.apply_plan(INVENTORY, old).assert_refused(OUTDATED, words, "the plan of a new cluster");
    let plan = lab.save_plan(INVENTORY, "nothing.json");
    assert_eq!(plan.ran.code, 0, "plan --exit-code:\n{}", plan.ran.both());
    lab.apply_plan(INVENTORY, "nothing.json").assert_nothing_to_do("a plan without changes");
}

/// Logins and sessions since `cursor`, without the one that asks.
fn logins(lab: &Lab, node: &str, cursor: &str) -> (usize, usize) {
    let ask = format!(
        "set -- $SSH_CONNECTION; echo $2; journalctl --sync; \
         journalctl -u ssh --no-pager -o cat --after-cursor='{cursor}'"
    );
    let text = lab.on(node, &ask);
    let (own, log) = text.split_once('\n').unwrap();
    let own = format!(" port {own}");
    let others: Vec<&str> = log
        .lines()
        .filter(|line| !line.contains(&format!("{own} ")) && !line.ends_with(&own))
        .collect();
    let count = |what: &str| others.iter().filter(|line| line.starts_with(what)).count();
    (count("Accepted publickey "), count("Starting session: "))
}

/// Another operator's machine: no state, only the inventory and a login.
pub fn state_is_read_back(lab: &Lab) {
    let (state, old) = (lab.file(".slipway"), lab.file("old-state"));
    fs::rename(&state, &old).unwrap();
    // A stranger's inventory does not get the keys.
    lab.variant("stranger.yaml", &format!("name: {}}}", lab.name), "name: stranger}");
    let words = &["belong to the cluster", &lab.name];
    for run in [lab.plan("stranger.yaml"), lab.apply("stranger.yaml")] {
        run.assert_refused(PREFLIGHT, words, "another cluster's inventory");
    }
    assert!(!state.exists(), "a refused run kept state");

    lab.apply(INVENTORY).assert_nothing_to_do("an apply without state");
    let old = old.join(&lab.name);
    for name in ["ca.crt", "ca.key", "front-proxy-ca.key", "etcd/ca.key", "sa.key", "sa.pub"] {
        let [was, is] =
            [&old, &lab.state()].map(|dir| fs::read(dir.join("pki").join(name)).unwrap());
        assert!(was == is, "`{name}` is another one after it was read back");
    }
    for kubeconfig in [old.join("kubeconfig"), lab.state().join("kubeconfig")] {
        let kube = super::kube::Kube::new(super::KUBERNETES, &kubeconfig);
        let names: BTreeSet<String> =
            kube.get(&["get", "nodes", "-o", "name"]).lines().map(str::to_owned).collect();
        assert_eq!(names.len(), lab.nodes.len(), "by {}", kubeconfig.display());
    }
    lab.apply(INVENTORY).assert_nothing_to_do("an apply after the keys were read back");
}
