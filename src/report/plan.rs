//! A plan, as text and as JSON.
//!
//! The text goes step by step, in the order of execution. What is the same on several nodes is shown once,
//! under all their names, so five equal machines take as much room as one.

use std::cmp::Reverse;

use serde_json::{Value, json};

use super::{counted, names, radius};
use crate::diagnostic::printable;
use crate::engine::{Plan, Planned};
use crate::event::SCHEMA;
use crate::resource::{Action, Disruption};
use crate::state::LastApply;

/// How a plan is shown.
#[derive(Debug, Clone, Copy, Default)]
pub struct View {
    /// With colours.
    pub colour: bool,
    /// With every line of every difference.
    pub full: bool,
}

/// A longer difference is folded, unless all is asked for.
const FOLD: usize = 40;

const GREEN: &str = "32";
const RED: &str = "31";
const YELLOW: &str = "33";
const BOLD: &str = "1";

/// What would change, for people; ends with a summary and what it disturbs, without a last line
/// break. `last` is the last apply, if it is known.
#[must_use]
pub fn plan_text(plan: &Plan, last: Option<&LastApply>, view: View) -> String {
    let mut lines = Vec::new();
    for step in plan.steps {
        let groups = groups(plan, step.name);
        if !groups.is_empty() {
            lines.push(format!("{}  {}", view.paint(BOLD, step.name), step.title));
        }
        for (nodes, resources) in groups {
            lines.push(format!("  on {}", names(plan, &nodes)));
            resources.iter().for_each(|one| view.resource(&mut lines, one));
        }
    }
    if !lines.is_empty() {
        lines.push(String::new());
    }
    lines.push(summary(plan));
    if plan.changes() > 0 {
        lines.extend(radius::lines(plan, last));
    }
    lines.join("\n")
}

/// What would change, for programs: one object, whose form the events' schema number covers.
#[must_use]
pub fn plan_json(plan: &Plan, last: Option<&LastApply>) -> Value {
    let resource = |one: &Planned| {
        json!({
            "id": one.id,
            "summary": one.diff.summary,
            "diff": one.diff.text,
            "restarts": restarts(one),
            "why": one.diff.why,
            "awaited": one.wait_only,
        })
    };
    let nodes = plan.nodes.iter().map(|node| {
        let steps = node.steps.iter().map(|step| {
            let resources: Vec<Value> = step.resources.iter().map(resource).collect();
            json!({"step": step.step, "resources": resources})
        });
        json!({"node": node.node, "steps": steps.collect::<Vec<_>>()})
    });
    json!({
        "schema": SCHEMA,
        "event": "plan",
        "changes": plan.changes(),
        "nodes": nodes.collect::<Vec<_>>(),
        "blast_radius": radius::json(plan),
        "last_apply": last,
    })
}

/// Nodes, and what changes equally on each of them.
type Group<'a> = (Vec<&'a str>, Vec<&'a Planned>);

/// What differs in `step`: first what most nodes have in common, last what only one has.
fn groups<'a>(plan: &'a Plan, step: &str) -> Vec<Group<'a>> {
    let mut alike: Vec<(&Planned, Vec<&str>)> = Vec::new();
    for node in &plan.nodes {
        for one in node.steps.iter().filter(|s| s.step == step).flat_map(|s| &s.resources) {
            match alike.iter_mut().find(|(other, _)| *other == one) {
                Some((_, nodes)) => nodes.push(&node.node),
                None => alike.push((one, vec![&node.node])),
            }
        }
    }
    let mut groups: Vec<Group<'_>> = Vec::new();
    for (one, nodes) in alike {
        match groups.iter_mut().find(|(others, _)| *others == nodes) {
            Some((_, resources)) => resources.push(one),
            None => groups.push((nodes, vec![one])),
        }
    }
    groups.sort_by_key(|(nodes, _)| Reverse(nodes.len()));
    groups
}

fn restarts(one: &Planned) -> Option<&str> {
    match &one.disruption {
        Some(Disruption::Restart(unit)) => Some(unit),
        _ => None,
    }
}

