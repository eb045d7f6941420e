//! One hub and many members: the real agent's code, all of it in this process, against a real API
//! server. `bench/hub.sh` runs it and says what it measures.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
#![allow(clippy::print_stdout, clippy::disallowed_methods)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::fs;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use slipway_agent::api::ClusterRegistrationSpec;
use slipway_agent::{hub, install, member, registration};
use support::plane::Plane;
use support::world::{CONTROLLERS, PATIENCE, token};

/// What the agents of one run need of the member's API server.
const NAMESPACE: &str = "default";

#[tokio::main]
async fn main() {
    let number = |name: &str, default: usize| {
        std::env::var(name).map_or(default, |text| text.parse().expect(name))
    };
    let (members, seconds) = (number("MEMBERS", 100), number("MEASURE", 120));
    let role = std::env::var("ROLE").unwrap_or_default();
    if role == "hub" {
        return controller().await;
    }
    support::world::log();
    let (hub, member) = tokio::join!(
        Plane::start("load-hub", Some(CONTROLLERS)),
        Plane::start("load-member", Some(CONTROLLERS)),
    );
    install::hub(&hub.admin(), "slipway-agent:load").await.expect("installing the hub");
    let mut controller = Controller::start(&hub).await;
    let spec = ClusterRegistrationSpec {
        api_endpoint: "https://api.example.com:6443".to_owned(),
        accepted: true,
        ..ClusterRegistrationSpec::default()
    };
    let began = Instant::now();
    let names: Vec<String> = (0..members).map(|number| format!("load-{number}")).collect();
    futures::stream::iter(&names)
        .for_each_concurrent(8, |name| join(&hub, &member, name, &spec))
        .await;
    let ready = began.elapsed().as_secs_f64();
    // One heartbeat of each, so that joining is over.
    tokio::time::sleep(Duration::from_secs(40)).await;
    let pids = [hub.pid("kube-apiserver"), hub.pid("etcd"), controller.pid(), std::process::id()];
    let (asked, used, began) = (requests(&hub).await, pids.map(cpu), Instant::now());
    tokio::time::sleep(Duration::from_secs(u64::try_from(seconds).expect("seconds"))).await;
    let took = began.elapsed().as_secs_f64();
    let asked = (requests(&hub).await - asked) / took;
    let used = pids.map(cpu).into_iter().zip(used).map(|(now, then)| (now - then) / took);
    print!("| {members} | {ready:.0} s | {asked:.1} |");
    for (cores, pid) in used.zip(pids) {
        print!(" {cores:.3}, {} MiB |", memory(pid));
    }
    println!();
    controller.stop();
    std::process::exit(0);
}

/// Registers one member and starts its agent.
async fn join(hub: &Plane, plane: &Plane, name: &str, spec: &ClusterRegistrationSpec) {
    registration::prepare(&hub.admin(), name, spec, &[], false).await.expect("preparing");
    let bootstrap = registration::bootstrap(&hub.admin(), name).await.expect("a credential");
    let secrets = Api::<Secret>::namespaced(plane.admin(), NAMESPACE);
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name },
        "stringData": {
            "server": hub.endpoint.server,
            "ca.crt": String::from_utf8_lossy(&hub.endpoint.ca),
            "bootstrap-token": bootstrap.token.as_str(),
        },
    });
    let params = PatchParams::apply("load").force();
    secrets.patch(name, &params, &Patch::Apply(secret)).await.expect("the Secret");
    let options = member::Options {
        namespace: NAMESPACE.to_owned(),
        secret: name.to_owned(),
        ..member::Options::new(name, name)
    };
    let client = plane.admin();
    tokio::spawn(async move { member::run(client, options).await });
    registration::ready(&hub.admin(), name, PATIENCE * 5).await.expect("ready");
}

/// The controller in a process of its own, so that it can be measured.
struct Controller(std::process::Child);

impl Controller {
    async fn start(hub: &Plane) -> Self {
        let token = token(&hub.admin(), install::HUB_NAMESPACE, "mcp-hub").await;
        let itself = std::env::current_exe().expect("this program");
        let child = std::process::Command::new(itself)
            .env("ROLE", "hub")
            .env("SERVER", &hub.endpoint.server)
            .env("CA", String::from_utf8_lossy(&hub.endpoint.ca).as_ref())
            .env("TOKEN", token)
            .stdin(std::process::Stdio::piped())
            .spawn();
        Self(child.expect("the controller"))
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    fn stop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn controller() {
    let variable = |name: &str| std::env::var(name).expect(name);
    let endpoint = slipway_agent::credential::Endpoint {
        server: variable("SERVER"),
        ca: variable("CA").into_bytes(),
    };
    let proof = slipway_agent::credential::Proof::Token(variable("TOKEN").into());
    let client = slipway_agent::credential::client(&endpoint, &proof).expect("a client");
    let options = hub::Options {
        identity: "load".to_owned(),
        namespace: install::HUB_NAMESPACE.to_owned(),
        listen: None,
        issue_limit: Duration::from_mins(1),
    };
    // It ends with whoever started it.
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
    loop {
        // As its Deployment does; a run in which this is seen says nothing.
        let ended = hub::run(client.clone(), options.clone()).await;
        println!("the controller began anew: {ended:?}");
    }
}

/// All requests that the hub's API server has answered, watches that ended among them.
async fn requests(hub: &Plane) -> f64 {
    let request = http::Request::get("/metrics").body(Vec::new()).expect("a request");
    let text = hub.admin().request_text(request).await.expect("metrics");
    let lines = text.lines().filter(|line| line.starts_with("apiserver_request_total{"));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

/// Seconds of processor time that a process has used; the kernel counts in hundredths.
fn cpu(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("stat");
    let fields = stat.rsplit(')').next().expect("fields").split_whitespace();
    let ticks: Vec<f64> = fields.skip(11).take(2).filter_map(|one| one.parse().ok()).collect();
    ticks.iter().sum::<f64>() / 100.0
}

/// Memory of a process, in MiB.
fn memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("status");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("KiB") / 1024
}
