//! Where the time went: a row for each node, a letter for each step, over one axis.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::short;
use crate::event::{Event, Sink};

/// Passes events on, and remembers what a [`Recorder::timeline`] needs.
pub struct Recorder {
    next: Arc<dyn Sink>,
    state: Mutex<State>,
}

struct State {
    began: Instant,
    nodes: Vec<String>,
    started: BTreeMap<String, Instant>,
    spans: Vec<Span>,
}

/// One node's work in one step; times count from the first step's begin.
#[derive(Debug, Clone)]
struct Span {
    node: String,
    step: &'static str,
    from: Duration,
    to: Duration,
}

impl Recorder {
    /// Passes everything on to `next`.
    #[must_use]
    pub fn new(next: Arc<dyn Sink>) -> Self {
        let state = State {
            began: Instant::now(),
            nodes: Vec::new(),
            started: BTreeMap::new(),
            spans: Vec::new(),
        };
        Self { next, state: Mutex::new(state) }
    }

    /// How long the steps took together, and each on the node where it took longest, in the order
    /// in which they began; `None` when nothing was changed.
    #[must_use]
    pub fn times(&self) -> Option<(Duration, Vec<(&'static str, Duration)>)> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let begin = state.spans.iter().map(|span| span.from).min()?;
        let end = state.spans.iter().map(|span| span.to).max()?;
        Some((end.saturating_sub(begin), longest(&state.spans)))
    }

    /// The picture, its rows `width` columns long; empty when nothing was changed.
    #[must_use]
    pub fn timeline(&self, width: usize) -> String {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        draw(&state.nodes, &state.spans, width)
    }
}

impl Sink for Recorder {
    fn take(&self, event: Event) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).take(&event);
        self.next.take(event);
    }
}

impl State {
    fn take(&mut self, event: &Event) {
        let now = Instant::now();
        match event {
            Event::RunStarted { nodes, .. } => self.nodes.clone_from(nodes),
            Event::StepStarted { node, .. } => {
                self.started.insert(node.clone(), now);
            }
            Event::StepFinished { node, step, millis, .. } => {
                let took = Duration::from_millis(*millis);
                self.span(node, step, now.checked_sub(took).unwrap_or(self.began), now);
            }
            Event::StepFailed { node, step, .. } => {
                let from = self.started.get(node).copied().unwrap_or(now);
                self.span(node, step, from, now);
            }
            _ => {}
        }
    }

    fn span(&mut self, node: &str, step: &'static str, from: Instant, to: Instant) {
        let [from, to] = [from, to].map(|at| at.saturating_duration_since(self.began));
        self.spans.push(Span { node: node.to_owned(), step, from, to });
    }
}

/// Rows, the axis, and what the letters mean, with each step's longest time on any node.
fn draw(nodes: &[String], spans: &[Span], width: usize) -> String {
    let begin = spans.iter().map(|span| span.from).min();
    let end = spans.iter().map(|span| span.to).max();
    let (Some(begin), Some(end)) = (begin, end) else { return String::new() };
    let names = nodes.iter().map(|node| node.chars().count()).max().unwrap_or(0);
    let letters = letters(spans);
    let column =
        end.saturating_sub(begin).max(Duration::from_millis(1)).div_f64(width.max(1) as f64);
    let mut text = String::new();
    for node in nodes {
        let own: Vec<&Span> = spans.iter().filter(|span| span.node == *node).collect();
        let last = own.iter().map(|span| span.to).max().unwrap_or(begin);
        let row: String = (0..width)
            .map(|n| begin + column.mul_f64(n as f64))
            .take_while(|from| *from < last)
            .map(|from| letter_at(&own, &letters, from, from + column))
            .collect();
        text.push_str(format!("{node:names$}  {row}").trim_end());
        text.push('\n');
    }
    let marks: String =
        (0..4).map(|n| format!("{:<1$}", short((end - begin) * n / 4), width / 4)).collect();
    text.push_str(&format!("{:names$}  {marks}{}\n", "", short(end - begin)));
    let legend = letters.iter().zip(longest(spans));
    let legend: Vec<String> = legend
        .map(|((step, letter), (_, took))| format!("{letter} {step} {}", short(took)))
        .collect();
    for line in legend.chunks(4) {
        text.push_str(&format!("{:names$}  {}\n", "", line.join("   ")));
    }
    text
}

