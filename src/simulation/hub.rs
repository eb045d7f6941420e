//! The hub that the cluster registers with, and the cluster's agent.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::answers::Answer;
use super::machine::Machine;
use super::run::Simulation;
use super::world::World;
use crate::diagnostic::{Error, Kind};
use crate::resource::{AtHub, Hub, Prerequisite, Registration, Running};
use crate::secret::Secret;
use crate::steps::Registered;

const NAME: &str = "proof";
const SERVER: &str = "https://hub.example.com:6443";
const CA: &[u8] = b"the hub's CA";

const AGENT: &str = "kind: Namespace\nmetadata: {name: mcp-agent}\n---\n\
                     kind: Deployment\nmetadata: {name: mcp-agent, namespace: mcp-agent}\n";

/// What the hub knows of the cluster.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    cluster_id: Option<String>,
    /// The credential that it issued last.
    credential: u64,
    joined: bool,
}

/// The UID of `kube-system`.
fn id(store: usize) -> String {
    format!("cluster-{store}")
}

impl World {
    /// What [`crate::probe::Probe::registration`] prints.
    pub(super) fn registration(&self, machine: &Machine) -> Answer {
        let Some(store) = self.admin(machine) else { return (1, String::new()) };
        let secret = self.stores[store].objects.agent.map(|_| {
            let words = [NAME.as_bytes(), SERVER.as_bytes(), CA].map(|word| BASE64.encode(word));
            format!("{} credential", words.join(" "))
        });
        (0, format!("{}\n{}", id(store), secret.unwrap_or_default()))
    }

    /// The agent that has the hub's last credential joins.
    pub(super) fn join_hub(&mut self, name: &str) -> bool {
        let Some(store) = self.api(self.machine(name)) else { return false };
        let objects = &self.stores[store].objects;
        let runs = objects.applied.contains_key("Deployment/mcp-agent/mcp-agent");
        let Some(known) = self.hub.as_mut().filter(|known| runs && !known.joined) else {
            return false;
        };
        let ours = known.cluster_id.as_deref() == Some(&id(store));
        known.joined = ours && objects.agent == Some(known.credential);
        known.joined
    }

    /// Whether the hub knows this very cluster, and its agent has joined.
    pub(super) fn is_registered(&self) -> Option<bool> {
        let known = self.hub.as_ref()?;
        let ours = self.endpoint().map(id);
        Some(known.joined && ours.is_some() && known.cluster_id == ours)
    }
}

/// What registers the cluster, where the world has a hub.
pub(super) fn registered(simulation: &Arc<Simulation>) -> Option<Registered> {
    let known = simulation.world().hub.clone()?;
    let known = AtHub {
        there: known.cluster_id.is_some(),
        current: known.cluster_id.is_some(),
        cluster_id: known.cluster_id,
        joined: known.joined,
        ready: known.joined,
    };
    let with = Registration {
        name: NAME.to_owned(),
        server: SERVER.to_owned(),
        ca: CA.to_vec(),
        // A first control plane that was lost makes another cluster.
        replace: true,
        known,
        hub: Arc::new(Simulated(Arc::clone(simulation))),
    };
    Some(Registered { agent: AGENT.to_owned(), with })
}

struct Simulated(Arc<Simulation>);

impl Hub for Simulated {
    fn register(&self, cluster_id: &str, new_credential: bool) -> Arc<dyn Prerequisite> {
        let register = Some((cluster_id.to_owned(), new_credential));
        Arc::new(Request { simulation: Arc::clone(&self.0), register })
    }

    fn ready(&self) -> Arc<dyn Prerequisite> {
        Arc::new(Request { simulation: Arc::clone(&self.0), register: None })
    }
}

/// A registration and whether it asks for a new credential; or the wait for the agent.
struct Request {
    simulation: Arc<Simulation>,
    register: Option<(String, bool)>,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({:?})", self.register)
    }
}

impl Prerequisite for Request {
    fn run(&self) -> Running<'_> {
        let answer = self.simulation.happens(|world| match &self.register {
            Some((cluster_id, new_credential)) => {
                let number = world.number();
                let known = world.hub.as_mut().unwrap();
                known.cluster_id = Some(cluster_id.clone());
                if *new_credential {
                    (known.credential, known.joined) = (number, false);
                }
                let event = format!("the hub registers {cluster_id}");
                (Some(event), Ok(known.credential.to_string()))
            }
            None => {
                world.still = false;
                while world.run_controller().is_some() {}
                let joined = world.hub.as_ref().is_some_and(|known| known.joined);
                let late = || Error::new(Kind::Timeout, "the agent does not join");
                (None, if joined { Ok(String::new()) } else { Err(late()) })
            }
        });
        Box::pin(async { answer.map(|text| Secret::new(text.into_bytes())) })
    }
}
