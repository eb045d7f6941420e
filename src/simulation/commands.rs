//! Recognises the real commands and gives their effects, in order. A command is recognised by the shell
//! text that its resource gives, so nothing is written down twice.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::{Arc, OnceLock};

use serde_json::Value;

use super::effects::Effect;
use super::unmodelled;
use crate::cluster::Drain;
use crate::command::{Cmd, Input, Output};
use crate::resource::{
    APPLY, ApiServerCertificate, AtHub, CalicoConfig, Component, ControlPlaneJoin, DnsSpread,
    Drained, DryRun, EtcdSnapshot, File, Hostname, Images, KubeletFiles, Manifest, NoAutoApproval,
    NoEtcdMember, NoNode, NoSwap, NoTokens, Packages, Registration, Reset, Resource, Returned,
    StaticPod, Synchronised, Token, Undone, Unit, Upstream, VrrpFilter, sha256,
};
use crate::secret::Secret;

/// How the simulation learns a new command.
const TEACH: &str = "add the resource that gives it in src/simulation/commands.rs, and what it does to a \
    machine in src/simulation/effects.rs";

/// What a machine that leaves its cluster ends.
const LEAVE: &[&str] = &["slipway-approver.service", "slipway-vrrp.service", "kubelet.service"];

/// Fixed shell texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Text {
    Write,
    Hostname,
    Swap,
    Install,
    Settle,
    Import,
    Clock,
    EndServices,
    CleanNetwork,
    Kubeadm,
    AskAgain,
    Apply,
    ApplySecret,
    Corefile,
    RemoveMember,
    DeleteNode,
    RemoveTokens,
    RemoveBinding,
    LoadFilter,
    Pod,
    Kubelet,
    EndPods,
    MoveDns,
    Hold,
    Release,
    Credential,
    Certificate,
    Drain,
    Return,
    Snapshot,
}

/// Each shell text, as the resource that uses it gives it.
fn texts() -> &'static [(String, Text)] {
    static TEXTS: OnceLock<Vec<(String, Text)>> = OnceLock::new();
    TEXTS.get_or_init(|| {
        let nothing = || Secret::new(Vec::new());
        let join = |resumed| {
            Box::new(ControlPlaneJoin { node: String::new(), config: nothing(), resumed })
        };
        let member =
            NoEtcdMember { id: String::new(), node: String::new(), voted: true, alive: true };
        let reset = Reset { node: String::new(), what: Undone::Join(None) };
        let left = Reset { node: String::new(), what: Undone::Member };
        let node = NoNode { node: String::new(), uid: String::new() };
        let dry_run = DryRun { configuration: String::new(), objects: false };
        let pod = StaticPod { name: "etcd", node: String::new(), dry_run: dry_run.clone() };
        let certificate = ApiServerCertificate {
            names: BTreeSet::new(),
            address: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 6443),
            configuration: String::new(),
        };
        let [component, _] = Component::ALL;
        let drained = Drained { node: String::new(), drain: Drain::default(), later: Vec::new() };
        let known: Vec<(Box<dyn Resource>, &[Text])> = vec![
            (Box::new(File::text("", "")), &[Text::Write]),
            (Box::new(Hostname(String::new())), &[Text::Hostname]),
            (Box::new(NoSwap), &[Text::Swap]),
            (
                Box::new(Packages::new(Vec::new(), Arc::new(|_| Arc::new(Vec::new())))),
                &[Text::Install],
            ),
            (Box::new(Unit::running("", &[])), &[Text::Settle]),
            (
                Box::new(Images::new("", Vec::new(), Arc::new(|_| Arc::new(Vec::new())))),
                &[Text::Import],
            ),
            (Box::new(Synchronised), &[Text::Clock]),
            (Box::new(reset), &[Text::Kubeadm]),
            (Box::new(left), &[Text::EndServices, Text::Kubeadm, Text::CleanNetwork]),
            (join(false), &[Text::AskAgain, Text::Kubeadm]),
            (join(true), &[Text::Kubeadm, Text::Kubeadm]),
            (Box::new(Manifest { name: "", text: String::new() }), &[Text::Apply]),
            (Box::new(Token { object: nothing(), nodes: Vec::new() }), &[Text::ApplySecret]),
            (Box::new(NoTokens { makes_one: false }), &[Text::RemoveTokens]),
            (Box::new(NoAutoApproval), &[Text::RemoveBinding]),
            (Box::new(VrrpFilter::new("", "")), &[Text::LoadFilter]),
            (Box::new(Upstream { known: true }), &[Text::Corefile]),
            (Box::new(member), &[Text::RemoveMember]),
            (Box::new(node), &[Text::DeleteNode]),
            (Box::new(pod), &[Text::Pod]),
            (Box::new(certificate), &[Text::Certificate]),
            (Box::new(KubeletFiles { dry_run }), &[Text::Kubelet]),
            (Box::new(component), &[Text::EndPods]),
            (Box::new(CalicoConfig), &[Text::EndPods]),
            (Box::new(DnsSpread { nodes: Vec::new() }), &[Text::MoveDns]),
            (Box::new(drained), &[Text::Drain]),
            (Box::new(Returned { node: String::new(), version: String::new() }), &[Text::Return]),
            (Box::new(EtcdSnapshot { before: String::new() }), &[Text::Snapshot]),
        ];
        let guard = Reset { node: String::new(), what: Undone::Init }.guard().unwrap();
        let text = |cmd: &Cmd| cmd.words()[2].clone();
        let registration = Registration::sample(AtHub::default(), true);
        let credential = &registration.converge(&Output::default())[0].cmd;
        let mut texts = vec![
            (APPLY.to_owned(), Text::Apply),
            (text(credential), Text::Credential),
            (text(&guard.hold.cmd), Text::Hold),
            (text(&guard.release.cmd), Text::Release),
        ];
        for (resource, kinds) in known {
            // What kubeadm would write, where nothing is there; nothing, for those that ask nobody.
            let get = "{host: 127.0.0.1, path: /readyz, port: 2381}";
            let pod = format!("{{spec: {{containers: [{{readinessProbe: {{httpGet: {get}}}}}]}}}}");
            let said = format!(
                "==> etcd.yaml <==\n{pod}\n\n==> config.yaml <==\n{{}}\n\n\
                 ==> instance-config.yaml <==\n{{}}\n\n==> kubeadm-flags.env <==\n"
            );
            let seen = Output { stdout: said.into(), ..Output::default() };
            let mut changes = resource.converge(&Output::default());
            if changes.is_empty() {
                changes = resource.converge(&seen);
            }
            assert_eq!(changes.len(), kinds.len(), "{}", resource.id());
            for (change, kind) in changes.iter().zip(kinds) {
                texts.push((change.cmd.words()[2].clone(), *kind));
            }
        }
        texts
    })
}

