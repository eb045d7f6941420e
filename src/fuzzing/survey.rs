//! What nodes answer to the survey.

use std::path::Path;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::{bounded, harmless, node, shown};
use crate::cluster::Cluster;
use crate::command::Output;
use crate::diagnostic::Result;
use crate::inventory;
use crate::preflight;
use crate::probe;
use crate::report::findings_text;
use crate::resource::{NoEtcdMember, NoNode};
use crate::survey::{self, Facts, Survey};

/// When the nodes were asked, and when they were heard, in ns since the epoch.
const TIMES: (i64, i64) = (1_795_283_444_000_000_000, 1_795_283_444_100_000_000);

/// The answers of a cluster's nodes to the survey: those between zero bytes, in turn, as a whole, and
/// as each value that is not one line. Also how long synced writes took.
pub(super) fn facts(data: &[u8]) {
    let value = BASE64.encode(data);
    let line = String::from_utf8_lossy(data).replace('\n', " ");
    let known = r#"nodes={"items":[{"metadata":{"name":"cp-1","uid":"uid"}}]}"#;
    for (more, answers) in [
        ("", data.to_vec()),
        ("", format!("ca={value}").into_bytes()),
        ("", format!("nodes={line}\netcd={value}").into_bytes()),
        (known, format!("config={line}").into_bytes()),
    ] {
        let first = format!("os=debian-12\nboot_id=x\n{more}\n").into_bytes();
        let answer = |rest: &[u8]| Output { stdout: [&first, rest].concat(), ..Output::default() };
        let answers: Vec<Output> = answers.split(|byte| *byte == 0).map(answer).collect();
        for cluster in &*CLUSTERS {
            if let Err(error) = judge(cluster, &answers, data.len()) {
                harmless(&error, data.len());
            }
        }
    }
    let output = Output { stdout: data.to_vec(), ..Output::default() };
    shown(&findings_text(preflight::synced("cp-1", &output).as_slice()), 0);
}

/// All that is said of nodes that answer so.
fn judge(cluster: &Cluster, answers: &[Output], size: usize) -> Result<()> {
    let nodes = cluster.nodes.iter().zip(answers.iter().cycle());
    let facts = nodes.map(|(node, answer)| {
        let mut facts = Facts::parse(answer)?;
        bounded(format!("{facts:?}").len(), size);
        facts.machine.clock.heard(TIMES.0, TIMES.1);
        Ok((node.name.clone(), facts))
    });
    let survey = Survey::new(cluster, None, facts.collect::<Result<_>>()?)?;
    for meant in &cluster.nodes {
        let part = survey.membership(&meant.name).map(survey::Membership::in_words);
        shown(&part.unwrap_or_default(), 0);
        if let Some(member) = survey.stale_member(meant) {
            let (id, node) = (member.id.clone(), meant.name.clone());
            node::look(
                &NoEtcdMember { id, node, voted: true, alive: true },
                &Output::default(),
                size,
            );
        }
        if let Some(uid) = survey.stale_node(meant) {
            let (uid, node) = (uid.to_owned(), meant.name.clone());
            node::look(&NoNode { uid, node }, &Output::default(), size);
        }
    }
    bounded(survey.voters().unwrap_or_default(), size);
    let findings = preflight::findings(cluster, &survey, (2, 36));
    // A node has hundreds of findings at most.
    for some in findings.chunks(64) {
        shown(&findings_text(some), size);
        preflight::refuse(some).err().iter().for_each(|error| harmless(error, size));
    }
    Ok(())
}

/// The answers to the probes of one look.
pub(super) fn frames(data: &[u8]) {
    for count in [1, 2, 7] {
        match probe::frames(data, "n0nce", count) {
            Ok(outputs) => {
                assert_eq!(outputs.len(), count);
                let size: usize = outputs.iter().map(|output| output.stdout.len()).sum();
                assert!(size <= data.len());
            }
            Err(error) => harmless(&error, 0),
        }
    }
}

/// Clusters to judge nodes by: every key of an inventory, both sorts of endpoint.
static CLUSTERS: LazyLock<[Cluster; 2]> = LazyLock::new(|| {
    [
        include_bytes!("../../inventories/all-keys.yaml").as_slice(),
        include_bytes!("../../inventories/external-endpoint.yaml").as_slice(),
    ]
    .map(|bytes| match inventory::parse(Path::new("slipway.yaml"), bytes.to_vec(), true) {
        Ok(inventory) => inventory.cluster,
        Err(error) => panic!("{error}"),
    })
});
