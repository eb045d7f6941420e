//! A live display on a terminal: a line for each node, and one for the whole run. Failures stay
//! above. The only user of indicatif.
//!
//! The display begins with the first step, not with the run: before it, a person may be asked
//! about host keys or the plan.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::{counted, short};
use crate::diagnostic::printable;
use crate::event::{Event, Sink};

/// How often lines are drawn anew while nothing happens: their clocks tick.
const TICK: Duration = Duration::from_millis(200);

const ROW: &str = "{spinner:.cyan} {prefix} {elapsed:>4}  {wide_msg}";
const TOTAL: &str = "  {prefix:.bold} {elapsed:>4}  {wide_msg}";

/// Shows what every node is doing.
pub struct Fancy {
    screen: MultiProgress,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    names: Vec<String>,
    rows: BTreeMap<String, ProgressBar>,
    total: Option<ProgressBar>,
    changes: usize,
}

impl Default for Fancy {
    fn default() -> Self {
        Self::new()
    }
}

impl Fancy {
    /// A display on standard error.
    #[must_use]
    pub fn new() -> Self {
        Self::on(MultiProgress::new())
    }

    fn on(screen: MultiProgress) -> Self {
        Self { screen, state: Mutex::default() }
    }

    /// A line above the display.
    fn above(&self, line: &str) {
        // A terminal that went away is no reason to end the run.
        let _ = self.screen.println(line);
    }

    /// Puts up all rows, each waiting for its node's first step.
    fn begin(&self, state: &mut State) {
        let width = state.names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max(5);
        for name in &state.names {
            let row = self.screen.add(ProgressBar::new_spinner());
            row.set_style(style(ROW));
            row.set_prefix(format!("{name:width$}"));
            row.enable_steady_tick(TICK);
            state.rows.insert(name.clone(), row);
        }
        let total = self.screen.add(ProgressBar::new_spinner());
        total.set_style(style(TOTAL));
        total.set_prefix(format!("{:width$}", "total"));
        total.enable_steady_tick(TICK);
        state.total = Some(total);
    }
}

impl Sink for Fancy {
    fn take(&self, event: Event) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let works = matches!(
            event,
            Event::Waiting { .. } | Event::StepStarted { .. } | Event::Changing { .. }
        );
        if works && state.total.is_none() {
            self.begin(&mut state);
        }
        match &event {
            Event::RunStarted { nodes, .. } => {
                *state = State { names: nodes.clone(), ..State::default() };
            }
            Event::Connected { node, about } => {
                self.above(&format!("✔ {node}  {}", printable(about)));
            }
            Event::Finding { node, severity, what, todo, .. } => {
                let node = node.as_deref().map(|node| format!("{node}  ")).unwrap_or_default();
                let (what, todo) = (printable(what), printable(todo));
                self.above(&format!("! {node}{severity}: {what}; {todo}"));
            }
            Event::StepStarted { node, step } => state.restart(node, (*step).to_owned()),
            Event::Waiting { node, step, reason } => {
                state.restart(node, format!("{step}: waits for {}", printable(reason)));
            }
            Event::Changing { node, step, what, .. } => {
                state.say(node, format!("{step}: {}", printable(what)));
            }
            Event::Changed { .. } => state.changes += 1,
            Event::StepFinished { node, step, .. } => state.say(node, format!("{step}: done")),
            Event::StepFailed { node, step, error } => {
                self.above(&format!("✘ {node}  {step}: {}", printable(error.message())));
                state.end(node, "✘", format!("{step}: failed"));
            }
            Event::NotAttempted { node, step, reason } => {
                state.end(node, "✘", format!("{step}: not attempted: {}", printable(reason)));
            }
            Event::NodeFinished { node } => state.end(node, "✔", "done".to_owned()),
            Event::RunFinished { changed, failed, millis } => {
                let took = short(Duration::from_millis(*millis));
                let mut message = format!("{} in {took}", counted(*changed, "change"));
                if *failed > 0 {
                    message.push_str(&format!(", {} not done", counted(*failed, "node")));
                }
                state.finish(message);
            }
        }
        if let Some(total) = &state.total
            && !total.is_finished()
        {
            total.set_message(format!("{} so far", counted(state.changes, "command")));
        }
    }
}

impl State {
    fn say(&self, node: &str, message: String) {
        if let Some(row) = self.rows.get(node) {
            row.set_message(message);
        }
    }

    /// As [`State::say`], with the node's clock at nought.
    fn restart(&self, node: &str, message: String) {
        if let Some(row) = self.rows.get(node) {
            row.reset_elapsed();
            row.set_message(message);
        }
    }

    fn end(&self, node: &str, mark: &str, message: String) {
        if let Some(row) = self.rows.get(node) {
            row.set_style(style(&format!("{mark} {{prefix}}       {{wide_msg}}")));
            row.finish_with_message(message);
        }
    }

    /// Leaves everything on the screen as it is.
    fn finish(&self, message: String) {
        self.rows.values().filter(|row| !row.is_finished()).for_each(ProgressBar::abandon);
        if let Some(total) = &self.total {
            total.finish_with_message(message);
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::plain::tests::run;
    use indicatif::ProgressDrawTarget;

    fn shown(events: impl IntoIterator<Item = Event>) -> Vec<String> {
        let fancy = Fancy::on(MultiProgress::with_draw_target(ProgressDrawTarget::hidden()));
        events.into_iter().for_each(|event| fancy.take(event));
        let state = fancy.state.lock().unwrap();
        let lines = state.rows.values().chain(&state.total);
        lines.map(|row| format!("{} | {}", row.prefix(), row.message())).collect()
    }

    #[test]
    fn nothing_moves_before_the_first_step() {
        assert!(shown(run().into_iter().take(3)).is_empty());
    }

    #[test]
    fn every_node_has_a_line() {
        assert_eq!(
            shown(run().into_iter().take(8)),
            [
                "cp-1     | containerd: done",
                "worker-1 | workers: waits for `control-plane/init`",
                "total    | 1 command so far",
            ]
        );
    }

    #[test]
    fn the_end_stays_on_the_screen() {
        assert_eq!(
            shown(run()),
            [
                "cp-1     | done",
                "worker-1 | workers: not attempted: cp-1 failed",
                "total    | 1 change in 1 min 23 s, 2 nodes not done",
            ]
        );
    }

    #[test]
    fn templates_are_well_formed() {
        for template in [ROW, TOTAL] {
            assert!(ProgressStyle::with_template(template).is_ok());
        }
    }
}