/// How much changes, and what restarts.
fn summary(plan: &Plan) -> String {
    if plan.changes() == 0 {
        let matches = if plan.is_partial() { "selected steps match" } else { "cluster matches" };
        return format!("No changes: the {matches} the inventory");
    }
    let touched = plan.nodes.iter().filter(|node| !node.steps.is_empty()).count();
    let disturbed = radius::disturbed(plan);
    format!("{}, {}{disturbed}", counted(touched, "node"), counted(plan.changes(), "change"))
}

impl View {
    fn paint(self, colour: &str, text: &str) -> String {
        if self.colour { format!("\u{1b}[{colour}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    fn resource(self, lines: &mut Vec<String>, one: &Planned) {
        let (mark, colour) = match one.diff.action {
            Action::Create => ("+", GREEN),
            Action::Update => ("~", YELLOW),
            Action::Delete => ("-", RED),
        };
        let mark = self.paint(colour, mark);
        let [id, summary] = [&one.id, &one.diff.summary].map(|text| printable(text));
        let mut line = format!("    {mark} {id}  {summary}");
        let restarts = restarts(one).map(|unit| format!("restarts {unit}"));
        let note: Vec<String> =
            restarts.into_iter().chain(one.diff.why.as_deref().map(printable)).collect();
        if !note.is_empty() {
            line.push_str(&self.paint(YELLOW, &format!("  ({})", note.join(": "))));
        }
        if one.wait_only {
            line.push_str("  (wait only)");
        }
        lines.push(line);
        let text: Vec<&str> = one.diff.text.iter().flat_map(|text| text.lines()).collect();
        let shown = if self.full || text.len() <= FOLD { text.len() } else { FOLD };
        for line in text.iter().take(shown) {
            let safe = printable(line);
            lines.push(match line.chars().next() {
                Some('+') => format!("        {}", self.paint(GREEN, &safe)),
                Some('-') => format!("        {}", self.paint(RED, &safe)),
                _ => format!("        {safe}"),
            });
        }
        if text.len() > shown {
            lines.push(format!("        … {} more lines", text.len() - shown));
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::engine::{NodePlan, StepPlan};
    use crate::resource::Diff;
    use crate::steps::STEPS;

    pub(in crate::report) fn planned(id: &str, summary: &str, text: Option<&str>) -> Planned {
        let diff = Diff::update(summary).text(text.map(str::to_owned));
        Planned { id: id.to_owned(), diff, disruption: None, wait_only: false }
    }

    fn created(id: &str, summary: &str, text: &str) -> Planned {
        let diff = Diff::create(summary).text(Some(text.to_owned()));
        Planned { diff, ..planned(id, "", None) }
    }

    pub(in crate::report) type Steps = Vec<(&'static str, Vec<Planned>)>;

    /// Changes in a cluster of three control planes.
    pub(in crate::report) fn plan(nodes: Vec<(&str, Steps)>) -> Plan {
        let steps = |steps: Steps| {
            steps.into_iter().map(|(step, resources)| StepPlan { step, resources }).collect()
        };
        let nodes = nodes.into_iter();
        let nodes = nodes.map(|(node, s)| NodePlan { node: node.to_owned(), steps: steps(s) });
        Plan {
            steps: STEPS,
            nodes: nodes.collect(),
            voters: Some(crate::engine::Voters { count: 3, answering: 3 }),
        }
    }

    #[test]
    fn what_is_only_waited_for_says_so() {
        let ill = Planned { wait_only: true, ..planned("cluster health", "coredns is gone", None) };
        let plan = plan(vec![("cp-1", vec![("health", vec![ill])])]);
        assert!(text(&plan).contains("    ~ cluster health  coredns is gone  (wait only)\n"));
    }

    fn text(plan: &Plan) -> String {
        format!("\n{}\n", plan_text(plan, None, View::default()))
    }

    #[test]
    fn what_nodes_have_in_common_is_told_once_in_the_order_of_steps() {
        let os = |name: &str| {
            let hosts = planned("file /etc/hosts", "content", Some("@@ -1 +1 @@\n-a\n+b\n"));
            ("os", vec![planned("host name", &format!("debian → {name}"), None), hosts])
        };
        let unit = Planned {
            disruption: Some(Disruption::Restart("containerd".into())),
            ..planned("unit containerd", "restart", None)
        };
        let gone = Planned { diff: Diff::delete("remove"), ..planned("absence of /x", "", None) };
        let plan = plan(vec![
            ("cp-1", vec![os("cp-1"), ("containerd", vec![unit])]),
            ("w-1", vec![("leftovers", vec![gone]), os("w-1")]),
            ("w-2", vec![os("w-2")]),
        ]);
        assert_eq!(
            text(&plan),
            "
leftovers  undo an unfinished join
  on w-1
    - absence of /x  remove
os  packages, host name, kernel settings
  on all 3 nodes
    ~ file /etc/hosts  content
        @@ -1 +1 @@
        -a
        +b
  on cp-1
    ~ host name  debian → cp-1
  on w-1
    ~ host name  debian → w-1
  on w-2
    ~ host name  debian → w-2
containerd  container runtime and first images
  on cp-1
    ~ unit containerd  restart  (restarts containerd)

3 nodes, 8 changes, restarts: containerd on cp-1
etcd: 1 member may fail at the worst moment
"
        );
    }

    #[test]
    fn a_restart_explains_itself() {
        let because = |one: Planned, why: &str| Planned {
            diff: Diff { why: Some(why.to_owned()), ..one.diff },
            ..one
        };
        let restart = Planned {
            disruption: Some(Disruption::Restart("containerd.service".into())),
            ..planned("unit containerd.service", "restart", None)
        };
        let restart = because(restart, "/etc/containerd/config.toml changed");
        let reload = because(planned("unit haproxy.service", "reload", None), "/h\u{7} changed");
        let text = text(&plan(vec![("n", vec![("os", vec![restart, reload])])]));
        assert!(
            text.contains(
                "    ~ unit containerd.service  restart  (restarts containerd.service: \
                 /etc/containerd/config.toml changed)
    ~ unit haproxy.service  reload  (/h\\u{7} changed)\n"
            ),
            "{text}"
        );
    }

    #[test]
    fn what_a_node_printed_cannot_steer_the_terminal() {
        let hostile = planned("x", "\u{1b}[2J", Some("-\u{1b}]0;title\u{7}\r+forged\n"));
        let text = text(&plan(vec![("n", vec![("os", vec![hostile])])]));
        assert!(text.contains(r"    ~ x  \u{1b}[2J"), "{text}");
        assert!(text.contains(r"        -\u{1b}]0;title\u{7}\r+forged"), "{text}");
    }

    #[test]
    fn long_differences_are_folded_unless_all_is_asked_for() {
        let long = (0..160).map(|n| format!("+{n}\n")).collect::<String>();
        let plan = plan(vec![("n", vec![("os", vec![planned("x", "new, 0644", Some(&long))])])]);
        let text = text(&plan);
        assert!(
            text.contains("        +39\n        … 120 more lines\n\n1 node, 1 change\netcd: "),
            "{text}"
        );
        let full = plan_text(&plan, None, View { full: true, ..View::default() });
        assert!(full.contains("        +159\n\n"), "{full}");
    }

    #[test]
    fn colours_are_only_there_when_asked_for() {
        let plan = plan(vec![("n", vec![("os", vec![created("x", "new", "+a\n")])])]);
        assert!(!text(&plan).contains('\u{1b}'));
        let text = plan_text(&plan, None, View { colour: true, full: false });
        assert!(text.contains("    \u{1b}[32m+\u{1b}[0m x  new\n        \u{1b}[32m+a\u{1b}[0m\n"));
    }

    #[test]
    fn nothing_to_do_is_one_line() {
        let plan = plan(vec![("n", vec![])]);
        assert_eq!(text(&plan), "\nNo changes: the cluster matches the inventory\n");
    }

    #[test]
    fn programs_get_every_field() {
        let plan =
            plan(vec![("n", vec![("os", vec![planned("x", "new", Some("+a\n"))])]), ("m", vec![])]);
        assert_eq!(
            plan_json(&plan, None),
            json!({
                "schema": SCHEMA, "event": "plan", "changes": 1, "nodes": [
                    {"node": "n", "steps": [{"step": "os", "resources": [{
                        "id": "x", "summary": "new", "diff": "+a\n", "restarts": null,
                        "why": null, "awaited": false,
                    }]}]},
                    {"node": "m", "steps": []},
                ],
                "blast_radius": radius::json(&plan), "last_apply": null,
            })
        );
    }
}
