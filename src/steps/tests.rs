//! What the steps want of each example inventory's nodes, whole, as files below `tests/steps/`; and the
//! diagram of the steps in ARCHITECTURE.md. `make bless` writes both anew.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use super::*;
use crate::command::Output;
use crate::inventory;
use crate::resource::{AtHub, Drift};
use crate::survey::{Membership, Missing, Partial, Remedy};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// An example's nodes, all bare Debian machines that have their addresses.
fn bare(example: &str) -> Context {
    let path = root().join(format!("inventories/{example}.yaml"));
    let cluster = inventory::load(&path).unwrap().cluster;
    let facts = |node: &Node| Facts {
        os: "debian-12".to_owned(),
        arch: "amd64".to_owned(),
        init: "systemd".to_owned(),
        boot_id: "b".to_owned(),
        addresses: vec![("eth0".to_owned(), format!("{}/24", node.internal))],
        ..Facts::default()
    };
    let facts: BTreeMap<_, _> =
        cluster.nodes.iter().map(|node| (node.name.clone(), facts(node))).collect();
    Context {
        steps: STEPS,
        survey: Survey::new(&cluster, None, facts).unwrap(),
        cluster,
        pki: sample::pki(),
        bundle: Bundle::sample(),
        token: Token::random(),
        program: Program::nowhere(),
        hub: None,
        registration: None,
    }
}

fn wanted(context: &Context) -> String {
    let mut text = String::new();
    let nothing = Output { code: 1, ..Output::default() };
    for Node { name, .. } in &context.cluster.nodes {
        for step in STEPS {
            for resource in context.desired(step, name).unwrap() {
                writeln!(text, "{name} {}: {}", step.name, resource.id()).unwrap();
                // The first node of a role shows its files; its peers differ in names alone.
                if !name.ends_with("-1") || !resource.id().starts_with("file ") {
                    continue;
                }
                let Ok(Drift::Differs(diff)) = resource.compare(&nothing) else { continue };
                let lines = diff.text.unwrap_or_default();
                let lines = lines.lines().filter_map(|line| line.strip_prefix('+'));
                lines.for_each(|line| writeln!(text, "    {line}").unwrap());
            }
        }
    }
    text
}

#[test]
fn what_each_example_means_for_its_nodes() {
    for example in ["minimal", "three-masters", "single-node", "external-endpoint"] {
        let expected = root().join(format!("tests/steps/{example}.txt"));
        let expected = snapbox::Data::read_from(&expected, None);
        snapbox::Assert::new().action_env("SNAPSHOTS").eq(wanted(&bare(example)), expected);
    }
}

/// Three control planes and two workers that register with a hub, all machines in this state.
fn all(membership: &Membership) -> Context {
    let mut context = bare("three-masters");
    let with = Registration::sample(AtHub::default(), false);
    context.registration = Some(Registered { agent: String::new(), with });
    for surveyed in context.survey.nodes.values_mut() {
        surveyed.membership = membership.clone();
    }
    context
}

/// One line for each step: who does it, what it waits for.
fn diagram() -> String {
    let reset = Partial { missing: Missing::InitEnd, remedy: Remedy::Reset };
    let new = all(&Membership::Absent);
    let older = |cordoned| {
        let mut context = all(&Membership::Member);
        context.survey.kubernetes = Some(semver::Version::new(1, 36, 0));
        context.survey.list_kubelets("v1.36.0", cordoned);
        context
    };
    let members = [all(&Membership::Member), older(false), older(true)];
    let others: Vec<Context> =
        members.into_iter().chain([all(&Membership::Partial(reset))]).collect();
    let does = |context: &Context, step: &Step, node: &&str| {
        !context.desired(step, node).unwrap().is_empty()
    };
    let mut text =
        "step                       cp-1  cp-2  w-1   pace                         waits for\n"
            .to_owned();
    for step in STEPS {
        let name = step.name;
        let mark = |node| match node {
            node if does(&new, step, &node) => "●",
            node if others.iter().any(|context| does(context, step, &node)) => "○",
            _ => "",
        };
        let [first, second, worker] = ["cp-1", "cp-2", "w-1"].map(mark);
        let gate = |gate: &Gate| match gate {
            Gate::Leader(step) if *step == name => "the leader".to_owned(),
            Gate::Leader(step) => format!("{step} on the leader"),
            Gate::LeaderFirst(step) => format!("workers: {step} on the leader"),
            Gate::ControlPlanes(step) => format!("{step} on other control planes"),
            Gate::Planned(step) => format!("{step} where it is planned"),
            Gate::Others(step) => format!("{step} on all others"),
            Gate::Ended(step) => format!("{step} on all others, or their end"),
        };
        let gate = step.after.iter().map(gate).collect::<Vec<_>>().join("; ");
        let pace = match step.pace {
            Pace::Together => String::new(),
            Pace::AtMost(1) => "one by one".to_owned(),
            Pace::Rolling(1) => "one by one until one fails".to_owned(),
            Pace::Drained => "some workers until one fails".to_owned(),
            Pace::AtMost(nodes) => format!("{nodes} at a time"),
            Pace::Rolling(nodes) => format!("{nodes} at a time until one fails"),
        };
        let line = format!("{name:<28}{first:<6}{second:<6}{worker:<5}{pace:<29}{gate}");
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[test]
fn the_architecture_has_the_diagram_of_these_steps() {
    let (begin, end) = ("<!-- steps: generated -->\n```\n", "```\n<!-- steps: end -->\n");
    let file = root().join("ARCHITECTURE.md");
    let text = std::fs::read_to_string(&file).unwrap();
    let (before, rest) = text.split_once(begin).unwrap();
    let (_, after) = rest.split_once(end).unwrap();
    let expected = format!("{before}{begin}{}{end}{after}", diagram());
    if std::env::var_os("SNAPSHOTS").is_some_and(|action| action == "overwrite") {
        std::fs::write(&file, expected).unwrap();
    } else {
        assert_eq!(text, expected, "`make bless` writes it anew");
    }
}

#[test]
fn every_gate_waits_for_a_step_that_there_is() {
    for (place, step) in STEPS.iter().enumerate() {
        for gate in step.after {
            let awaited = STEPS.iter().position(|other| other.name == gate.step());
            let awaited = awaited.unwrap_or_else(|| panic!("{}: {gate:?}", step.name));
            // The leader itself waits for nobody there.
            let by_others = match gate {
                Gate::LeaderFirst(_) => true,
                Gate::Leader(step) => STEPS[place].name == *step,
                _ => false,
            };
            assert!(awaited < place || by_others, "{}: {gate:?} comes later", step.name);
        }
    }
}
