//! Applying: every node walks the steps independently, as far as it can. A step waits only for its gate;
//! one node's failure holds back only those that need it.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::reconcile::millis;
use super::retry::reconcile_with_retries;
use super::{Node, Permit, Plan};
use crate::diagnostic::{Error, Kind};
use crate::event::{Event, Sink};
use crate::host::Transport;
use crate::steps::{Context, Gate, Step};

/// The result of an apply.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Resources that were changed.
    pub changed: usize,
    /// Each node that failed: its name, the step, why.
    pub failures: Vec<(String, &'static str, Error)>,
    /// Nodes that were held back by others' failures: the name, the step, why.
    pub held_back: Vec<(String, &'static str, String)>,
}

/// How far each node has come.
type Progress = BTreeMap<String, Position>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Position {
    /// The number of steps behind it.
    done: usize,
    /// Whether it goes no further.
    stopped: bool,
}

struct Walk<T> {
    context: Arc<Context>,
    plan: Arc<Plan>,
    permit: Arc<Permit>,
    events: Arc<dyn Sink>,
    progress: watch::Sender<Progress>,
    /// By step: the line of nodes before it.
    lines: BTreeMap<&'static str, Line>,
    nodes: BTreeMap<String, Node<T>>,
}

/// What nodes pass before a step.
struct Line {
    places: Semaphore,
    /// The first node that failed.
    failed: OnceLock<String>,
}

impl Line {
    fn of(width: usize) -> Self {
        let places = Semaphore::new(width.min(Semaphore::MAX_PERMITS));
        Self { places, failed: OnceLock::new() }
    }
}

/// A node's turn at a step, for as long as this lives.
#[derive(Default)]
struct Turn<'a> {
    failed: Option<&'a OnceLock<String>>,
    _place: Option<SemaphorePermit<'a>>,
}

impl Turn<'_> {
    fn failed(&self) -> Option<&str> {
        self.failed?.get().map(String::as_str)
    }

    fn fail(&self, name: &str) {
        self.failed.map(|failed| failed.set(name.to_owned()));
    }
}

enum Stop {
    Failed(&'static str, Error),
    HeldBack(&'static str, String),
}

fn lines(context: &Context) -> BTreeMap<&'static str, Line> {
    let line = |step: &Step| (step.name, Line::of(step.pace.width(&context.cluster)));
    context.steps.iter().map(line).collect()
}

/// Carries out what `plan` announced.
pub async fn apply<T: Transport + 'static>(
    context: &Arc<Context>,
    plan: Arc<Plan>,
    permit: Permit,
    nodes: &BTreeMap<String, Node<T>>,
    events: &Arc<dyn Sink>,
) -> Outcome {
    let start = Position { done: 0, stopped: false };
    let walk = Arc::new(Walk {
        context: Arc::clone(context),
        plan,
        permit: Arc::new(permit),
        events: Arc::clone(events),
        progress: watch::Sender::new(nodes.keys().map(|name| (name.clone(), start)).collect()),
        lines: lines(context),
        nodes: nodes.clone(),
    });
    let mut walkers = JoinSet::new();
    for name in nodes.keys().cloned() {
        let walk = Arc::clone(&walk);
        walkers.spawn(async move {
            let result = walk.node(&name).await;
            (name, result)
        });
    }
    let mut outcome = Outcome::default();
    let mut stopped = Vec::new();
    while let Some(joined) = walkers.join_next().await {
        match joined {
            Ok((_, Ok(changed))) => outcome.changed += changed,
            Ok((name, Err((changed, stop)))) => {
                outcome.changed += changed;
                if !stop.is_lost() {
                    stopped.push((name.clone(), stop.step()));
                }
                match stop {
                    Stop::Failed(step, error) => outcome.failures.push((name, step, error)),
                    Stop::HeldBack(step, why) => outcome.held_back.push((name, step, why)),
                }
            }
            Err(e) => {
                let bug = Error::new(Kind::Bug, format!("a walk ended early: {e}"));
                outcome.failures.push((String::new(), "", bug));
            }
        }
    }
    for (name, at) in stopped {
        walk.tidy_up(&name, at, &mut outcome).await;
    }
    outcome
}

impl Stop {
    fn step(&self) -> &'static str {
        match self {
            Self::Failed(step, _) | Self::HeldBack(step, _) => step,
        }
    }

    /// Whether the node cannot be reached.
    fn is_lost(&self) -> bool {
        matches!(self, Self::Failed(_, error) if error.kind() == Kind::Connection)
    }
}

impl<T: Transport> Walk<T> {
    /// What a node that stopped at a step does even so, of what comes later.
    async fn tidy_up(&self, name: &str, at: &str, outcome: &mut Outcome) {
        let later = self.context.steps.iter().skip_while(|step| step.name != at).skip(1);
        for step in later.filter(|step| matches!(step.after, [Gate::Ended(_)])) {
            match self.step(name, step, true).await {
                Ok(changed) => outcome.changed += changed,
                Err(Stop::Failed(step, error)) => {
                    outcome.failures.push((name.to_owned(), step, error));
                }
                Err(Stop::HeldBack(..)) => {}
            }
        }
    }

