//! A whole cluster in memory to run the engine on, and steps that have every gate and pace of the
//! real ones.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::fake::{Entry, FakeHost, Made, Things, World};
use super::{Node, Outcome, Plan, Planned, apply, plan};
use crate::cluster::Role;
use crate::diagnostic::Result;
use crate::event::{Event, Sink};
use crate::resource::{Resource, boxed};
use crate::secret::Secret;
use crate::steps::{Context, Desired, Gate, Pace, Step};

pub(super) const NODES: &[&str] = &["cp-1", "cp-2", "cp-3", "w-1", "w-2"];

pub(super) const fn step(
    name: &'static str,
    after: &'static [Gate],
    pace: Pace,
    desired: Desired,
) -> Step {
    Step { name, title: "", after, pace, desired }
}

pub(super) const STEPS: &[Step] = &[
    step("base", &[Gate::LeaderFirst("base")], Pace::Together, |_, _| {
        Ok(vec![boxed(Made(&["a", "b"])), boxed(Made(&["c"]))])
    }),
    step("init", &[], Pace::Together, |context, node| Ok(only(context.is_leader(node), &["init"]))),
    step("join", &[Gate::Leader("init")], Pace::AtMost(1), |context, node| {
        let joins = node.role == Role::ControlPlane && !context.is_leader(node);
        Ok(only(joins, &["member", "voter"]))
    }),
    step("workers", &[Gate::Leader("init")], Pace::Together, |_, node| {
        Ok(only(node.role == Role::Worker, &["member"]))
    }),
    step("certificates", &[], Pace::Together, |_, _| Ok(only(true, &["certificate"]))),
    step("health", &[Gate::Others("certificates")], Pace::Together, |context, node| {
        Ok(only(context.is_leader(node), &["labels"]))
    }),
];

fn only(here: bool, names: &'static [&'static str]) -> Vec<Box<dyn Resource>> {
    if here { vec![boxed(Made(names))] } else { Vec::new() }
}

/// Keeps all events.
#[derive(Default)]
pub(super) struct Told(pub(super) Mutex<Vec<Event>>);

impl Sink for Told {
    fn take(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

/// A cluster.
pub(super) struct Bench {
    context: Arc<Context>,
    pub(super) world: Arc<World>,
    nodes: BTreeMap<String, Node<FakeHost>>,
    pub(super) told: Arc<Told>,
}

impl Bench {
    pub(super) fn new(steps: &'static [Step], names: &[&str], seed: u64) -> Self {
        let world = World::new(seed);
        let masked: Arc<[_]> = Arc::new([Secret::new("s3cret".to_owned())]);
        let node = |name: &&str| {
            let host = FakeHost { name: (*name).to_owned(), world: Arc::clone(&world) };
            ((*name).to_owned(), Node::new(name, Arc::new(host), Arc::clone(&masked)))
        };
        let nodes = names.iter().map(node).collect();
        let context = Arc::new(Context::sample(steps, names));
        Self { context, world, nodes, told: Arc::default() }
    }

    /// Everything that all steps mean.
    pub(super) fn meant(&self) -> Things {
        let mut things = Things::new();
        for (node, step) in NODES.iter().flat_map(|node| STEPS.iter().map(move |s| (node, s))) {
            for want in self.context.desired(step, node).unwrap() {
                let names = want.probe().words().to_vec();
                things.extend(names.into_iter().map(|name| ((*node).to_owned(), name)));
            }
        }
        things
    }

    pub(super) async fn plan(&self) -> Result<Plan> {
        plan(&self.context, &self.nodes).await
    }

    pub(super) async fn apply(&self, plan: Plan) -> Outcome {
        let permit = plan.confirm(|_| true).unwrap();
        let events: Arc<dyn Sink> = self.told.clone();
        apply(&self.context, Arc::new(plan), permit, &self.nodes, &events).await
    }

    pub(super) async fn run(&self) -> Result<Outcome> {
        Ok(self.apply(self.plan().await?).await)
    }

    pub(super) fn take_log(&self) -> Vec<Entry> {
        std::mem::take(&mut self.world.state().log)
    }

    /// Nodes and things of all commands that were begun.
    pub(super) fn begun(&self) -> Vec<(String, String)> {
        begun(&self.take_log())
    }
}

/// Nodes and things of all commands that were begun.
pub(super) fn begun(log: &[Entry]) -> Vec<(String, String)> {
    let begun = |entry: &Entry| match entry {
        Entry::Begin(node, thing) => Some((node.clone(), thing.clone())),
        _ => None,
    };
    log.iter().filter_map(begun).collect()
}

/// Every name of the resources that `plan` announces to change, with its node.
pub(super) fn covered(plan: &Plan) -> Things {
    let names = |(node, _, one): (&str, _, &Planned)| -> Vec<_> {
        one.id.split(" and ").map(|name| (node.to_owned(), name.to_owned())).collect()
    };
    plan.resources().flat_map(names).collect()
}

/// Every name that `plan` announces to make, with its node.
pub(super) fn announced(plan: &Plan) -> Vec<(String, String)> {
    let names = |(node, _, one): (&str, _, &Planned)| -> Vec<_> {
        let names = one.diff.summary.strip_prefix("new: ").unwrap().split(", ");
        names.map(|name| (node.to_owned(), name.to_owned())).collect()
    };
    plan.resources().flat_map(names).collect()
}

/// Whether everything in `first` ended before anything in `then` began.
fn before(
    log: &[Entry],
    first: impl Fn(&str, &str) -> bool,
    then: impl Fn(&str, &str) -> bool,
) -> bool {
    let ended = log.iter().rposition(|e| matches!(e, Entry::End(n, t) if first(n, t)));
    let began = log.iter().position(|e| matches!(e, Entry::Begin(n, t) if then(n, t)));
    ended.zip(began).is_none_or(|(ended, began)| ended < began)
}

/// Fails unless `log` keeps the order that [`STEPS`] ask for.
pub(super) fn in_order(log: &[Entry]) {
    let joins =
        |node: &'static str| move |n: &str, t: &str| n == node && matches!(t, "member" | "voter");
    let leader = |n: &str, t: &str| n == "cp-1" && matches!(t, "a" | "b" | "c" | "init");
    assert!(before(log, leader, |_, t| t == "member" || t == "voter"), "init, then joins: {log:?}");
    let base = |n: &str, t: &str| n == "cp-1" && matches!(t, "a" | "b" | "c");
    assert!(before(log, base, |n, _| n.starts_with('w')), "workers after the leader: {log:?}");
    assert!(
        before(log, |_, t| t == "certificate", |_, t| t == "labels"),
        "health at the end: {log:?}"
    );
    let (two, three) = (joins("cp-2"), joins("cp-3"));
    assert!(before(log, two, three) || before(log, three, two), "one by one: {log:?}");
}
