//! The real commands, taken apart into what they do one after the other. A command is recognised by
//! the shell text that its resource gives, so nothing is written down twice.

use std::io::Read as _;
use std::sync::{Arc, OnceLock};

use serde_json::Value;

use crate::command::{Cmd, Input, Output};
use crate::resource::{
    Asked, CalicoConfig, Component, ControlPlaneJoin, DnsSpread, File, Hostname, Images,
    KubeletFiles, Manifest, NoAutoApproval, NoEtcdMember, NoNode, NoSwap, NoTokens, Packages,
    Reset, Resource, StaticPod, Synchronised, Token, Undone, Unit, Upstream, VrrpFilter, sha256,
};
use crate::secret::Secret;

/// One thing that a command does.
#[derive(Debug, Clone)]
pub(super) enum Deed {
    Write {
        path: String,
        mode: u32,
        bytes: Vec<u8>,
    },
    Folder(String),
    Remove(String),
    KernelHostname(String),
    SwapOff,
    NoFstabSwap,
    Module(String),
    Sysctl(String, String),
    Install(String),
    Enable(String),
    /// Starts a unit anew, or reloads it.
    Start(String),
    Stop(String),
    Stamp(String, String),
    Import(String, String),
    WaitForClock,
    /// kubeadm's words and configuration; its phases follow. Nothing `unless` that is no valid
    /// certificate.
    Kubeadm {
        unless: Option<String>,
        words: Vec<String>,
        config: String,
    },
    AskAgain,
    Apply(Value),
    /// A change of CoreDNS' Corefile: from what, to what.
    Corefile(String, String),
    Taint(String, Vec<String>),
    /// Pods whose label has that value are made anew.
    EndPods(String),
    /// A pod of CoreDNS is made on another node.
    MoveDns,
    /// Nothing that matters here.
    Nothing,
    RemoveMember(String),
    DeleteNode(String, Value),
    /// Bootstrap tokens of slipway's.
    RemoveTokens,
    RemoveBinding(String),
}

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
}

