//! The one place with effects: looks at nodes, compares, and changes what differs.
//!
//! Planning and applying look and compare by the same code; only applying goes on to change. Every
//! function that changes a node takes a [`Permit`], which only a confirmed plan gives, so a change while
//! planning does not compile.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::distr::{Alphanumeric, SampleString as _};

use crate::command::{Cmd, Input, Output};
use crate::diagnostic::{Error, Kind, Result, last_lines};
use crate::host::{Hold, Transport};
use crate::probe::{self, Probe};
use crate::resource::{Change, Resource};
use crate::secret::Secret;

#[cfg(test)]
mod bench;
mod differing;
#[cfg(test)]
mod fake;
mod lease;
mod plan;
mod radius;
mod reconcile;
mod retry;
#[cfg(test)]
mod tests;
mod walk;

pub use lease::take_leases;
pub use plan::{NodePlan, Permit, Plan, Planned, StepPlan, Voters, plan};
pub use radius::{Etcd, Radius};
pub use reconcile::reconcile;
pub use walk::{Outcome, apply};

/// What commands print when they fail for a reason that may pass: kubectl without an API server (words of
/// Go's `net` and `net/http`), with one that is busy (`NewGenericServerResponse` in apimachinery's
/// `pkg/api/errors`) or has no etcd; apt while another has its lock.
const PASSING: &[&str] = &[
    "connection refused",
    "connection reset",
    "no route to host",
    "i/o timeout",
    "TLS handshake timeout",
    // An API server that begins or ends closes connections without a word.
    ": EOF",
    "unexpected EOF",
    "http2: client connection lost",
    "the server has received too many requests",
    "the server was unable to return a response in the time allotted",
    "the server is currently unable to handle the request",
    "etcdserver: leader changed",
    "etcdserver: no leader",
    "etcdserver: request timed out",
    "Could not get lock",
];

/// Whether a command that failed with this output may succeed a little later.
fn passes(said: &str) -> bool {
    PASSING.iter().any(|sign| said.contains(sign))
}

/// What to do about a command that failed on `node` with this output.
fn remedy(said: &str, node: &str) -> String {
    if said.contains("dpkg was interrupted") {
        return format!("on {node}, as root: dpkg --configure -a; then run the same command again");
    }
    "fix the cause, then run the same command again: what is done is not repeated".to_owned()
}

/// A node that can be reached.
pub struct Node<T> {
    name: String,
    transport: Arc<T>,
    masked: Arc<[Secret<String>]>,
    lease: Arc<Mutex<Option<Hold>>>,
    boot: Arc<Mutex<Option<String>>>,
}

impl<T> Clone for Node<T> {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            transport: Arc::clone(&self.transport),
            masked: Arc::clone(&self.masked),
            lease: Arc::clone(&self.lease),
            boot: Arc::clone(&self.boot),
        }
    }
}

