//! What happens before steps: a session reads the inventory, connects to every node, surveys it, and finds
//! the cluster's keys. It changes nothing, except that a host key which a person accepts on the terminal
//! is added to `known_hosts`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::bundle::{Bundle, lock::Lock};
use crate::cluster::Cluster;
use crate::diagnostic::{Error, Kind, Result};
use crate::engine::{self, Node, Plan, Planned};
use crate::event::Sink;
use crate::host::{SshHost, Transport, Trust};
use crate::hub::Hub;
use crate::inventory::{self, Inventory};
use crate::pki::{self, Pki};
use crate::probe::Probe;
use crate::resource::sha256;
use crate::secret::Secret;
use crate::state::{Announced, Basis, LastApply, Saved, State};
use crate::steps::{Context, Registered, STEPS, Token};
use crate::survey::{self, Survey};

mod holders;
mod reached;

pub use holders::one_holder;
#[cfg(test)]
pub(crate) use reached::facts;
pub use reached::{Reached, Run};

/// Where the bundle's pins are kept, beside the inventory.
const LOCK: &str = "slipway.lock";

/// The start of a run: the inventory, the nodes that were reached, and what differs.
pub struct Session {
    /// The inventory.
    pub inventory: Inventory,
    /// Connections, by node.
    pub nodes: BTreeMap<String, Node<SshHost>>,
    /// Everything that desired resources are computed from.
    pub context: Arc<Context>,
    /// What differs.
    pub plan: Plan,
    /// Workers of a living cluster that cannot be reached, and why: the others do not wait for
    /// them.
    pub unreachable: BTreeMap<String, Error>,
    /// How long the last apply took, if that is known.
    pub last_apply: Option<LastApply>,
    state: State,
}

impl Session {
    /// Reads the inventory, connects, surveys, and plans.
    ///
    /// # Errors
    /// Every reason to stop a run; nothing was changed then.
    pub async fn begin(
        path: &Path,
        run: Run,
        trust: Arc<dyn Trust>,
        events: &Arc<dyn Sink>,
    ) -> Result<Self> {
        let inventory = inventory::load(path)?;
        let version = inventory.cluster.kubernetes.to_string();
        let bundle = Bundle::open(&Bundle::locate(&version, "amd64")).map_err(|e| {
            e.hint(format!("make it with `slipway bundle build --kubernetes {version}`"))
        })?;
        let pins = inventory.dir().join(LOCK);
        if pins.exists() {
            Lock::read(&pins)?.check(bundle.manifest())?;
        }
        let token = Token::random();
        let masked: Arc<[Secret<String>]> = Arc::from([token.secret.clone()]);
        let reached = Reached::begin(inventory, run, trust, &masked, events).await?;
        survey::refuse(&reached.findings)?;
        reached.tell(events.as_ref());
        let Reached { inventory, nodes, unreachable, survey, kept, state, program, .. } = reached;
        if !survey.any_member() {
            inventory.check_new()?;
        }
        let cluster = inventory.cluster.clone();
        let pki = match kept {
            Some(pki) => pki,
            None if survey.identity.is_some() => read_back(&survey, &cluster.name, &nodes).await?,
            None => Pki::generate()?,
        };
        let bundle = Arc::new(bundle);
        let registration = register(&cluster, &bundle, &pki).await?;
        let steps = STEPS;
        let context = Context { steps, cluster, survey, pki, bundle, token, program, registration };
        let context = Arc::new(context);
        let plan = engine::plan(&context, &nodes).await?;
        let last_apply = state.last_apply();
        Ok(Self { inventory, nodes, context, plan, unreachable, last_apply, state })
    }

    /// The plan, fit to be kept in a file.
    #[must_use]
    pub fn saved(&self) -> Saved {
        saved(&self.context, &self.plan, self.inventory.text())
    }

    /// Keeps what the run needs to be repeated: keys first, before any node is changed.
    ///
    /// # Errors
    /// When the state directory cannot be written, or holds another cluster's keys.
    pub fn keep(&self) -> Result<()> {
        let pins = self.inventory.dir().join(LOCK);
        if !pins.exists() {
            Lock::of(self.context.bundle.manifest()).write(&pins)?;
        }
        self.state.save(&self.context.cluster.name, &self.context.pki)
    }

    /// Remembers how long this apply took.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn note_apply(&self, last: &LastApply) -> Result<()> {
        self.state.note_apply(last)
    }

    /// Writes the administrator's kubeconfig unless it is there; gives its path.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_kubeconfig(&self) -> Result<std::path::PathBuf> {
        let path = self.state.kubeconfig();
        if path.exists() {
            return Ok(path);
        }
        let cluster = &self.context.cluster;
        let server = format!("https://{}", cluster.endpoint.authority());
        self.state.write_kubeconfig(&self.context.pki.kubeconfig(&cluster.name, &server)?)
    }
}

