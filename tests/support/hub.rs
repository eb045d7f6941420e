//! A hub and its members: joined, silent, back, gone.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::balancer::Balancer;
use super::kube::Kube;
use super::lab::{Lab, SLIPWAY};
use super::{KUBERNETES, eventually, figure, run, secs, shown};

/// How often members show that they live, in seconds: the least that is allowed.
const EVERY: u64 = 5;

/// A lab whose cluster is a hub.
pub struct Hub {
    lab: Lab,
    kubeconfig: PathBuf,
    /// By which it is reached; forwards as long as there is a hub.
    _balancer: Balancer,
}

impl Hub {
    pub fn of(lab: Lab, balancer: Balancer) -> Self {
        let kubeconfig = lab.state().join("kubeconfig");
        Self { lab, kubeconfig, _balancer: balancer }
    }

    pub fn kube(&self) -> Kube {
        self.lab.kube(KUBERNETES)
    }

    /// Lets a lab's inventory name this hub.
    pub fn named_by(&self, member: &Lab, region: &str) {
        let hub = self.kubeconfig.display();
        member.edit(
            "  nodes:\n",
            &format!(
                "  registration:\n    hub: {{kubeconfig: {hub}}}\n    region: {region}\n    \
                 syncInterval: {EVERY}s\n    capabilities: [ApplyManifests]\n  nodes:\n"
            ),
        );
    }

    /// `slipway hub`, with this hub's kubeconfig.
    #[track_caller]
    pub fn slipway(&self, verb: &str, more: &[&str]) -> String {
        let kubeconfig = self.kubeconfig.display().to_string();
        let args = [&["hub", verb, "--kubeconfig", &kubeconfig], more].concat();
        run(SLIPWAY, &args, "").ok(&args.join(" "))
    }

    /// What it shows of all clusters, by name.
    #[track_caller]
    pub fn clusters(&self) -> Vec<Value> {
        let shown = self.slipway("clusters", &["--output", "json"]);
        let shown: Value = serde_json::from_str(&shown).unwrap();
        shown["clusters"].as_array().unwrap().clone()
    }

    /// Shows that cluster Ready, with all its nodes, at its `version`.
    #[track_caller]
    pub fn shows_whole(&self, member: &Lab, region: &str, version: &str) {
        let nodes = member.nodes.len();
        // The first report may come before the last node was counted.
        let whole = |one: &Value| {
            one["ready"] == "True"
                && one["region"] == region
                && one["nodes"] == serde_json::json!([nodes, nodes])
                && one["version"] == format!("v{version}")
                && one["certificates"].is_string()
        };
        let name = member.name.as_str();
        eventually(&format!("the hub shows {name} whole"), secs(60), || {
            self.one(name).and_then(|one| if whole(&one) { Ok(()) } else { Err(one.to_string()) })
        });
    }

    fn one(&self, name: &str) -> Result<Value, String> {
        let all = self.clusters();
        let found = all.iter().find(|one| one["name"] == name).cloned();
        found.ok_or_else(|| format!("the hub does not show {name}: {all:?}"))
    }

    fn is(&self, name: &str, ready: &str) -> Result<(), String> {
        let one = self.one(name)?;
        if one["ready"] == ready { Ok(()) } else { Err(one.to_string()) }
    }

    /// `silence` makes the member's agent silent, `end` ends that: the hub calls it Unknown after
    /// three syncs, and Ready within one of its return.
    #[track_caller]
    pub fn notices(&self, member: &Lab, how: &str, silence: impl FnOnce(), end: impl FnOnce()) {
        let name = member.name.as_str();
        self.is(name, "True").unwrap();
        silence();
        // What was missed counts from the last sync; 30 s are for a machine that is busy.
        let limit = secs(3 * EVERY + 30);
        let (_, took) = eventually("three syncs are missed", limit, || self.is(name, "Unknown"));
        figure(&format!("{name}: {how}: Unknown after"), shown(took));
        let before = self.renewed(name).unwrap();
        end();
        eventually(&format!("{name}'s agent is back"), secs(120), || match self.renewed(name)? {
            same if same == before => Err(format!("its Lease is of {same}")),
            _ => Ok(()),
        });
        let (_, took) = eventually("it is Ready", secs(EVERY), || self.is(name, "True"));
        figure(&format!("{name}: {how}: Ready after its first sync"), shown(took));
    }

    /// When the member renewed its Lease last, as it says.
    fn renewed(&self, name: &str) -> Result<String, String> {
        let namespace = format!("mcp-cluster-{name}");
        let path = "jsonpath={.spec.renewTime}";
        self.kube().run(&["-n", &namespace, "get", "lease", "mcp-agent", "-o", path]).tried()
    }

    /// Objects that a hub sends come about in the member, and the hub says so.
    #[track_caller]
    pub fn sends_objects(&self, member: &Lab) {
        let (name, kube) = (&member.name, member.kube(KUBERNETES));
        self.kube().apply(&format!(
            "apiVersion: mcp.platform/v1\nkind: ManifestSet\n\
             metadata: {{name: baseline, namespace: mcp-cluster-{name}}}\n\
             spec:\n  deletionPolicy: Delete\n  manifests:\n  \
             - {{apiVersion: v1, kind: Namespace, metadata: {{name: from-the-hub}}}}\n"
        ));
        eventually("the set is applied", secs(60), || {
            kube.run(&["get", "namespace", "from-the-hub"]).tried()?;
            let applied = "jsonpath={.status.conditions[?(@.type==\"Applied\")].status}";
            let namespace = format!("mcp-cluster-{name}");
            let args = ["-n", &namespace, "get", "manifestset", "baseline", "-o", applied];
            match self.kube().run(&args).tried()?.as_str() {
                "True" => Ok(()),
                other => Err(other.to_owned()),
            }
        });
    }

    /// Nothing of that member is left at either side.
    #[track_caller]
    pub fn forgot(&self, member: &Lab) {
        let (name, kube) = (&member.name, member.kube(KUBERNETES));
        let wide = "namespaces,clusterroles,clusterrolebindings,serviceaccounts,leases";
        let at_hub = || {
            let left = self.kube().get(&["get", wide, "--all-namespaces", "-o", "name"]);
            let own = |line: &&str| {
                line.ends_with(&format!("-{name}")) || line.ends_with(&format!(":{name}"))
            };
            let left: Vec<&str> = left.lines().filter(own).collect();
            if left.is_empty() { Ok(()) } else { Err(format!("at the hub: {left:?}")) }
        };
        eventually("the hub forgot the member", secs(60), at_hub);
        eventually("the member forgot the hub", secs(60), || {
            let left = kube.get(&["get", wide, "--all-namespaces", "-o", "name"]);
            let left: Vec<&str> = left
                .lines()
                .filter(|line| line.contains("mcp-") || line.contains("from-the-hub"))
                .collect();
            if left.is_empty() { Ok(()) } else { Err(format!("in the member: {left:?}")) }
        });
        assert!(self.one(name).is_err());
    }
}

/// `slipway unregister` of a lab's cluster.
#[track_caller]
pub fn unregister(member: &Lab) -> String {
    let inventory = member.file("slipway.yaml").display().to_string();
    let ran = run(Path::new(SLIPWAY), &["unregister", "-i", &inventory], "");
    assert_eq!(ran.code, 0, "{}", ran.both());
    ran.stderr
}
