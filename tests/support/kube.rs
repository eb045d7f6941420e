//! The cluster as its administrator sees it: the bundle's kubectl with the kubeconfig that slipway
//! wrote, from this machine.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use slipway::bundle::Bundle;

use super::lab::Lab;
use super::{Ran, eventually, run};

pub struct Kube {
    kubectl: PathBuf,
    kubeconfig: String,
    version: String,
}

impl Kube {
    pub fn new(version: &str, kubeconfig: &Path) -> Self {
        let bundle = Bundle::open(&Bundle::locate(version, "amd64"))
            .unwrap_or_else(|e| panic!("`slipway bundle build --kubernetes {version}` first: {e}"));
        Self {
            kubectl: bundle.file("kubectl").unwrap().path().to_owned(),
            kubeconfig: kubeconfig.display().to_string(),
            version: format!("v{version}"),
        }
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        self.run_with(args, "")
    }

    pub fn run_with(&self, args: &[&str], input: &str) -> Ran {
        let own = ["--kubeconfig", &self.kubeconfig, "--request-timeout=10s"];
        run(&self.kubectl, &[&own, args].concat(), input)
    }

    /// kubectl without the administrator's kubeconfig.
    pub fn run_bare(&self, args: &[&str], input: &str) -> Ran {
        run(&self.kubectl, args, input)
    }

    /// What must work.
    #[track_caller]
    pub fn get(&self, args: &[&str]) -> String {
        self.run(args).ok(&format!("kubectl {}", args.join(" ")))
    }

    /// Objects as JSON.
    pub fn objects(&self, args: &[&str]) -> Result<Vec<Value>, String> {
        let text = self.run(&[&["get"], args, &["-o", "json"]].concat()).tried()?;
        let list: Value = serde_json::from_str(&text).map_err(|e| e.to_string())?;
        Ok(list["items"].as_array().cloned().unwrap_or_default())
    }

    #[track_caller]
    pub fn apply(&self, manifest: &str) {
        self.run_with(&["apply", "-f", "-"], manifest).ok("kubectl apply");
    }

    /// All nodes Ready at the version; every pod Running with all its containers ready.
    pub fn whole(&self, nodes: usize) -> Result<(), String> {
        let found = self.objects(&["nodes"])?;
        let mut wrong = Vec::new();
        if found.len() != nodes {
            wrong.push(format!("{} nodes instead of {nodes}", found.len()));
        }
        for node in &found {
            let (name, version) = (name(node), &node["status"]["nodeInfo"]["kubeletVersion"]);
            if !condition(node, "Ready") || version.as_str() != Some(&self.version) {
                wrong.push(format!(
                    "node {name}: version {version}, {}",
                    node["status"]["conditions"]
                ));
            }
        }
        let pods = self.objects(&["pods", "--all-namespaces"])?;
        // Six a cluster, at the least: API server, etcd, DNS, the network.
        if pods.len() < 6 {
            wrong.push(format!("only {} pods", pods.len()));
        }
        for pod in pods.iter().filter(|pod| !condition(pod, "Ready")) {
            wrong.push(format!("pod {}: {}", name(pod), pod["status"]["containerStatuses"]));
        }
        for pod in pods.iter().filter(|pod| pod["status"]["phase"] != "Running") {
            wrong.push(format!("pod {}: {}", name(pod), pod["status"]["phase"]));
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
    }

    /// Every container on `node` started after `moment`. Until the API notices a power cut, it shows
    /// the node and its pods as they were before.
    pub fn started_since(&self, node: &str, moment: jiff::Timestamp) -> Result<(), String> {
        let moment = moment.strftime("%FT%TZ").to_string();
        let on = format!("--field-selector=spec.nodeName={node}");
        for pod in self.objects(&["pods", "--all-namespaces", &on])? {
            let statuses = pod["status"]["containerStatuses"].as_array().cloned();
            let statuses = statuses.unwrap_or_default();
            let started = |status: &Value| {
                status["state"]["running"]["startedAt"].as_str().is_some_and(|at| *at > *moment)
            };
            if statuses.is_empty() || !statuses.iter().all(started) {
                return Err(format!("pod {}: {statuses:?}", name(&pod)));
            }
        }
        Ok(())
    }

    /// Waits until [`Kube::whole`].
    #[track_caller]
    pub fn wait_whole(&self, lab: &Lab, limit: Duration) -> Duration {
        eventually("every node is Ready and every pod runs", limit, || self.whole(lab.nodes.len()))
            .1
    }

    /// A pod's own command.
    pub fn exec(&self, pod: &str, command: &str) -> Ran {
        self.run(&["-n", super::pods::NAMESPACE, "exec", pod, "--", "sh", "-c", command])
    }
}

pub fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

fn condition(object: &Value, kind: &str) -> bool {
    let conditions = object["status"]["conditions"].as_array();
    conditions.is_some_and(|all| all.iter().any(|c| c["type"] == kind && c["status"] == "True"))
}

/// All of etcd's members answer, healthy, and none is a learner; asked on `node`.
pub fn etcd_whole(lab: &Lab, node: &str) -> Result<(), String> {
    const ASK: &str = "set -- --endpoints=https://127.0.0.1:2379 \
        --cacert=/etc/kubernetes/pki/etcd/ca.crt \
        --cert=/etc/kubernetes/pki/etcd/healthcheck-client.crt \
        --key=/etc/kubernetes/pki/etcd/healthcheck-client.key --command-timeout=3s; \
        etcdctl $* member list -w json >&2; etcdctl $* endpoint health --cluster -w json";
    let ran = lab.try_on(node, ASK, "");
    let parse = |text: &str| serde_json::from_str::<Value>(text.trim()).unwrap_or_default();
    let last = ran.stderr.lines().find(|line| line.starts_with("{\"header")).unwrap_or_default();
    let (members, health) = (parse(last), parse(&ran.stdout));
    let (members, health) = (members["members"].as_array(), health.as_array());
    let wanted = lab.control_planes().count();
    let voters = members
        .is_some_and(|m| m.len() == wanted && m.iter().all(|member| member["isLearner"] != true));
    let healthy = health
        .is_some_and(|h| h.len() == wanted && h.iter().all(|member| member["health"] == true));
    if voters && healthy { Ok(()) } else { Err(format!("etcd on {node}:\n{}", ran.both())) }
}