/// What registers the cluster, and what its hub knows of it now.
async fn register(cluster: &Cluster, bundle: &Bundle, pki: &Pki) -> Result<Option<Registered>> {
    let Some(registration) = &cluster.registration else { return Ok(None) };
    let hub = Hub::of(cluster, registration, pki.ca_pem()).await?;
    let known = hub.look().await?;
    let agent = hub.agent(&bundle.image("slipway-agent")?.reference)?;
    Ok(Some(Registered { agent, with: hub.registration(known) }))
}

/// `plan`, fit to be kept in a file; `inventory` is the text that it was made from.
pub(crate) fn saved(context: &Context, plan: &Plan, inventory: &str) -> Saved {
    let identity = context.survey.identity.as_ref();
    let basis = Basis {
        cluster: context.cluster.name.clone(),
        identity: identity.map_or_else(|| Basis::NEW.to_owned(), ToString::to_string),
        inventory: sha256(inventory.as_bytes()),
        bundle: context.bundle.digest().to_owned(),
        slipway: env!("CARGO_PKG_VERSION").to_owned(),
        program: context.program.sha256().to_owned(),
    };
    let announced = |(node, step, one): (&str, &str, &Planned)| Announced {
        node: node.to_owned(),
        step: step.to_owned(),
        resource: one.id.clone(),
        summary: one.diff.summary.clone(),
        diff: one.diff.text.as_ref().map(|text| sha256(text.as_bytes())),
        wait_only: one.wait_only,
    };
    Saved::now(basis, plan.resources().map(announced).collect())
}

/// The cluster's keys from a living control plane, for an operator's machine that has lost its own.
/// Only from a member of the cluster that the inventory names.
pub(crate) async fn read_back<T: Transport>(
    survey: &Survey,
    cluster: &str,
    nodes: &BTreeMap<String, Node<T>>,
) -> Result<Pki> {
    let configuration = survey.configuration.as_deref().unwrap_or_default();
    let live: serde_json::Value = crate::yaml::read(configuration).unwrap_or_default();
    let found = live.get("clusterName").and_then(|name| name.as_str());
    if found != Some(cluster) {
        let identity = survey.identity.as_ref().map(ToString::to_string).unwrap_or_default();
        let what = match found {
            Some(name) => {
                let name = crate::diagnostic::printable(name);
                format!("the nodes belong to the cluster `{name}` ({identity})")
            }
            None => format!(
                "a cluster's certificates ({identity}) are on the nodes, and no API answers"
            ),
        };
        return Err(Error::new(Kind::Preflight, format!("{what}; nothing was changed")).hint(
            "to go on with that cluster, bring its `.slipway` directory back, or start its \
                   control planes; to give it up, run `kubeadm reset` on the nodes",
        ));
    }
    let leader = nodes.get(&survey.leader);
    let leader = leader.ok_or_else(|| Error::new(Kind::Bug, "the leader is no node"))?;
    let answer = leader.look(&[Probe::keys(&pki::FILES)]).await?;
    let answer: Secret<Vec<u8>> = Secret::new(answer.into_iter().next().unwrap_or_default().stdout);
    let files = key_files(answer.expose());
    Pki::from_files(|name| files.get(name).map(|bytes| bytes.expose().clone()))
        .map_err(|e| e.context(format!("keys read back from {}", survey.leader)))
}

/// Takes apart what [`Probe::keys`] prints: each file's name, size and bytes.
pub(crate) fn key_files(mut rest: &[u8]) -> BTreeMap<String, Secret<Vec<u8>>> {
    let mut files = BTreeMap::new();
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let (line, tail) = rest.split_at(end);
        let line = String::from_utf8_lossy(line);
        let Some((name, size)) = line.split_once(' ') else { break };
        let Some(size) = size.parse::<usize>().ok() else { break };
        let Some(bytes) = tail.get(1..=size) else { break };
        files.insert(name.to_owned(), Secret::new(bytes.to_vec()));
        rest = tail.get(size + 1..).unwrap_or_default();
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn key_files_are_taken_apart_by_size() {
        let files = key_files(b"ca.crt 6\na b\nc\nsa.key 0\netcd/ca.crt 1\nx");
        assert_eq!(files.get("ca.crt").unwrap().expose(), b"a b\nc\n");
        assert!(files.get("sa.key").unwrap().expose().is_empty());
        assert_eq!(files.get("etcd/ca.crt").unwrap().expose(), b"x");
    }

    proptest! {
        #[test]
        fn hostile_key_files_do_not_panic(bytes: Vec<u8>, size: usize) {
            let _ = key_files(&[format!("x {size}\n").as_bytes(), &bytes].concat());
        }
    }
}