/// The letter of the step that took most of that time; a dot where the node waited.
fn letter_at(
    own: &[&Span],
    letters: &[(&'static str, char)],
    from: Duration,
    to: Duration,
) -> char {
    let within = |span: &Span| span.to.min(to).saturating_sub(span.from.max(from));
    let most = own.iter().filter(|s| !within(s).is_zero()).max_by_key(|span| within(span));
    let letter = |span: &&Span| letters.iter().find(|(step, _)| *step == span.step);
    most.and_then(letter).map_or('·', |(_, letter)| *letter)
}

/// Each step's longest time on any node, in the order in which they began.
fn longest(spans: &[Span]) -> Vec<(&'static str, Duration)> {
    let mut by_time: Vec<&Span> = spans.iter().collect();
    by_time.sort_by_key(|span| span.from);
    let mut longest: Vec<(&'static str, Duration)> = Vec::new();
    for span in by_time {
        let took = span.to.saturating_sub(span.from);
        match longest.iter_mut().find(|(step, _)| *step == span.step) {
            Some((_, most)) => *most = took.max(*most),
            None => longest.push((span.step, took)),
        }
    }
    longest
}

/// A letter for each step, in order of time: if possible one of its name's last part.
fn letters(spans: &[Span]) -> Vec<(&'static str, char)> {
    let mut taken = BTreeSet::new();
    let mut letter = |step: &'static str| {
        let name = step.rsplit('/').next().unwrap_or(step);
        let letters = name.chars().chain('a'..='z').chain('A'..='Z');
        letters.filter(char::is_ascii_alphabetic).find(|c| taken.insert(*c)).unwrap_or('?')
    };
    longest(spans).into_iter().map(|(step, _)| (step, letter(step))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Quiet;

    fn span(node: &str, step: &'static str, from: u64, to: u64) -> Span {
        let [from, to] = [from, to].map(Duration::from_secs);
        Span { node: node.to_owned(), step, from, to }
    }

    #[test]
    fn rows_share_an_axis() {
        let spans = [
            span("cp-1", "os", 0, 10),
            span("cp-1", "containerd", 10, 25),
            span("cp-1", "control-plane/init", 25, 60),
            span("cp-1", "certificates", 60, 80),
            span("w-1", "os", 0, 20),
            span("w-1", "workers", 60, 70),
        ];
        let nodes = ["cp-1", "w-1", "w-2"].map(str::to_owned);
        assert_eq!(
            format!("\n{}", draw(&nodes, &spans, 40)),
            "
cp-1  oooooccccccciiiiiiiiiiiiiiiiiieeeeeeeeee
w-1   oooooooooo····················wwwww
w-2
      0.0 s     20 s      40 s      1 min     1 min 20 s
      o os 20 s   c containerd 15 s   i control-plane/init 35 s   e certificates 20 s
      w workers 10 s
"
        );
    }

    #[test]
    fn a_run_without_changes_has_no_picture() {
        let recorder = Recorder::new(Arc::new(Quiet));
        recorder.take(Event::RunStarted { run: "apply", cluster: "c".into(), nodes: vec![] });
        assert_eq!((recorder.timeline(80).as_str(), recorder.times()), ("", None));
    }

    #[test]
    fn events_become_spans() {
        let recorder = Recorder::new(Arc::new(Quiet));
        crate::report::plain::tests::run().into_iter().for_each(|event| recorder.take(event));
        let (took, longest) = recorder.times().unwrap();
        assert_eq!(longest.len(), 2);
        assert!(longest.iter().all(|(_, step)| *step <= took), "{took:?} {longest:?}");
        let state = recorder.state.lock().unwrap();
        let steps: Vec<_> = state.spans.iter().map(|span| span.step).collect();
        assert_eq!(steps, ["containerd", "control-plane/init"]);
    }
}