/// The effects of `cmd`, in order.
pub(super) fn effects_of(cmd: &Cmd) -> Vec<Effect> {
    let words: Vec<&str> = cmd.words().iter().map(String::as_str).collect();
    let owned = |word: &&str| (*word).to_owned();
    match words.as_slice() {
        ["sh", "-c", text, "slipway", rest @ ..] => {
            let known = texts().iter().find(|(known, _)| known == text);
            let (_, kind) = known.unwrap_or_else(|| unmodelled("shell text", TEACH, text));
            shell(*kind, &rest.iter().map(owned).collect::<Vec<_>>(), input(cmd))
        }
        ["systemctl", "disable", "--now", "--quiet", unit] => vec![Effect::Disable(owned(unit))],
        ["true"] => vec![Effect::Nothing],
        ["rm", "-f", "--", path] => vec![Effect::Remove(owned(path))],
        ["mkdir", "-p", "--", path] => vec![Effect::Folder(owned(path))],
        ["modprobe", "-a", names @ ..] => {
            names.iter().map(|name| Effect::Module(owned(name))).collect()
        }
        ["sysctl", "-qw", settings @ ..] => {
            let pairs = settings.iter().map(|setting| setting.split_once('=').unwrap());
            pairs.map(|(key, value)| Effect::Sysctl(key.into(), value.into())).collect()
        }
        ["kubectl", "--kubeconfig", _, "taint", "--overwrite", "nodes", node, taints @ ..] => {
            vec![Effect::Taint(owned(node), taints.iter().map(owned).collect())]
        }
        [
            "kubectl",
            "--kubeconfig",
            _,
            _,
            "patch",
            "node",
            node,
            "--type=merge",
            "--patch",
            patch,
        ] => {
            let patch: Value = serde_json::from_str(patch).unwrap();
            vec![Effect::Cordon(owned(node), patch["spec"]["unschedulable"].as_bool().unwrap())]
        }
        ["kubectl", .., "rollout", "restart", "daemonset/kube-proxy"] => vec![Effect::Nothing],
        _ => unmodelled("command", TEACH, cmd),
    }
}

fn input(cmd: &Cmd) -> Vec<u8> {
    match cmd.input() {
        Input::Nothing => Vec::new(),
        Input::Bytes(bytes) => bytes.clone(),
        Input::Secret(bytes) => bytes.expose().clone(),
        Input::Stream(stream) => {
            let mut bytes = Vec::new();
            stream.copy_to(&mut bytes).unwrap();
            assert_eq!(bytes.len() as u64, stream.size(), "as large as it promised");
            bytes
        }
    }
}