impl<T: Transport> Node<T> {
    /// The node `name`, reached by `transport`. Whatever it prints, `masked` is not shown.
    pub fn new(name: &str, transport: Arc<T>, masked: Arc<[Secret<String>]>) -> Self {
        Self {
            name: name.to_owned(),
            transport,
            masked,
            lease: Arc::default(),
            boot: Arc::default(),
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs all `probes` with one command; equal probes run once.
    ///
    /// # Errors
    /// When the connection fails, or not every answer came back.
    pub async fn look(&self, probes: &[Probe]) -> Result<Vec<Output>> {
        let mut asked: Vec<Probe> = Vec::new();
        let mut places = Vec::new();
        for probe in probes {
            let known = asked.iter().position(|other| other == probe);
            places.push(known.unwrap_or(asked.len()));
            if known.is_none() {
                asked.push(probe.clone());
            }
        }
        let answers = self.ask(&asked).await?;
        Ok(places.into_iter().filter_map(|place| answers.get(place).cloned()).collect())
    }

    async fn ask(&self, probes: &[Probe]) -> Result<Vec<Output>> {
        /// A look may ask an API server that has just been started, or one that is gone.
        const TIMEOUT: Duration = Duration::from_secs(180);
        if probes.is_empty() {
            return Ok(Vec::new());
        }
        let nonce = Alphanumeric.sample_string(&mut rand::rng(), 24);
        let cmd = Cmd::script(probe::script(probes, &nonce)).within(TIMEOUT);
        let began = std::time::Instant::now();
        let output = self.transport.run(&cmd).await.map_err(|e| e.context(&self.name))?;
        let (count, elapsed) = (probes.len(), began.elapsed());
        tracing::debug!(node = %self.name, probes = count, code = output.code, ?elapsed, "look");
        probe::frames(&output.stdout, &nonce, probes.len())
            // Not what it printed: the answers may hold keys.
            .map_err(|e| {
                let said = String::from_utf8_lossy(&output.stderr);
                e.context(&self.name).note(last_lines(&said, 5))
            })
    }

    /// Looks at all `wants` with one command.
    ///
    /// # Errors
    /// As [`Node::look`].
    pub async fn look_at(&self, wants: &[&dyn Resource]) -> Result<Vec<Output>> {
        self.look(&wants.iter().map(|want| want.probe()).collect::<Vec<_>>()).await
    }

    /// Runs a command that changes the node.
    ///
    /// # Errors
    /// When the connection fails or the command's exit code is not 0.
    pub async fn change(&self, change: &Change, _permit: &Permit) -> Result<()> {
        tracing::info!(node = %self.name, what = %change.what, command = %change.cmd, "change");
        let cannot = || format!("cannot {} on {}", change.what, self.name);
        if self.lost_lease() {
            let lost = "the lease was lost; another run may hold the node now";
            return Err(Error::new(Kind::Connection, format!("{}: {lost}", cannot())).passing());
        }
        let began = std::time::Instant::now();
        let mut cmd = change.cmd.clone();
        if let Some(prerequisite) = &change.prerequisite {
            cmd = cmd
                .stdin(Input::Secret(prerequisite.run().await.map_err(|e| e.context(cannot()))?));
        }
        let result = self.transport.run(&cmd).await;
        let code = result.as_ref().map(|output| output.code).ok();
        tracing::info!(node = %self.name, what = %change.what, code, elapsed = ?began.elapsed(), "changed");
        let output = result.map_err(|e| e.context(cannot()))?;
        if output.ok() {
            return Ok(());
        }
        let said = last_lines(&self.shown(&output), 15);
        let error = Error::new(Kind::Command, format!("{}: exit code {}", cannot(), output.code))
            .note(format!("command: {}", change.cmd))
            .note(&said)
            .hint(remedy(&said, &self.name));
        Err(if change.repeatable && passes(&said) { error.passing() } else { error })
    }

    fn shown(&self, output: &Output) -> String {
        let both = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
        let mut text = String::from_utf8_lossy(&both).into_owned();
        for secret in self.masked.iter() {
            text = text.replace(secret.expose(), "***");
        }
        text
    }
}

#[cfg(test)]
mod look {
    use super::*;

    /// A probe that is asked twice is in the script once, and both get its answer.
    #[tokio::test]
    async fn what_is_asked_twice_is_answered_once() {
        let world = fake::World::new(1);
        world.state().there.insert(("cp-1".to_owned(), "a".to_owned()));
        let host = fake::FakeHost { name: "cp-1".to_owned(), world: Arc::clone(&world) };
        let node = Node::new("cp-1", Arc::new(host), Arc::new([]));
        let (a, b) = (Probe::exist(&["a"]), Probe::exist(&["b"]));
        let answers = node.look(&[a.clone(), b, a.clone(), a]).await.unwrap();
        let texts: Vec<String> = answers.iter().map(|seen| seen.text().trim().to_owned()).collect();
        assert_eq!(texts, ["a", "", "a", "a"]);
    }
}