/// Each shell text, as the resource that uses it gives it.
fn texts() -> &'static [(String, Text)] {
    static TEXTS: OnceLock<Vec<(String, Text)>> = OnceLock::new();
    TEXTS.get_or_init(|| {
        let nothing = || Secret::new(Vec::new());
        let join = |resumed| {
            Box::new(ControlPlaneJoin { node: String::new(), config: nothing(), resumed })
        };
        let member = NoEtcdMember { id: String::new(), node: String::new(), voted: true };
        let reset = Reset { node: String::new(), what: Undone::Join(None) };
        let node = NoNode { node: String::new(), uid: String::new() };
        let asked = Asked { configuration: String::new(), objects: false };
        let pod = StaticPod { name: "etcd", node: String::new(), asked: asked.clone() };
        let [component, _] = Component::ALL;
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
            (Box::new(KubeletFiles { asked }), &[Text::Kubelet]),
            (Box::new(component), &[Text::EndPods]),
            (Box::new(CalicoConfig), &[Text::EndPods]),
            (Box::new(DnsSpread { nodes: Vec::new() }), &[Text::MoveDns]),
        ];
        let guard = Reset { node: String::new(), what: Undone::Init }.guard().unwrap();
        let text = |cmd: &Cmd| cmd.words()[2].clone();
        let mut texts =
            vec![(text(&guard.hold.cmd), Text::Hold), (text(&guard.release.cmd), Text::Release)];
        for (resource, kinds) in known {
            // What kubeadm would write, where nothing is there; nothing, for those that ask nobody.
            let said = "==> etcd.yaml <==\n{}\n\n==> config.yaml <==\n{}\n\n\
                        ==> instance-config.yaml <==\n{}\n\n==> kubeadm-flags.env <==\n";
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

/// What `cmd` does, step by step.
pub(super) fn deeds(cmd: &Cmd) -> Vec<Deed> {
    let words: Vec<&str> = cmd.words().iter().map(String::as_str).collect();
    let owned = |word: &&str| (*word).to_owned();
    match words.as_slice() {
        ["sh", "-c", text, "slipway", rest @ ..] => {
            let known = texts().iter().find(|(known, _)| known == text);
            let (_, kind) = known.unwrap_or_else(|| panic!("an unknown shell text: {text}"));
            shell(*kind, &rest.iter().map(owned).collect::<Vec<_>>(), input(cmd))
        }
        ["rm", "-f", "--", path] => vec![Deed::Remove(owned(path))],
        ["mkdir", "-p", "--", path] => vec![Deed::Folder(owned(path))],
        ["modprobe", "-a", names @ ..] => {
            names.iter().map(|name| Deed::Module(owned(name))).collect()
        }
        ["sysctl", "-qw", settings @ ..] => {
            let pairs = settings.iter().map(|setting| setting.split_once('=').unwrap());
            pairs.map(|(key, value)| Deed::Sysctl(key.into(), value.into())).collect()
        }
        ["kubectl", "--kubeconfig", _, "taint", "--overwrite", "nodes", node, taints @ ..] => {
            vec![Deed::Taint(owned(node), taints.iter().map(owned).collect())]
        }
        ["kubectl", .., "rollout", "restart", "daemonset/kube-proxy"] => vec![Deed::Nothing],
        _ => panic!("an unknown command: {cmd}"),
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

fn shell(text: Text, words: &[String], input: Vec<u8>) -> Vec<Deed> {
    let word = |at: usize| words[at].clone();
    let text_input = || String::from_utf8(input.clone()).unwrap();
    match text {
        Text::Write => {
            assert_eq!(sha256(&input), words[2], "what arrives has the digest");
            let mode = u32::from_str_radix(&words[1], 8).unwrap();
            vec![Deed::Write { path: word(0), mode, bytes: input }]
        }
        Text::Hostname => {
            let bytes = format!("{}\n", words[0]).into_bytes();
            let file = Deed::Write { path: "/etc/hostname".to_owned(), mode: 0o644, bytes };
            vec![file, Deed::KernelHostname(word(0))]
        }
        Text::Swap => vec![Deed::SwapOff, Deed::NoFstabSwap],
        Text::Install => {
            let names = entries(&input).into_iter().map(|(path, _)| path);
            names.map(|path| Deed::Install(path.strip_suffix(".deb").unwrap().to_owned())).collect()
        }
        Text::Settle => {
            let mut deeds = Vec::new();
            deeds.extend((words[2] != "enabled").then(|| Deed::Enable(word(0))));
            deeds.extend((words[3] != "-").then(|| Deed::Start(word(0))));
            deeds.push(Deed::Stamp(word(0), word(1)));
            deeds
        }
        Text::Import => {
            let entries = entries(&input);
            let (_, index) = entries.iter().find(|(path, _)| path == "index.json").unwrap();
            let index: Value = serde_json::from_slice(index).unwrap();
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let image = |image: &Value| {
                let reference = text(&image["annotations"]["io.containerd.image.name"]);
                Deed::Import(reference, text(&image["digest"]))
            };
            index["manifests"].as_array().unwrap().iter().map(image).collect()
        }
        Text::Clock => vec![Deed::WaitForClock],
        Text::Kubeadm => {
            let unless = Some(word(0)).filter(|certificate| certificate != "-");
            vec![Deed::Kubeadm { unless, words: words[1..].to_vec(), config: text_input() }]
        }
        Text::AskAgain => vec![Deed::AskAgain],
        Text::Apply | Text::ApplySecret => {
            documents(&text_input()).into_iter().map(Deed::Apply).collect()
        }
        Text::Corefile => {
            let patch: Value = serde_json::from_str(&text_input()).unwrap();
            let value = |at: usize| patch[at]["value"].as_str().unwrap().to_owned();
            vec![Deed::Corefile(value(0), value(1))]
        }
        Text::Pod => {
            assert_eq!(sha256(&input), words[2], "what arrives has the digest");
            vec![Deed::Write { path: word(0), mode: 0o600, bytes: input }]
        }
        Text::Kubelet => {
            let mut rest = input.as_slice();
            let mut deeds = Vec::new();
            for file in words[1..].chunks(2) {
                let (bytes, after) = rest.split_at(file[1].parse().unwrap());
                let (path, bytes) = (file[0].clone(), bytes.to_vec());
                deeds.push(Deed::Write { path, mode: 0o600, bytes });
                rest = after;
            }
            deeds.push(Deed::Start("kubelet.service".to_owned()));
            deeds
        }
        Text::EndPods => vec![Deed::EndPods(word(1))],
        Text::MoveDns => vec![Deed::MoveDns],
        Text::Hold => vec![Deed::Stop("kubelet.service".to_owned())],
        Text::Release => vec![Deed::Start("kubelet.service".to_owned())],
        Text::RemoveMember => vec![Deed::RemoveMember(word(0))],
        Text::RemoveTokens => vec![Deed::RemoveTokens],
        Text::RemoveBinding => vec![Deed::RemoveBinding(word(0))],
        Text::LoadFilter => vec![Deed::Enable(word(0)), Deed::Start(word(0))],
        Text::DeleteNode => {
            vec![Deed::DeleteNode(word(0), serde_json::from_slice(&input).unwrap())]
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
