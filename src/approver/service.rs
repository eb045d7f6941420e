//! The service: watches requests through `kubectl`, and approves those that may be.

use std::collections::HashSet;
use std::future::Future;
use std::path::PathBuf;
use std::pin::pin;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Child;
use tokio::time::{Instant, sleep, timeout_at};

use super::client::Join;
use super::objects::{Object, Objects};
use super::{Csr, Nodes, Verdict, judge, read_nodes};
use crate::diagnostic::{Error, Kind, Result, last_lines, printable};
use crate::pause::Pauses;
use crate::process::Process;

/// How many complaints are remembered, so that each is logged once.
const REMEMBERED: usize = 1024;

/// How much of what kubectl says on standard error is kept.
const MAX_STDERR: u64 = 4096;

/// How patient the service is.
#[derive(Debug, Clone)]
pub(super) struct Pace {
    /// Between two looks at the table of nodes.
    pub(super) table: Duration,
    /// Before the first attempt to watch again, doubled each time…
    pub(super) first: Duration,
    /// …up to this; also before a failed approval is tried again.
    pub(super) longest: Duration,
    /// A watch is renewed after that time: a new one begins with all requests, so whatever was
    /// missed is seen then.
    pub(super) renew: Duration,
    /// What one approval may take.
    pub(super) approval: Duration,
}

const PACE: Pace = Pace {
    table: Duration::from_secs(5),
    first: Duration::from_secs(1),
    // A join waits for its node's certificate: an API server that has just come up is found soon.
    longest: Duration::from_secs(5),
    renew: Duration::from_secs(600),
    approval: Duration::from_secs(60),
};

/// Approves requests of the nodes in a table.
pub struct Approver<L> {
    /// The table of nodes, read again when it changes.
    nodes: PathBuf,
    kubectl: PathBuf,
    kubeconfig: PathBuf,
    log: L,
    pub(super) pace: Pace,
}

/// How a watch ended.
enum End {
    /// It is time for a new one.
    Renew,
    /// By itself; why, if kubectl said so.
    Broken(String),
}

impl<L: Fn(&str)> Approver<L> {
    /// An approver that reads the table in `nodes`, and writes its lines to `log`.
    pub fn new(nodes: PathBuf, kubectl: PathBuf, kubeconfig: PathBuf, log: L) -> Self {
        Self { nodes, kubectl, kubeconfig, log, pace: PACE }
    }

    /// Works until `stop`; an API server that is down is waited for.
    ///
    /// # Errors
    /// [`Kind::Machine`] when there is no valid table at the start. Later the last valid one
    /// counts.
    pub async fn serve(&self, stop: impl Future<Output = ()>) -> Result<()> {
        let mut nodes = read_nodes(&self.nodes)?;
        let mut stop = pin!(stop);
        loop {
            self.say(&format!("approving certificates of {} nodes", nodes.len()));
            // A watch that is given up kills its kubectl.
            tokio::select! {
                () = &mut stop => return Ok(()),
                newer = self.changed(&nodes) => nodes = newer,
                never = self.watch_for_ever(&nodes) => match never {},
            }
        }
    }

    fn say(&self, line: &str) {
        (self.log)(&printable(line));
    }

    /// Waits for another table than `nodes`.
    async fn changed(&self, nodes: &Nodes) -> Nodes {
        let mut complained = String::new();
        loop {
            sleep(self.pace.table).await;
            match read_nodes(&self.nodes) {
                Ok(read) if read == *nodes => complained.clear(),
                Ok(read) => return read,
                Err(e) if e.message() == complained => {}
                Err(e) => {
                    self.say(&format!("keeping the table of nodes as it was: {}", e.message()));
                    e.message().clone_into(&mut complained);
                }
            }
        }
    }

    async fn watch_for_ever(&self, nodes: &Nodes) -> std::convert::Infallible {
        let mut complaints = Complaints::default();
        let pauses = || Pauses::new(self.pace.first, self.pace.longest);
        let mut pause = pauses();
        // Before `kubeadm init` or `join` there is nothing to watch.
        while !self.kubeconfig.exists() {
            sleep(self.pace.first).await;
        }
        loop {
            let start = Instant::now();
            let end = self.watch(nodes, &mut complaints).await;
            let why = match end {
                Ok(End::Renew) => continue,
                Ok(End::Broken(why)) => why,
                Err(e) => e.message().to_owned(),
            };
            if start.elapsed() > self.pace.longest {
                pause = pauses();
            }
            self.say(&format!("the watch ended, next in {} s: {why}", pause.next().as_secs()));
            pause.wait().await;
        }
    }

    /// One watch: first all requests there are, then each that is new or changes.
    async fn watch(&self, nodes: &Nodes, complaints: &mut Complaints) -> Result<End> {
        let mut child = self.start_watch()?;
        let mut stdout = child.stdout.take().ok_or_else(no_pipe)?;
        let stderr = tokio::spawn(beginning(child.stderr.take().ok_or_else(no_pipe)?));
        let mut objects = Objects::default();
        let mut chunk = [0; 8192];
        let mut renew = Instant::now() + self.pace.renew;
        loop {
            let length = match timeout_at(renew, stdout.read(&mut chunk)).await {
                Err(_) => return Ok(End::Renew),
                Ok(Err(_) | Ok(0)) => break,
                Ok(Ok(length)) => length,
            };
            for object in objects.push(chunk.get(..length).unwrap_or_default()) {
                let settled = self.consider(&object, nodes, complaints).await;
                if let Err(e) = &settled {
                    self.say(&e.to_string().replace("\n ", ";"));
                }
                if !settled.unwrap_or(false) {
                    renew = renew.min(Instant::now() + self.pace.longest);
                }
            }
        }
        // Its output has ended, and so has kubectl, or there is nothing more to wait for.
        let _ = child.start_kill();
        let _ = child.wait().await;
        let said = last_lines(&stderr.await.unwrap_or_default(), 1);
        Ok(End::Broken(if said.is_empty() { "by itself".to_owned() } else { said }))
    }

