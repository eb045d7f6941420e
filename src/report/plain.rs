//! Events as lines, for logs and pipes: one line each, in the order of time.

use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{counted, short};
use crate::diagnostic::printable;
use crate::event::{Event, Sink};

/// Writes one line for each event that matters.
pub struct Plain<W> {
    began: Instant,
    state: Mutex<State<W>>,
}

struct State<W> {
    out: W,
    width: usize,
}

impl<W> Plain<W> {
    /// Lines go to `out`; their times count from now.
    pub fn new(out: W) -> Self {
        Self { began: Instant::now(), state: Mutex::new(State { out, width: 0 }) }
    }
}

impl<W: Write + Send> Sink for Plain<W> {
    fn take(&self, event: Event) {
        let at = self.began.elapsed();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Event::RunStarted { nodes, .. } = &event {
            state.width = nodes.iter().map(|node| node.chars().count()).max().unwrap_or(0);
        }
        if let Some(line) = line(at, &event, state.width) {
            // A log that nobody reads any more is no reason to end the run.
            let _ = writeln!(state.out, "{line}").and_then(|()| state.out.flush());
        }
    }
}

/// The line for `event`, names of nodes filled up to `width`; `None` for what only repeats others.
fn line(at: Duration, event: &Event, width: usize) -> Option<String> {
    let (about, text) = words(event)?;
    let time = format!("{:6.1}s", at.as_secs_f64());
    Some(match about {
        Some((node, "")) => format!("{time}  {node:width$}  {text}"),
        Some((node, step)) => format!("{time}  {node:width$}  {step}: {text}"),
        None => format!("{time}  {text}"),
    })
}

/// The node and step that `event` is about, and what happened, in one line.
type Words<'a> = (Option<(&'a str, &'a str)>, String);

fn words(event: &Event) -> Option<Words<'_>> {
    let took = |millis: &u64| short(Duration::from_millis(*millis));
    let (node, step, text) = match event {
        Event::RunStarted { run, cluster, nodes } => {
            return Some((None, format!("{run} {cluster}: {}", counted(nodes.len(), "node"))));
        }
        Event::RunFinished { changed, failed, millis } => {
            let failed = match failed {
                0 => String::new(),
                count => format!(", {} failed or not attempted", counted(*count, "node")),
            };
            let changes = counted(*changed, "change");
            return Some((None, format!("{changes} in {}{failed}", took(millis))));
        }
        Event::Connected { node, about } => (node, "", printable(about)),
        Event::Finding { node, severity, what, todo, .. } => {
            let text = format!("{severity}: {}; {}", printable(what), printable(todo));
            return Some((node.as_deref().map(|node| (node, "")), text));
        }
        Event::StepStarted { node, step } => (node, *step, "started".to_owned()),
        Event::Waiting { node, step, reason } => {
            (node, *step, format!("waits for {}", printable(reason)))
        }
        Event::Changing { node, step, what, .. } => (node, *step, printable(what)),
        Event::Changed { .. } => return None,
        Event::StepFinished { node, step, changed, millis } => {
            (node, *step, format!("done, {} in {}", counted(*changed, "change"), took(millis)))
        }
        Event::StepFailed { node, step, error } => {
            (node, *step, format!("failed: {}", printable(error.message())))
        }
        Event::NotAttempted { node, step, reason } => {
            (node, *step, format!("not attempted: {}", printable(reason)))
        }
        Event::NodeFinished { node } => (node, "", "done".to_owned()),
    };
    Some((Some((node, step)), text))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::diagnostic::{Error, Kind};

    /// A short run with one event of every kind.
    pub(in crate::report) fn run() -> Vec<Event> {
        let cp = || "cp-1".to_owned();
        let worker = || "worker-1".to_owned();
        let step = "containerd";
        vec![
            Event::RunStarted { run: "apply", cluster: "prod".into(), nodes: vec![cp(), worker()] },
            Event::Connected { node: cp(), about: "Debian\u{1b}[31m 13, absent".into() },
            Event::Finding {
                node: Some(cp()),
                check: "docker",
                severity: "warning",
                what: "Docker runs here".into(),
                todo: "remove it".into(),
            },
            Event::StepStarted { node: cp(), step },
            Event::Changing {
                node: cp(),
                step,
                resource: "images".into(),
                what: "import 5 images".into(),
            },
            Event::Changed { node: cp(), step, resource: "images".into(), millis: 4_200 },
            Event::StepFinished { node: cp(), step, changed: 1, millis: 12_400 },
            Event::Waiting {
                node: worker(),
                step: "workers",
                reason: "`control-plane/init`".into(),
            },
            Event::StepFailed {
                node: cp(),
                step: "control-plane/init",
                error: Error::new(Kind::Command, "cannot start").note("exit\u{7} 1"),
            },
            Event::NotAttempted { node: worker(), step: "workers", reason: "cp-1 failed".into() },
            Event::NodeFinished { node: cp() },
            Event::RunFinished { changed: 1, failed: 2, millis: 83_000 },
        ]
    }

    #[test]
    fn one_line_for_each_event_that_matters() {
        let lines: Vec<String> = run()
            .iter()
            .enumerate()
            .filter_map(|(n, event)| line(Duration::from_millis(900 * n as u64), event, 8))
            .collect();
        assert_eq!(
            format!("\n{}\n", lines.join("\n")),
            r"
   0.0s  apply prod: 2 nodes
   0.9s  cp-1      Debian\u{1b}[31m 13, absent
   1.8s  cp-1      warning: Docker runs here; remove it
   2.7s  cp-1      containerd: started
   3.6s  cp-1      containerd: import 5 images
   5.4s  cp-1      containerd: done, 1 change in 12 s
   6.3s  worker-1  workers: waits for `control-plane/init`
   7.2s  cp-1      control-plane/init: failed: cannot start
   8.1s  worker-1  workers: not attempted: cp-1 failed
   9.0s  cp-1      done
   9.9s  1 change in 1 min 23 s, 2 nodes failed or not attempted
"
        );
    }

    #[test]
    fn names_are_aligned_once_the_run_is_known() {
        let plain = Plain::new(Vec::new());
        run().into_iter().for_each(|event| plain.take(event));
        let text = String::from_utf8(plain.state.into_inner().unwrap().out).unwrap();
        assert_eq!(text.lines().count(), 11);
        assert!(text.contains("  cp-1      containerd: started\n"), "{text}");
    }
}
