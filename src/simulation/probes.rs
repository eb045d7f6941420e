//! Recognises probes: the framed script of a look is split into its probes, each recognised by the shell
//! text that its constructor gives.

use std::sync::OnceLock;

use super::unmodelled;
use crate::probe::{GO, Probe, script};
use crate::resource::{GONE, Reset};

/// How the simulation learns a new probe.
const TEACH: &str = "add its constructor and a kind in src/simulation/probes.rs, and what a machine \
    answers in src/simulation/answers.rs";

/// Which constructor made a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProbeKind {
    Address,
    Alive,
    ApiServer,
    BootId,
    Certificate,
    ClusterRoleBinding,
    Clock,
    Component,
    Dns,
    EtcdMembers,
    DeprecatedApis,
    Evictions,
    Exist,
    File,
    Health,
    Hostname,
    Images,
    Keys,
    Manifest,
    MissingModules,
    Object,
    Packages,
    Reach,
    Registration,
    Running,
    ServerCertificate,
    ServingCertificate,
    Survey,
    Swap,
    Sysctls,
    Tokens,
    Unit,
    VrrpFilter,
    Written,
}

/// A probe of a script, recognised.
#[derive(Debug)]
pub(super) struct RecognisedProbe {
    pub(super) kind: ProbeKind,
    pub(super) words: Vec<String>,
    pub(super) input: String,
}

/// Every probe that resources and surveys use.
pub(super) fn probes() -> Vec<(Probe, ProbeKind)> {
    use ProbeKind::*;
    vec![
        (Probe::address(""), Address),
        (Probe::alive(""), Alive),
        (Probe::api_server(""), ApiServer),
        (Probe::boot_id(), BootId),
        (Probe::certificate(""), Certificate),
        (Probe::clock(), Clock),
        (Probe::cluster_role_binding(""), ClusterRoleBinding),
        (Probe::component(0), Component),
        (Probe::deprecated_apis(""), DeprecatedApis),
        (Probe::dns("", ""), Dns),
        (Probe::etcd_members(), EtcdMembers),
        (Probe::evictions(&Default::default(), &[]), Evictions),
        (Probe::exist(&[]), Exist),
        (Probe::file("", false, None), File),
        (Probe::health(), Health),
        (Probe::hostname(), Hostname),
        (Probe::images(), Images),
        (Probe::keys(&[]), Keys),
        (Probe::manifest("", "", ""), Manifest),
        (Probe::missing_modules(), MissingModules),
        (Probe::object(""), Object),
        (Probe::packages(&[]), Packages),
        (Probe::reach("", 0), Reach),
        (Probe::registration(), Registration),
        (Probe::running(), Running),
        (Probe::server_certificate(""), ServerCertificate),
        (Probe::serving_certificate(), ServingCertificate),
        (Probe::survey(&[]), Survey),
        (Probe::swap(), Swap),
        (Probe::sysctls(&[]), Sysctls),
        (Probe::tokens(), Tokens),
        (Probe::unit(""), Unit),
        (Probe::vrrp_filter(), VrrpFilter),
        (Probe::written("", true), Written),
    ]
}

fn texts() -> &'static [(&'static str, ProbeKind)] {
    static TEXTS: OnceLock<Vec<(&'static str, ProbeKind)>> = OnceLock::new();
    TEXTS.get_or_init(|| probes().iter().map(|(probe, kind)| (probe.text(), *kind)).collect())
}

/// The probes of a script of [`crate::probe::script`], and the mark that separates their answers.
pub(super) fn read(script: &str) -> (Vec<RecognisedProbe>, String) {
    let (_, mut rest) = script.split_once('\n').unwrap();
    rest = rest.strip_prefix(GO).unwrap_or(rest);
    while let Some((_, after)) = rest.strip_prefix("set -- ").and_then(|set| set.split_once('\n')) {
        let probes = probes();
        let mut firsts = probes.iter().filter_map(|(probe, _)| probe.first());
        rest = firsts.find_map(|first| after.strip_prefix(first)).unwrap();
    }
    let mut probes = Vec::new();
    let mut mark = "";
    while !rest.is_empty() {
        let (words, after) = rest.strip_prefix("(set -- ").unwrap().split_once('\n').unwrap();
        let known = texts().iter().find_map(|(text, kind)| {
            Some((after.strip_prefix(text)?.strip_prefix("\n) 2>/dev/null ")?, *kind))
        });
        let (after, kind) = known.unwrap_or_else(|| {
            let text = after.split("\n) 2>/dev/null ").next().unwrap_or_default();
            unmodelled("probe", TEACH, text)
        });
        let (input, after) = match after.strip_prefix("<<'") {
            None => ("", after.strip_prefix("</dev/null\n").unwrap()),
            Some(document) => {
                let (end, document) = document.split_once("'\n").unwrap();
                document.split_once(&format!("\n{end}\n")).unwrap()
            }
        };
        let (answer, after) = after.split_once('\n').unwrap();
        mark = answer.strip_prefix("printf '\\n").unwrap().split(' ').next().unwrap();
        probes.push(RecognisedProbe {
            kind,
            words: shlex::split(words).unwrap(),
            input: input.to_owned(),
        });
        rest = after;
    }
    (probes, mark.to_owned())
}

#[test]
fn a_probe_declares_what_its_text_reads_of_what_a_reset_takes_away() {
    for (probe, kind) in probes() {
        let texts = [probe.first().unwrap_or_default(), probe.text()];
        let named = GONE.iter().any(|path| texts.iter().any(|text| text.contains(path)));
        assert!(!named || Reset::takes_away(&probe), "{kind:?}: {}", probe.text());
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "asks a real shell")]
fn a_shell_understands_every_probe() {
    let all: Vec<Probe> = probes().into_iter().map(|(probe, _)| probe).collect();
    let said = std::process::Command::new("sh").args(["-nc", &script(&all, "n0nce")]).output();
    assert_eq!(String::from_utf8(said.unwrap().stderr).unwrap(), "");
}

#[test]
#[should_panic(expected = "what a machine answers in src/simulation/answers.rs\n\nuname -r")]
fn an_unknown_probe_is_shown_with_the_files_that_teach_it() {
    read("mark\n(set -- \nuname -r\n) 2>/dev/null </dev/null\n");
}
