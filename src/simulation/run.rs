//! Runs: simulated machines behind a [`Transport`], as sessions reach them.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use super::commands::effects_of;
use super::effects::Effect;
use super::hub;
use super::kubeadm::Went;
use super::probes::{self, ProbeKind};
use super::stage::stage;
use super::survey::ca;
use super::unmodelled;
use super::world::World;
use crate::bundle::Bundle;
use crate::cluster::Cluster;
use crate::command::{Cmd, Input, Output};
use crate::diagnostic::{Error, Kind, Result};
use crate::engine::{self, Outcome, Plan};
use crate::event::{Event, Sink};
use crate::host::{Hold, Transport};
use crate::pki::Pki;
use crate::session::{Given, Network, Purpose, Session};
use crate::steps::Registered;

/// Longer than any run takes that comes to an end, on a clock that jumps to what is waited for next.
const LIMIT: Duration = Duration::from_secs(4 * 3600);

/// kubeadm looks twice a second, for five minutes (`cmd/kubeadm/app/constants/constants.go`).
const POLL: Duration = Duration::from_millis(500);
const POLLS: usize = 600;

/// The machines that runs work on, their history, and the seed of their pauses.
pub(super) struct Simulation {
    world: Mutex<World>,
    /// What happened and the world after it, if that is kept.
    history: Mutex<Option<Vec<Moment>>>,
    seed: u64,
    pauses: AtomicU64,
}

/// An event, and the world after it.
#[derive(Clone)]
pub(super) struct Moment {
    pub(super) event: String,
    pub(super) world: World,
}

/// One simulated machine, as a run reaches it.
pub(super) struct Host {
    name: String,
    /// Whether this session has surveyed it.
    surveyed: AtomicBool,
    simulation: Arc<Simulation>,
}

