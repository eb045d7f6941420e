//! One run: a session reads the inventory, connects to every node, surveys it, finds the cluster's keys,
//! plans and, if a person agrees, applies. It knows its nodes by their [`Transport`] alone, so the same
//! code runs on real machines and in the simulation.
//!
//! It changes nothing before [`Session::apply`], except that a host key which a person accepts on the
//! terminal is added to `known_hosts`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::bundle::{Bundle, lock::Lock};
use crate::cluster::Cluster;
use crate::diagnostic::{Error, Kind, Result};
use crate::engine::{self, Node, Outcome, Permit, Plan, Planned};
use crate::event::Sink;
use crate::host::{SshHost, Transport, Trust};
use crate::hub;
use crate::inventory::Inventory;
use crate::pki::Pki;
use crate::preflight;
use crate::resource::sha256;
use crate::secret::Secret;
use crate::state::{Announced, Basis, LastApply, Saved, State};
use crate::steps::{Context, Token, is_partial};
use crate::survey::Survey;

mod connect;
mod holders;
mod keys;
mod look;
mod network;
mod purpose;
mod reached;

#[cfg(any(test, fuzzing))]
pub(crate) use keys::key_files;
pub use network::{Network, Real};
pub use purpose::Purpose;
pub use reached::{Given, Reached};

/// Where the bundle's pins are kept, beside the inventory.
const LOCK: &str = "slipway.lock";

/// A run: the inventory, the nodes that were reached, and what differs.
pub struct Session<T = SshHost> {
    /// The inventory.
    pub inventory: Inventory,
    /// Connections, by node.
    nodes: BTreeMap<String, Node<T>>,
    /// Everything that desired resources are computed from.
    pub context: Arc<Context>,
    /// What differs.
    pub plan: Arc<Plan>,
    /// Workers of a living cluster, and nodes that leave it, that cannot be reached, and why: the others
    /// do not wait for them.
    pub unreachable: BTreeMap<String, Error>,
}

impl Session {
    /// Reads what belongs to the inventory, and begins.
    ///
    /// # Errors
    /// Every reason to stop a run; nothing was changed then.
    pub async fn open(
        given: Given,
        purpose: Purpose,
        trust: Arc<dyn Trust>,
        events: &Arc<dyn Sink>,
    ) -> Result<Self> {
        let version = given.inventory.cluster.kubernetes.to_string();
        let bundle = Bundle::open(&Bundle::locate(&version, "amd64")).map_err(|e| {
            e.hint(format!("make it with `slipway bundle build --kubernetes {version}`"))
        })?;
        let pins = given.inventory.dir().join(LOCK);
        if let Some(lock) = locked(&pins, &version)? {
            lock.check(bundle.manifest())?;
        }
        Self::begin(given, Arc::new(bundle), purpose, Real { trust }, events).await
    }

    /// Keeps what the run needs to be repeated: keys first, before any node is changed. Nothing of a run at nodes
    /// that makes nothing of what the inventory means.
    ///
    /// # Errors
    /// When the state directory cannot be written, or holds another cluster's keys.
    pub fn keep(&self) -> Result<()> {
        if !self.context.cluster.maintained.is_empty() {
            return Ok(());
        }
        let pins = self.inventory.dir().join(LOCK);
        let manifest = self.context.bundle.manifest();
        if locked(&pins, &manifest.kubernetes)?.is_none() {
            Lock::of(manifest).write(&pins)?;
        }
        self.state().save(&self.context.cluster.name, &self.context.pki)
    }

    /// How long the last apply took, if that is known.
    #[must_use]
    pub fn last_apply(&self) -> Option<LastApply> {
        self.state().last_apply()
    }

    /// Remembers how long this apply took.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn note_apply(&self, last: &LastApply) -> Result<()> {
        self.state().note_apply(last)
    }

    /// Writes the administrator's kubeconfig unless it is there; gives its path.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_kubeconfig(&self) -> Result<std::path::PathBuf> {
        let path = self.state().kubeconfig();
        if path.exists() {
            return Ok(path);
        }
        let cluster = &self.context.cluster;
        let server = format!("https://{}", cluster.endpoint.authority());
        self.state().write_kubeconfig(&self.context.pki.kubeconfig(&cluster.name, &server)?)
    }

    fn state(&self) -> State {
        State::at(self.inventory.state_dir())
    }
}

