//! What the steps want of each example inventory's nodes, whole, as files under `tests/steps/`.
//! `SNAPSHOTS=overwrite cargo test --test steps` blesses.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use slipway::bundle::Bundle;
use slipway::cluster::Cluster;
use slipway::command::Output;
use slipway::pki::Pki;
use slipway::resource::Drift;
use slipway::steps::{Context, Program, STEPS, Token};
use slipway::survey::{Facts, Survey};

/// A bare Debian machine that has the node's address.
fn bare(cluster: &Cluster, name: &str) -> Facts {
    let address = format!("{}/24", cluster.node(name).unwrap().internal);
    Facts {
        os: "debian-12".to_owned(),
        arch: "amd64".to_owned(),
        init: "systemd".to_owned(),
        boot_id: "b".to_owned(),
        addresses: vec![("eth0".to_owned(), address)],
        ..Facts::default()
    }
}

fn wanted(cluster: Cluster) -> String {
    let names: Vec<String> = cluster.nodes.iter().map(|node| node.name.clone()).collect();
    let facts: BTreeMap<_, _> = names.iter().map(|n| (n.clone(), bare(&cluster, n))).collect();
    let bundle = Bundle::locate(&cluster.kubernetes.to_string(), "amd64");
    let context = Context {
        steps: STEPS,
        survey: Survey::new(&cluster, None, facts).unwrap(),
        cluster,
        pki: Pki::generate().unwrap(),
        bundle: Arc::new(Bundle::open(&bundle).unwrap()),
        token: Token::random(),
        program: Program::running().unwrap(),
        hub: None,
        registration: None,
    };
    let mut text = String::new();
    let nothing = Output { code: 1, ..Output::default() };
    for name in &names {
        for step in STEPS {
            for resource in context.desired(step, name).unwrap() {
                text.push_str(&format!("{name} {}: {}\n", step.name, resource.id()));
                // The first node of a role shows its files; its peers differ in names alone.
                if !name.ends_with("-1") || !resource.id().starts_with("file ") {
                    continue;
                }
                let Ok(Drift::Differs(diff)) = resource.compare(&nothing) else { continue };
                let lines = diff.text.unwrap_or_default();
                let lines = lines.lines().filter_map(|line| line.strip_prefix('+'));
                lines.for_each(|line| text.push_str(&format!("    {line}\n")));
            }
        }
    }
    text
}

#[test]
fn what_each_example_means_for_its_nodes() {
    for example in ["minimal", "three-masters", "single-node", "external-endpoint"] {
        let path = format!("{}/inventories/{example}.yaml", env!("CARGO_MANIFEST_DIR"));
        let cluster = slipway::inventory::load(Path::new(&path)).unwrap().cluster;
        let expected = format!("{}/tests/steps/{example}.txt", env!("CARGO_MANIFEST_DIR"));
        let expected = snapbox::Data::read_from(Path::new(&expected), None);
        snapbox::Assert::new()
            .action_env(snapbox::assert::DEFAULT_ACTION_ENV)
            .eq(wanted(cluster), expected);
    }
}