    async fn node(&self, name: &str) -> Result<usize, (usize, Stop)> {
        let mut changed = 0;
        for (index, step) in self.context.steps.iter().enumerate() {
            let result = self.step(name, step, changed > 0).await;
            self.progress.send_modify(|progress| {
                if let Some(position) = progress.get_mut(name) {
                    *position = match &result {
                        Ok(_) => Position { done: index + 1, stopped: false },
                        Err(_) => Position { done: index, stopped: true },
                    };
                }
            });
            match result {
                Ok(count) => changed += count,
                Err(stop) => {
                    self.tell_stop(name, &stop);
                    return Err((changed, stop));
                }
            }
        }
        self.events.take(Event::NodeFinished { node: name.to_owned() });
        Ok(changed)
    }

    /// One node's part in one step: the number of resources that it changed.
    async fn step(&self, name: &str, step: &'static Step, touched: bool) -> Result<usize, Stop> {
        let failed = |error| Stop::Failed(step.name, error);
        let desired = self.context.desired(step, name).map_err(failed)?;
        let differs = self.plan.differs(name, step.name);
        // Untouched, and as meant when it was looked at: nothing to do, nobody to wait for.
        if desired.is_empty() || !(differs || touched || !step.after.is_empty()) {
            return Ok(0);
        }
        for gate in step.after {
            self.pass(name, step, gate).await?;
        }
        let turn = self.turn(name, step).await;
        if step.pace.ends_at_a_failure()
            && differs
            && let Some(failed) = turn.failed()
        {
            return Err(Stop::HeldBack(step.name, format!("it failed on {failed}")));
        }
        if differs {
            self.events.take(Event::StepStarted { node: name.to_owned(), step: step.name });
        }
        let began = Instant::now();
        let Some(node) = self.nodes.get(name) else { return Ok(0) };
        let leader = self.nodes.get(&self.context.survey.leader).unwrap_or(node);
        let (permit, events) = (&self.permit, self.events.as_ref());
        let result =
            reconcile_with_retries(node, leader, step.name, &desired, permit, events).await;
        if result.is_err() {
            turn.fail(name);
        }
        drop(turn);
        let (changed, again) = result.map_err(failed)?;
        // What an earlier attempt changed is not counted, but was.
        let changed = changed.len().max(usize::from(again));
        if changed > 0 {
            self.events.take(Event::StepFinished {
                node: name.to_owned(),
                step: step.name,
                changed,
                millis: millis(began),
            });
        }
        Ok(changed)
    }

    /// Waits until few enough other nodes do that step.
    async fn turn(&self, name: &str, step: &'static Step) -> Turn<'_> {
        let Some(line) = self.lines.get(step.name) else { return Turn::default() };
        let place = match line.places.try_acquire() {
            Ok(place) => Some(place),
            Err(_) => {
                let width = step.pace.width(&self.context.cluster);
                self.wait(name, step, format!("its turn, at most {width} at a time"));
                line.places.acquire().await.ok()
            }
        };
        Turn { failed: Some(&line.failed), _place: place }
    }

    fn wait(&self, name: &str, step: &'static Step, reason: String) {
        self.events.take(Event::Waiting { node: name.to_owned(), step: step.name, reason });
    }

    /// Waits until `gate` opens, or cannot open any more.
    async fn pass(&self, name: &str, step: &'static Step, gate: &Gate) -> Result<(), Stop> {
        let Some(at) = self.context.steps.iter().position(|other| other.name == gate.step()) else {
            // The run is without that step: it is done.
            return Ok(());
        };
        let needed = at + 1;
        let mut progress = self.progress.subscribe();
        let mut told = false;
        loop {
            let open = self.opens(&progress.borrow_and_update(), name, gate, needed);
            match open {
                Opening::Open => return Ok(()),
                Opening::Never(by) => {
                    let reason = format!("`{}` did not finish on {by}", gate.step());
                    return Err(Stop::HeldBack(step.name, reason));
                }
                Opening::NotYet if !told => {
                    told = true;
                    self.wait(name, step, format!("`{}`", gate.step()));
                }
                Opening::NotYet => {}
            }
            if progress.changed().await.is_err() {
                return Ok(());
            }
        }
    }

    fn opens(&self, progress: &Progress, me: &str, gate: &Gate, needed: usize) -> Opening {
        let mut waiting = false;
        for (node, position) in progress {
            let counts = match gate {
                Gate::Leader(_) => *node == self.context.survey.leader && node != me,
                Gate::Others(_) | Gate::Ended(_) => node != me,
                Gate::ControlPlanes(_) => node != me && !self.context.cluster.is_worker(node),
                Gate::Planned(step) => node != me && self.plan.differs(node, step),
                Gate::LeaderFirst(_) => {
                    *node == self.context.survey.leader && self.context.cluster.is_worker(me)
                }
            };
            if !counts || position.done >= needed {
                continue;
            }
            if position.stopped && matches!(gate, Gate::Ended(_)) {
                continue;
            }
            if position.stopped {
                return Opening::Never(node.clone());
            }
            waiting = true;
        }
        if waiting { Opening::NotYet } else { Opening::Open }
    }

    fn tell_stop(&self, name: &str, stop: &Stop) {
        let node = name.to_owned();
        self.events.take(match stop {
            Stop::Failed(step, error) => Event::StepFailed { node, step, error: error.clone() },
            Stop::HeldBack(step, reason) => {
                Event::NotAttempted { node, step, reason: reason.clone() }
            }
        });
    }
}

enum Opening {
    Open,
    NotYet,
    Never(String),
}