impl<T: Transport + 'static> Session<T> {
    /// Reaches the nodes by `network`, surveys them, and plans.
    ///
    /// # Errors
    /// Every reason to stop a run; nothing was changed then.
    pub async fn begin<N: Network<Host = T>>(
        given: Given,
        bundle: Arc<Bundle>,
        purpose: Purpose,
        network: N,
        events: &Arc<dyn Sink>,
    ) -> Result<Self> {
        let token = Token::random();
        let masked: Arc<[Secret<String>]> = Arc::from([token.secret.clone()]);
        let network = Arc::new(network);
        let reached = Reached::begin(given, purpose, &network, &masked, events).await?;
        preflight::refuse(&reached.findings)?;
        reached.tell(events.as_ref());
        let Reached { given, nodes, unreachable, survey, .. } = reached;
        let Given { inventory, kept, program } = given;
        let cluster = inventory.cluster.clone();
        // What is done to nodes at a person's word makes nothing of what the inventory means.
        if cluster.maintained.is_empty() {
            if !survey.any_member() {
                inventory.check_new()?;
            }
            refuse_unsaid(&inventory, &survey)?;
            if is_partial(purpose.steps) {
                refuse_joins(&cluster, &survey)?;
            }
        }
        let pki = match kept {
            Some(pki) => pki,
            None if survey.identity.is_some() => {
                keys::read_back(&survey, &cluster.name, &nodes).await?
            }
            None => Pki::generate()?,
        };
        let registration = match cluster.maintained.is_empty() {
            true => network.registration(&cluster, &bundle, &pki).await?,
            false => None,
        };
        let agent = || hub::objects(&bundle.image("slipway-agent")?.reference);
        let hub = cluster.addons.hub.then(agent).transpose()?;
        let context = Arc::new(Context {
            steps: purpose.steps,
            cluster,
            survey,
            pki,
            bundle,
            token,
            program,
            hub,
            registration,
        });
        let plan = Arc::new(engine::plan(&context, &nodes).await?);
        Ok(Self { inventory, nodes, context, plan, unreachable })
    }

    /// The plan, fit to be kept in a file.
    #[must_use]
    pub fn saved(&self) -> Saved {
        let identity = self.context.survey.identity.as_ref();
        let basis = Basis {
            cluster: self.context.cluster.name.clone(),
            identity: identity.map_or_else(|| Basis::NEW.to_owned(), ToString::to_string),
            inventory: sha256(self.inventory.text().as_bytes()),
            bundle: self.context.bundle.digest().to_owned(),
            slipway: env!("CARGO_PKG_VERSION").to_owned(),
            program: self.context.program.sha256().to_owned(),
        };
        let announced = |(node, step, one): (&str, &str, &Planned)| Announced {
            node: node.to_owned(),
            step: step.to_owned(),
            resource: one.id.clone(),
            summary: one.diff.summary.clone(),
            diff: one.diff.text.as_ref().map(|text| sha256(text.as_bytes())),
            wait_only: one.wait_only,
        };
        Saved::now(basis, self.plan.resources().map(announced).collect())
    }

    /// Carries the plan out. Workers that could not be reached, and a virtual IP that not exactly one
    /// control plane holds, are among the failures, unless the run is at nodes that need neither.
    pub async fn apply(&mut self, permit: Permit, events: &Arc<dyn Sink>) -> Outcome {
        let mut outcome = if self.plan.changes() == 0 {
            Outcome::default()
        } else {
            let plan = Arc::clone(&self.plan);
            engine::apply(&self.context, plan, permit, &self.nodes, events).await
        };
        let (cluster, survey) = (&self.context.cluster, &self.context.survey);
        if !cluster.maintained.is_empty() {
            return outcome;
        }
        let well = outcome.failures.is_empty() && outcome.held_back.is_empty();
        // Where nothing was changed, the survey has just said who holds it.
        if well && (outcome.changed > 0 || preflight::disputed(cluster, survey)) {
            let held = holders::one_holder(cluster, &self.nodes).await;
            let failed = held.err().map(|error| (survey.leader.clone(), "health", error));
            outcome.failures.extend(failed);
        }
        let mut unreachable = std::mem::take(&mut self.unreachable);
        unreachable.retain(|node, _| !cluster.leaves(node));
        let unreachable = unreachable.into_iter().map(|(node, error)| (node, "connect", error));
        outcome.failures.extend(unreachable);
        outcome
    }
}

/// What is pinned for that version of Kubernetes. An upgrade leaves the pins of the version before behind.
fn locked(pins: &Path, version: &str) -> Result<Option<Lock>> {
    let lock = pins.exists().then(|| Lock::read(pins)).transpose()?;
    Ok(lock.filter(|lock| lock.kubernetes == version))
}

/// Refuses to upgrade a cluster only because this slipway's newest version is another.
fn refuse_unsaid(inventory: &Inventory, survey: &Survey) -> Result<()> {
    let meant = &inventory.cluster.kubernetes;
    let Some(now) = survey.kubernetes.as_ref().filter(|now| *now != meant) else { return Ok(()) };
    if inventory.says_version() {
        return Ok(());
    }
    let message = format!("the cluster has v{now}, and the inventory says no version");
    Err(Error::new(Kind::Preflight, message).hint(format!(
        "write `spec.kubernetes.version`: {now}; or {meant}, which this slipway takes by itself, to upgrade"
    )))
}

/// Refuses to leave steps out where a node has yet to join: what a join needs is in all of them.
fn refuse_joins(cluster: &Cluster, survey: &Survey) -> Result<()> {
    let stays = |name: &&String| !cluster.leaves(name);
    let mut names = survey.nodes.keys().filter(stays).filter(|name| !survey.is_member(name));
    let Some(first) = names.next() else { return Ok(()) };
    let message = format!("{first} is no member yet, and joining needs all steps");
    Err(Error::new(Kind::Preflight, message)
        .hint("run `slipway apply` with all steps first, or take its line out of the inventory"))
}