    fn start_watch(&self) -> Result<Child> {
        self.kubectl()
            .args(["get", "certificatesigningrequests.v1.certificates.k8s.io", "--watch"])
            .args(["--output", "json"])
            .into_inner()
            .stdin(Stdio::null())
            .spawn()
            .map_err(|e| {
                let kubectl = self.kubectl.display();
                Error::new(Kind::Machine, format!("cannot run `{kubectl}`: {e}"))
            })
    }

    /// Answers a request; `false`: it may be answered otherwise soon.
    async fn consider(
        &self,
        object: &Object,
        nodes: &Nodes,
        complaints: &mut Complaints,
    ) -> Result<bool> {
        let request: Csr = match object {
            Object::TooLarge => {
                complaints.once("a request is too large to be a kubelet's", |line| self.say(line));
                return Ok(true);
            }
            Object::Text(text) => match serde_json::from_slice(text) {
                Ok(request) => request,
                Err(e) => {
                    let line = format!("kubectl printed what is no request: {e}");
                    complaints.once(&line, |line| self.say(line));
                    return Ok(true);
                }
            },
        };
        let name = &request.metadata.name;
        let of = &request.spec.username;
        let (refused, settled) = match judge(&request, nodes) {
            Verdict::Ignore(_) => return Ok(true),
            Verdict::Refuse(why) => (why, true),
            Verdict::Approve => {
                self.approve(name).await?;
                self.say(&format!("approved: {name} of {of}"));
                return Ok(true);
            }
            Verdict::IfJoining(join) => match self.joins(&join).await? {
                Ok(()) => {
                    self.approve(name).await?;
                    self.say(&format!("approved: {name} of {of}, for {}", join.node));
                    return Ok(true);
                }
                Err(refused) => refused,
            },
        };
        complaints.once(&format!("not approved: {name}: {refused}"), |line| self.say(line));
        Ok(settled)
    }

    /// Whether that node is joining now, as the cluster has it; or why not, and whether that stays so.
    async fn joins(&self, join: &Join) -> Result<Result<(), (String, bool)>> {
        let secret = format!("bootstrap-token-{}", join.token);
        let about_token = ["get", "--namespace", "kube-system", "secret", "--ignore-not-found"];
        let description = ["--output", "jsonpath={.data.description}", "--", &secret];
        let description = self.ask(&[&about_token[..], &description].concat()).await?;
        if let Err(why) = join.is_expected(&description) {
            return Ok(Err((why, true)));
        }
        // A kubelet that was just ended is believed to live for 40 s.
        let ready = "jsonpath={.status.conditions[?(@.type==\"Ready\")].status}";
        let about_node = ["get", "node", "--ignore-not-found", "--output", ready, "--", &join.node];
        Ok(join.is_free(&self.ask(&about_node).await?).map_err(|why| (why, false)))
    }

    async fn ask(&self, words: &[&str]) -> Result<String> {
        let asked = self.kubectl().args(words).run();
        match timeout_at(Instant::now() + self.pace.approval, asked).await {
            Ok(done) => done.map(|output| output.text()),
            Err(_) => Err(Error::new(Kind::Timeout, "the API server took too long to answer")),
        }
    }

    /// Approves a request by its name. That another control plane did so before is success to
    /// kubectl. Only who may delete requests could put another in its place meanwhile, which a
    /// node may not.
    async fn approve(&self, name: &str) -> Result<()> {
        let approval = self.kubectl().args(["certificate", "approve", "--", name]).run();
        match timeout_at(Instant::now() + self.pace.approval, approval).await {
            Ok(done) => done.map(|_| ()),
            Err(_) => Err(Error::new(Kind::Timeout, format!("approving {name} took too long"))),
        }
    }

    fn kubectl(&self) -> Process {
        Process::at(&self.kubectl).arg("--kubeconfig").arg(&self.kubeconfig)
    }
}

/// Lines that were logged, as hashes: a request comes again with each new watch.
#[derive(Default)]
struct Complaints(HashSet<u64>);

impl Complaints {
    fn once(&mut self, line: &str, say: impl FnOnce(&str)) {
        use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
        if self.0.len() >= REMEMBERED {
            self.0.clear();
        }
        if self.0.insert(BuildHasherDefault::<DefaultHasher>::default().hash_one(line)) {
            say(line);
        }
    }
}

/// The beginning of what is read; all is read, so that the writer need not wait.
async fn beginning(mut from: impl AsyncRead + Unpin) -> String {
    let mut bytes = Vec::new();
    let _ = (&mut from).take(MAX_STDERR).read_to_end(&mut bytes).await;
    let _ = tokio::io::copy(&mut from, &mut tokio::io::sink()).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

fn no_pipe() -> Error {
    Error::new(Kind::Bug, "kubectl was started without pipes")
}