/// A node, a step, a resource.
pub(super) type Place = (String, &'static str, String);

/// A run that came to its end.
#[derive(Debug)]
pub(super) struct Run {
    /// What the plan said, and whether it is only waited for.
    pub(super) planned: BTreeMap<Place, bool>,
    /// What was changed by a command; not what was only waited for.
    pub(super) changed: BTreeSet<Place>,
    pub(super) outcome: Outcome,
    /// How many of etcd's members may fail at the worst moment, by the plan.
    pub(super) may_fail: Option<usize>,
    /// How many moments of the history had passed when it was planned: what an earlier run began comes to its
    /// end before.
    pub(super) waited: usize,
}

#[derive(Default)]
struct Told(Mutex<Vec<Event>>);

impl Sink for Told {
    fn take(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

/// Runs `future` to its end, or gives up after [`LIMIT`].
pub(super) fn in_runtime<T>(future: impl Future<Output = T>) -> Option<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async { tokio::time::timeout(LIMIT, future).await }).ok()
}

impl Simulation {
    pub(super) fn new(world: World, seed: u64) -> Arc<Self> {
        let (world, history) = (Mutex::new(world), Mutex::new(None));
        Arc::new(Self { world, history, seed, pauses: AtomicU64::new(0) })
    }

    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// Keeps every moment from now on, this one first.
    pub(super) fn keep_history(&self) {
        let world = self.world().clone();
        let start = Moment { event: "the start".to_owned(), world };
        *self.history.lock().unwrap() = Some(vec![start]);
    }

    pub(super) fn history(&self) -> Vec<Moment> {
        self.history.lock().unwrap().take().unwrap_or_default()
    }

    /// Carries out `act`, then lets the controllers work until they have nothing left to do.
    pub(super) fn happens<R>(&self, act: impl FnOnce(&mut World) -> (Option<String>, R)) -> R {
        let mut world = self.world();
        let (event, result) = act(&mut world);
        let mut next = event;
        while let Some(event) = next {
            world.check(&event);
            if let Some(history) = self.history.lock().unwrap().as_mut() {
                history.push(Moment { event, world: world.clone() });
            }
            next = if world.still { None } else { world.run_controller() };
        }
        result
    }

    /// Lets others go first, now and then.
    async fn dawdle(&self) {
        let mut hasher = DefaultHasher::new();
        (self.seed, self.pauses.fetch_add(1, Ordering::Relaxed)).hash(&mut hasher);
        for _ in 0..hasher.finish() % 4 {
            tokio::task::yield_now().await;
        }
    }

    /// One run from its survey to its end. `kept` are the keys, where the operator's machine has
    /// them.
    pub(super) fn run(self: &Arc<Self>, kept: Option<&Pki>) -> Result<Run> {
        let run = async {
            let session = self.plan(kept).await?;
            let waited = self.history.lock().unwrap().as_ref().map_or(0, Vec::len);
            Ok(Run { waited, ..apply(session).await })
        };
        in_runtime(run).unwrap_or_else(|| {
            let left = in_runtime(self.plan(kept)).unwrap().map(|session| planned(&session.plan));
            panic!("no end in sight; left: {left:?}")
        })
    }

    /// A session up to its plan.
    pub(super) async fn plan(self: &Arc<Self>, kept: Option<&Pki>) -> Result<Session<Host>> {
        let (inventory, purpose, new) = {
            let world = self.world();
            let mut inventory = (*world.file).clone();
            inventory.cluster = (*world.meant).clone();
            let apply = if world.leaving.is_empty() { Purpose::APPLY } else { Purpose::REMOVE };
            inventory.cluster.take_out(&world.leaving, !world.dark.is_empty());
            let (purpose, names) = world.maintained.clone().unwrap_or((apply, Vec::new()));
            inventory.cluster.maintained = names;
            (inventory, purpose, world.machines.values().all(|machine| ca(machine).is_none()))
        };
        // Keys made for a new cluster would be others each time, and no two clusters the same.
        let kept = kept.or(new.then_some(&stage().pki)).cloned();
        let given = Given { inventory, kept, program: stage().program.clone() };
        let events: Arc<dyn Sink> = Arc::new(Told::default());
        let bundle = Bundle::sample_of(&given.inventory.cluster.kubernetes.to_string());
        let network = Simulated(Arc::clone(self));
        Session::begin(given, bundle, purpose, network, &events).await
    }
}

/// What a plan says, and whether it is only waited for.
pub(super) fn planned(plan: &Plan) -> BTreeMap<Place, bool> {
    let place = |(node, step, one): (&str, &'static str, &engine::Planned)| {
        ((node.to_owned(), step, one.id.clone()), one.wait_only)
    };
    plan.resources().map(place).collect()
}

/// The rest of a session, once somebody has agreed to its plan.
pub(super) async fn apply(mut session: Session<Host>) -> Run {
    let planned = planned(&session.plan);
    let told = Arc::new(Told::default());
    let events: Arc<dyn Sink> = told.clone();
    let permit = session.plan.confirm(|_| true).unwrap();
    let may_fail = session.plan.radius().etcd.map(|etcd| etcd.may_fail);
    let outcome = session.apply(permit, &events).await;
    let changing = |event: &Event| match event {
        Event::Changing { node, step, resource, .. } => {
            Some((node.clone(), *step, resource.clone()))
        }
        _ => None,
    };
    let mut changed: BTreeSet<Place> = told.0.lock().unwrap().iter().filter_map(changing).collect();
    changed.retain(|place| planned.get(place) != Some(&true));
    Run { planned, changed, outcome, may_fail, waited: 0 }
}

/// The simulated machines, as a session reaches them.
struct Simulated(Arc<Simulation>);

impl Network for Simulated {
    type Host = Host;

    async fn connect(&self, node: &crate::cluster::Node) -> Result<Host> {
        let world = self.0.world();
        let machine = world.at(&node.ssh.host);
        if world.dark.contains(&machine.name) {
            let message = format!("{} does not answer", machine.name);
            return Err(Error::new(Kind::Connection, message).passing());
        }
        let (name, surveyed) = (machine.name.clone(), AtomicBool::default());
        Ok(Host { name, surveyed, simulation: Arc::clone(&self.0) })
    }

    async fn registration(&self, _: &Cluster, _: &Bundle, _: &Pki) -> Result<Option<Registered>> {
        Ok(hub::registered(&self.0))
    }
}

impl Run {
    /// What the plan said that it changes.
    pub(super) fn announced(&self) -> BTreeSet<Place> {
        self.planned
            .iter()
            .filter(|(_, wait_only)| !**wait_only)
            .map(|(place, _)| place.clone())
            .collect()
    }

    /// What was changed and not announced.
    pub(super) fn unannounced(&self) -> Vec<&Place> {
        self.changed.iter().filter(|place| !self.planned.contains_key(*place)).collect()
    }
}

impl Transport for Host {
    async fn run(&self, cmd: &Cmd) -> Result<Output> {
        self.simulation.dawdle().await;
        if let (["sh", "-s"], Input::Bytes(script)) =
            (cmd.words().iter().map(String::as_str).collect::<Vec<_>>().as_slice(), cmd.input())
        {
            return Ok(self.look(std::str::from_utf8(script).unwrap()));
        }
        {
            let mut world = self.simulation.world();
            world.changes += 1;
            world.still = false;
        }
        for effect in effects_of(cmd) {
            self.simulation.dawdle().await;
            if let Err(why) = self.carry_out(&effect).await {
                let stderr = format!("{why}\n").into_bytes();
                return Ok(Output { code: 1, stderr, ..Output::default() });
            }
        }
        Ok(Output::default())
    }

    async fn hold(&self, cmd: &Cmd, _: Duration) -> Result<Result<Hold, Output>> {
        if !cmd.words()[2].contains("/run/slipway/lease") {
            unmodelled("command that stays", "add it to `hold` in src/simulation/run.rs", cmd);
        }
        Ok(Ok(Hold::default()))
    }

    async fn reconnect(&self) -> Result<()> {
        Ok(())
    }
}

impl Host {
    async fn carry_out(&self, effect: &Effect) -> Result<(), String> {
        self.simulation.happens(|world| {
            let result = world.carry_out(&self.name, effect);
            (Some(format!("{} does {effect:?}", self.name)), result)
        })?;
        if self.simulation.world().machine(&self.name).kubeadm.is_none()
            || !matches!(effect, Effect::Kubeadm { .. })
        {
            return Ok(());
        }
        loop {
            self.simulation.dawdle().await;
            match self.kubeadm(POLLS) {
                Went::On(_) => {}
                Went::NotYet => tokio::time::sleep(POLL).await,
                Went::Ended(result) => return result,
            }
        }
    }

    fn kubeadm(&self, polls: usize) -> Went {
        self.simulation.happens(|world| {
            let went = world.kubeadm(&self.name, polls);
            let event = match &went {
                Went::On(phase) => Some(format!("{} goes through {phase}", self.name)),
                Went::Ended(result) => Some(format!("{} ends kubeadm: {result:?}", self.name)),
                Went::NotYet => None,
            };
            (event, went)
        })
    }

    fn look(&self, script: &str) -> Output {
        let (probes, mark) = probes::read(script);
        let survey = probes.iter().any(|probe| probe.kind == ProbeKind::Survey);
        if survey && self.surveyed.swap(true, Ordering::Relaxed) {
            // Who surveys once more has waited.
            self.simulation.happens(|world| {
                world.still = false;
                (world.run_controller(), ())
            });
        }
        let mut stdout = format!("\n{mark}\n");
        for probe in &probes {
            let (code, text) = self.simulation.world().answer(&self.name, probe);
            stdout.push_str(&format!("{text}\n{mark} {code}\n"));
        }
        // Nobody looks while the own run's kubeadm works: it is an earlier run's, and goes on.
        while self.simulation.world().machine(&self.name).kubeadm.is_some() {
            if matches!(self.kubeadm(3), Went::NotYet) {
                break;
            }
        }
        Output { stdout: stdout.into_bytes(), ..Output::default() }
    }
}
