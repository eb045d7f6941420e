//! What would change: one look at every node, compared with the desired resources.

use std::collections::{BTreeMap, BTreeSet};

use tokio::task::JoinSet;

use super::Node;
use super::differing::differing;
use crate::command::Output;
use crate::diagnostic::{Error, Kind, Result};
use crate::host::Transport;
use crate::resource::{Diff, Disruption, Reset, Resource};
use crate::steps::{Context, Step, is_partial};

/// What would change, per node and step.
#[derive(Debug, Default)]
pub struct Plan {
    /// All steps, in reading order.
    pub steps: &'static [Step],
    /// The nodes, in the inventory's order.
    pub nodes: Vec<NodePlan>,
    /// etcd's voting members now: none in a new cluster, `None` if no member answered.
    pub voters: Option<Voters>,
}

/// etcd's voting members before a plan is carried out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Voters {
    /// How many there are.
    pub count: usize,
    /// How many of them answer.
    pub answering: usize,
}

/// What would change on one node.
#[derive(Debug)]
pub struct NodePlan {
    /// Its name.
    pub node: String,
    /// The steps in which something differs, in order.
    pub steps: Vec<StepPlan>,
}

/// What would change in one step.
#[derive(Debug)]
pub struct StepPlan {
    /// Its name.
    pub step: &'static str,
    /// The resources that differ, in order.
    pub resources: Vec<Planned>,
}

/// A resource that differs.
#[derive(Debug, PartialEq, Eq)]
pub struct Planned {
    /// Its id.
    pub id: String,
    /// What differs.
    pub diff: Diff,
    /// What the change disturbs.
    pub disruption: Option<Disruption>,
    /// Whether slipway only waits for it and changes nothing.
    pub wait_only: bool,
}

/// The right to change what a plan announced. Only a confirmed plan gives one.
#[derive(Debug)]
pub struct Permit {
    announced: BTreeSet<(String, &'static str, String)>,
}

impl Permit {
    /// Whether the plan announced that `step` changes the resource `id` of `node`.
    #[must_use]
    pub fn covers(&self, node: &str, step: &'static str, id: String) -> bool {
        self.announced.contains(&(node.to_owned(), step, id))
    }
}

impl Plan {
    /// Whether the run leaves steps out.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        is_partial(self.steps)
    }

    /// How many resources differ.
    #[must_use]
    pub fn changes(&self) -> usize {
        self.resources().count()
    }

    /// Every resource that differs, with its node and step.
    pub fn resources(&self) -> impl Iterator<Item = (&str, &'static str, &Planned)> {
        self.nodes.iter().flat_map(|node| {
            node.steps.iter().flat_map(move |step| {
                step.resources.iter().map(move |one| (node.node.as_str(), step.step, one))
            })
        })
    }

    /// Whether something differs on `node` in `step`.
    #[must_use]
    pub fn differs(&self, node: &str, step: &str) -> bool {
        self.nodes.iter().any(|n| n.node == node && n.steps.iter().any(|s| s.step == step))
    }

    /// The permit to carry it out, if `agrees` accepts the plan.
    pub fn confirm(&self, agrees: impl FnOnce(&Self) -> bool) -> Option<Permit> {
        let announced =
            self.resources().map(|(node, step, one)| (node.to_owned(), step, one.id.clone()));
        agrees(self).then(|| Permit { announced: announced.collect() })
    }
}

/// Looks at every node, all at once, each with one command.
///
/// # Errors
/// Every node's failure to answer, or the refusal of what was found there.
pub async fn plan<T: Transport + 'static>(
    context: &std::sync::Arc<Context>,
    nodes: &BTreeMap<String, Node<T>>,
) -> Result<Plan> {
    let mut looks = JoinSet::new();
    for (position, meant) in context.cluster.machines().enumerate() {
        let Some(node) = nodes.get(&meant.name).cloned() else { continue };
        let context = std::sync::Arc::clone(context);
        looks.spawn(async move { (position, plan_node(&context, &node).await) });
    }
    let mut plans = BTreeMap::new();
    let mut failed: Option<Error> = None;
    while let Some(joined) = looks.join_next().await {
        let (position, result) =
            joined.map_err(|e| Error::new(Kind::Bug, format!("a look ended early: {e}")))?;
        match result {
            Ok(plan) => drop(plans.insert(position, plan)),
            Err(error) => {
                failed = Some(match failed {
                    Some(first) => first.note(error.to_string()),
                    None => error,
                });
            }
        }
    }
    match failed {
        Some(error) => Err(error),
        None => Ok(Plan {
            steps: context.steps,
            nodes: plans.into_values().collect(),
            voters: match context.survey.voters() {
                _ if context.is_new() => Some(Voters::default()),
                voters => {
                    voters.map(|count| Voters { count, answering: context.survey.answering() })
                }
            },
        }),
    }
}

async fn plan_node<T: Transport>(context: &Context, node: &Node<T>) -> Result<NodePlan> {
    let desired: Vec<(&'static str, Vec<Box<dyn Resource>>)> = context
        .steps
        .iter()
        .map(|step| Ok((step.name, context.desired(step, node.name())?)))
        .collect::<Result<_>>()?;
    let wants: Vec<&dyn Resource> =
        desired.iter().flat_map(|(_, wants)| wants).map(AsRef::as_ref).collect();
    let mut seen = node.look_at(&wants).await?.into_iter();
    let mut steps = Vec::new();
    let mut reset = false;
    for (step, wants) in &desired {
        let wants: Vec<&dyn Resource> = wants.iter().map(AsRef::as_ref).collect();
        let seen: Vec<Output> = seen.by_ref().take(wants.len()).collect();
        if reset {
            // A resource that must not be changed must not be reset either.
            differing(node.name(), &wants, seen.clone())?;
        }
        // What a look will bring when it is this step's turn.
        let seen = wants.iter().zip(seen).map(|(want, seen)| {
            let gone = want.recreated_earlier() || (reset && Reset::takes_away(&want.probe()));
            if gone { Output { code: 1, ..Output::default() } } else { seen }
        });
        let resources: Vec<Planned> = differing(node.name(), &wants, seen.collect())?
            .into_iter()
            .map(|one| Planned {
                id: one.want.id(),
                disruption: one.want.disruption(&one.seen),
                wait_only: one.want.wait_only(&one.seen),
                diff: one.diff,
            })
            .collect();
        reset |= resources.iter().any(|one| one.disruption == Some(Disruption::Reset));
        if !resources.is_empty() {
            steps.push(StepPlan { step, resources });
        }
    }
    Ok(NodePlan { node: node.name().to_owned(), steps })
}