fn shell(text: Text, words: &[String], input: Vec<u8>) -> Vec<Effect> {
    let word = |at: usize| words[at].clone();
    let text_input = || String::from_utf8(input.clone()).unwrap();
    match text {
        Text::Write => {
            assert_eq!(sha256(&input), words[2], "what arrives has the digest");
            let mode = u32::from_str_radix(&words[1], 8).unwrap();
            vec![Effect::Write { path: word(0), mode, bytes: input }]
        }
        Text::Hostname => {
            let bytes = format!("{}\n", words[0]).into_bytes();
            let file = Effect::Write { path: "/etc/hostname".to_owned(), mode: 0o644, bytes };
            vec![file, Effect::KernelHostname(word(0))]
        }
        Text::Swap => vec![Effect::SwapOff, Effect::NoFstabSwap],
        Text::Install => {
            let names = entries(&input).into_iter().map(|(path, _)| path);
            names
                .map(|path| Effect::Install(path.strip_suffix(".deb").unwrap().to_owned()))
                .collect()
        }
        Text::Settle => {
            let mut effects = Vec::new();
            effects.extend((words[2] != "enabled").then(|| Effect::Enable(word(0))));
            effects.extend((words[3] != "-").then(|| Effect::Start(word(0))));
            effects.push(Effect::Stamp(word(0), word(1)));
            effects
        }
        Text::Import => {
            let entries = entries(&input);
            let (_, index) = entries.iter().find(|(path, _)| path == "index.json").unwrap();
            let index: Value = serde_json::from_slice(index).unwrap();
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let image = |image: &Value| {
                let reference = text(&image["annotations"]["io.containerd.image.name"]);
                Effect::Import(reference, text(&image["digest"]))
            };
            index["manifests"].as_array().unwrap().iter().map(image).collect()
        }
        Text::Clock => vec![Effect::WaitForClock],
        Text::Kubeadm => {
            let unless = Some(word(0)).filter(|certificate| certificate != "-");
            vec![Effect::Kubeadm { unless, words: words[1..].to_vec(), config: text_input() }]
        }
        Text::EndServices => LEAVE.iter().map(|unit| Effect::Disable((*unit).to_owned())).collect(),
        Text::CleanNetwork => vec![Effect::Remove(word(0)), Effect::Remove(word(1))],
        Text::AskAgain => vec![Effect::AskAgain],
        Text::Apply | Text::ApplySecret => {
            documents(&text_input()).into_iter().map(Effect::Apply).collect()
        }
        Text::Corefile => {
            let patch: Value = serde_json::from_str(&text_input()).unwrap();
            let value = |at: usize| patch[at]["value"].as_str().unwrap().to_owned();
            vec![Effect::Corefile(value(0), value(1))]
        }
        Text::Pod => {
            assert_eq!(sha256(&input), words[2], "what arrives has the digest");
            vec![Effect::Write { path: word(0), mode: 0o600, bytes: input }]
        }
        Text::Kubelet => {
            let mut rest = input.as_slice();
            let mut effects = Vec::new();
            for file in words[1..].chunks(2) {
                let (bytes, after) = rest.split_at(file[1].parse().unwrap());
                let (path, bytes) = (file[0].clone(), bytes.to_vec());
                effects.push(Effect::Write { path, mode: 0o600, bytes });
                rest = after;
            }
            effects.push(Effect::Start("kubelet.service".to_owned()));
            effects
        }
        Text::Certificate => vec![Effect::Certificate(documents(&text_input()).pop().unwrap())],
        Text::EndPods => vec![Effect::EndPods(word(1))],
        Text::MoveDns => vec![Effect::MoveDns],
        Text::Drain => vec![Effect::Drain(word(0), words[5..].to_vec())],
        Text::Return => vec![Effect::Return(word(0), word(1))],
        Text::Snapshot => {
            let bytes = b"all that etcd holds".to_vec();
            vec![Effect::Write { path: word(0), mode: 0o600, bytes }]
        }
        Text::Hold => vec![Effect::Stop("kubelet.service".to_owned())],
        Text::Credential => vec![Effect::Credential(text_input().parse().unwrap())],
        Text::Release => vec![Effect::Start("kubelet.service".to_owned())],
        Text::RemoveMember => vec![Effect::RemoveMember(word(0))],
        Text::RemoveTokens => vec![Effect::RemoveTokens],
        Text::RemoveBinding => vec![Effect::RemoveBinding(word(0))],
        Text::LoadFilter => vec![Effect::Enable(word(0)), Effect::Start(word(0))],
        Text::DeleteNode => {
            vec![Effect::DeleteNode(word(0), serde_json::from_slice(&input).unwrap())]
        }
    }
}

fn entries(tar: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = tar::Archive::new(tar);
    let entry = |entry: std::io::Result<tar::Entry<'_, &[u8]>>| {
        let mut entry = entry.unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (entry.path().unwrap().to_str().unwrap().to_owned(), bytes)
    };
    archive.entries().unwrap().map(entry).collect()
}

/// The documents of a manifest.
pub(super) fn documents(text: &str) -> Vec<Value> {
    let parse = |text: &str| {
        let json = serde_json::from_str(text);
        json.unwrap_or_else(|_| serde_yaml::from_str(text).unwrap())
    };
    text.split("\n---\n").filter(|text| !text.trim().is_empty()).map(parse).collect()
}

#[test]
#[should_panic(expected = "what it does to a machine in src/simulation/effects.rs\n\nreboot")]
fn an_unknown_command_is_shown_with_the_files_that_teach_it() {
    effects_of(&Cmd::new("reboot"));
}
