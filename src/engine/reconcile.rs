//! Reconciles one node with one step: looks and compares as a plan does ([`differing`] serves both), changes
//! what differs, and looks again.

use std::time::Duration;

use tokio::time::Instant;

use super::differing::{Differing, differing};
use super::{Node, Permit};
use crate::diagnostic::{Error, Kind, Result, printable};
use crate::event::{Event, Sink};
use crate::host::Transport;
use crate::pause::Pauses;
use crate::resource::{Guard, Resource};

/// Looks at all `wants` of one step at once, changes what differs, in order, and looks again until every
/// resource matches or its timeout has passed. Returns those that differed. `leader` runs the commands that act
/// on the cluster for the node.
///
/// # Errors
/// When something differs that the plan did not announce; nothing is changed then. When a look or a command
/// fails, or a resource still differs after its timeout.
pub async fn reconcile<'a, T: Transport>(
    node: &Node<T>,
    leader: &Node<T>,
    step: &'static str,
    wants: &'a [Box<dyn Resource>],
    permit: &Permit,
    events: &dyn Sink,
) -> Result<Vec<Differing<'a>>> {
    let wants: Vec<&dyn Resource> = wants.iter().map(AsRef::as_ref).collect();
    let seen = node.look_at(&wants).await?;
    let differing = differing(node.name(), &wants, seen)?;
    refuse_unannounced(node.name(), step, &differing, permit)?;
    let mut group: Vec<&dyn Resource> = Vec::new();
    for one in &differing {
        let changes = one.want.converge(&one.seen);
        refuse_forbidden(node, one.want, permit).await?;
        // A resource without changes is only waited for: after the changes before it, before those after.
        if changes.is_empty() {
            verify(node, &group, permit).await?;
            group.clear();
            verify(node, &[one.want], permit).await?;
            continue;
        }
        for change in changes {
            let resource = one.want.id();
            let about = || (node.name().to_owned(), resource.clone());
            let (name, id) = about();
            events.take(Event::Changing {
                node: name,
                step,
                resource: id,
                what: change.what.clone(),
            });
            let began = Instant::now();
            let actor = if one.want.on_leader() { leader } else { node };
            actor.change(&change, permit).await?;
            let (name, id) = about();
            events.take(Event::Changed { node: name, step, resource: id, millis: millis(began) });
        }
        if !one.want.self_verifying() {
            group.push(one.want);
        }
    }
    verify(node, &group, permit).await?;
    Ok(differing)
}

/// Changes only what the plan announced. What it announced may by now differ in another way, or
/// not at all: an earlier step may have done part of it (a package brings its service).
fn refuse_unannounced(
    node: &str,
    step: &'static str,
    differing: &[Differing<'_>],
    permit: &Permit,
) -> Result<()> {
    let unannounced = |one: &&Differing<'_>| {
        !permit.covers(node, step, one.want.id()) && !one.want.wait_only(&one.seen)
    };
    let found: Vec<&Differing<'_>> = differing.iter().filter(unannounced).collect();
    let Some(first) = found.first() else { return Ok(()) };
    let message = format!(
        "{} on {node} differs now, and the plan did not announce it: the step changed nothing",
        first.want.id()
    );
    let error = Error::new(Kind::Outdated, message);
    let note = |error: Error, one: &&Differing<'_>| {
        error.note(printable(&format!("{}: {}", one.want.id(), one.diff.summary)))
    };
    Err(found.iter().fold(error, note).hint("find out what changed it, and plan again"))
}

/// Asks the node once more, whatever the plan said, before a change that could undo a living member.
async fn refuse_forbidden<T: Transport>(
    node: &Node<T>,
    want: &dyn Resource,
    permit: &Permit,
) -> Result<()> {
    let Some(guard) = want.guard() else { return Ok(()) };
    refuse_living(node, want, &guard).await?;
    node.change(&guard.hold, permit).await?;
    let refused = refuse_living(node, want, &guard).await;
    if refused.is_err() {
        node.change(&guard.release, permit).await?;
    }
    refused
}

async fn refuse_living<T: Transport>(
    node: &Node<T>,
    want: &dyn Resource,
    guard: &Guard,
) -> Result<()> {
    let seen = node.look(std::slice::from_ref(&guard.probe)).await?;
    let Some(why) = seen.first().and_then(|seen| want.forbidden(seen)) else { return Ok(()) };
    let message = format!("{} is not undone: {why}; nothing was changed there", node.name());
    Err(Error::new(Kind::Outdated, message).hint("plan again: it is not what the plan found"))
}

/// Milliseconds since `began`.
pub(super) fn millis(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Looks again until every resource matches. The wait between looks grows from 0.2 s to 1 s: a look costs
/// the node something.
async fn verify<T: Transport>(node: &Node<T>, wants: &[&dyn Resource], _: &Permit) -> Result<()> {
    let began = Instant::now();
    let mut pauses = Pauses::new(Duration::from_millis(200), Duration::from_secs(1));
    let mut left: Vec<&dyn Resource> = wants.to_vec();
    loop {
        let seen = node.look_at(&left).await?;
        let open = differing(node.name(), &left, seen)?;
        let open: Vec<_> =
            open.into_iter().filter(|one| !one.want.best_effort(&one.seen)).collect();
        if let Some(late) = open.iter().find(|one| began.elapsed() >= one.want.timeout()) {
            return Err(still_differs(node.name(), late));
        }
        if open.is_empty() {
            return Ok(());
        }
        left = open.iter().map(|one| one.want).collect();
        pauses.wait().await;
    }
}

fn still_differs(node: &str, late: &Differing<'_>) -> Error {
    let Differing { want, seen, diff } = late;
    let (kind, when) = match want.timeout() {
        Duration::ZERO => (Kind::Command, "after its commands".to_owned()),
        timeout => (Kind::Timeout, format!("after {} s", timeout.as_secs())),
    };
    let message =
        format!("{} on {node} still differs {when}: {}", want.id(), printable(&diff.summary));
    let error = Error::new(kind, message)
        .hint("fix the cause, then run the same command again: what is done is not repeated");
    match want.explain(seen) {
        Some(why) => error.note(why),
        None => error,
    }
}
