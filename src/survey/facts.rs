//! One node's facts, as the survey's probe prints them.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::Machine;
use super::listed::{Listed, listed};
use crate::command::Output;
use crate::diagnostic::{Error, Kind, Result, printable};
use crate::etcd::{EtcdMember, MemberList};
use crate::pki::{Identity, end_of, identity_of};

/// The ConfigMap in `kube-system` where slipway keeps which taints it gave to nodes. Not at the nodes, whose
/// kubelets could let it take away others' taints there.
pub const TAINTS: &str = "slipway-taints";

/// What a node says of itself. Texts are as the node printed them: escape before showing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// `debian-12`: `ID` and `VERSION_ID` of os-release(5).
    pub os: String,
    /// The operating system's name for people.
    pub os_name: String,
    /// The machine's architecture as Kubernetes names it: `amd64`.
    pub arch: String,
    /// The name of process 1.
    pub init: String,
    /// A random number that is new at each boot.
    pub boot_id: String,
    /// The C library's version, where it is GNU's: `(2, 36)`.
    pub glibc: Option<(u32, u32)>,
    /// Files of pod networks in `/etc/cni/net.d`.
    pub cni: Vec<String>,
    /// Whether the control groups are the old, first version.
    pub cgroup_v1: bool,
    /// Whether even root lacks `CAP_SYS_RESOURCE` (as in some containers): runc may not lower an
    /// OOM score then.
    pub no_sys_resource: bool,
    /// Interfaces and their IPv4 addresses (`10.0.0.5/24`).
    pub addresses: Vec<(String, String)>,
    /// Which of the files that make a member are there, relative to `/etc/kubernetes`.
    pub files: Vec<String>,
    /// The cluster whose CA certificate is there, in a file of its own or in a kubeconfig.
    pub identity: Option<Identity>,
    /// Whether `kubeadm init` began here and certainly did not come to its end.
    pub begun: bool,
    /// Node objects by name, as this control plane's own API server lists them; `None`: it does not
    /// answer.
    pub api_nodes: Option<BTreeMap<String, Listed>>,
    /// kubeadm's `ClusterConfiguration`, from this control plane's own API server.
    pub configuration: Option<String>,
    /// By node: the taints that slipway gave it, `KEY:EFFECT`, with spaces between ([`TAINTS`]).
    pub taints: BTreeMap<String, String>,
    /// The kubelets' configuration that the living cluster keeps.
    pub kubelet: Option<String>,
    /// etcd's members; `None`: etcd does not answer here.
    pub etcd: Option<Vec<EtcdMember>>,
    /// The id, hexadecimal, of the etcd member that answers here.
    pub member: Option<String>,
    /// The name and the peer URL of the machine's etcd member, by its static pod's manifest.
    pub etcd_pod: (String, String),
    /// The node whose name the kubelet's client certificate has.
    pub node: Option<String>,
    /// The kubelet's client certificate, if there is one.
    pub credentials: Option<Credentials>,
    /// A name server that pods can ask; empty: none is known. `None`: it was not asked.
    pub name_server: Option<String>,
    /// By address, the MAC address by which VRRP is heard from a peer now.
    pub vrrp: BTreeMap<Ipv4Addr, String>,
    /// When certificates that kubeadm made end, in seconds since the epoch: by their file, relative
    /// to `/etc/kubernetes`.
    pub certificates: Vec<(String, i64)>,
    /// Units of an earlier run that still work: a `kubeadm join`, say.
    pub running: Vec<String>,
    /// What only preflight asks for.
    pub machine: Machine,
}

/// The state of a kubelet's client certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credentials {
    /// Its time has not ended.
    Valid,
    /// Its time has ended.
    Expired,
}

impl Facts {
    /// Whether that file is there; see [`Facts::files`].
    #[must_use]
    pub fn has(&self, file: &str) -> bool {
        self.files.iter().any(|there| there == file)
    }

    /// Whether the machine has this address.
    #[must_use]
    pub fn holds(&self, address: Ipv4Addr) -> bool {
        self.interface_of(address).is_some()
    }

    /// The machine's own member of etcd among `members`: by its id, if it answers; else by its pod's
    /// manifest; else, where there is anything of etcd's, by the machine's addresses. A member that
    /// has not started yet has no name.
    #[must_use]
    pub fn own_member<'a>(&self, members: &'a [EtcdMember]) -> Option<&'a EtcdMember> {
        if let Some(id) = &self.member {
            return members.iter().find(|member| member.id == *id);
        }
        let (name, peer) = &self.etcd_pod;
        let by_pod =
            |m: &&EtcdMember| m.peers.contains(peer) && (m.name == *name || m.name.is_empty());
        let here = |m: &&EtcdMember| m.address().is_some_and(|address| self.holds(address));
        let traces = self.has("etcd-data") || self.has("manifests/etcd.yaml");
        let mut members = members.iter().filter(|_| traces);
        members.clone().find(by_pod).or_else(|| members.find(here))
    }

    /// Reads the survey's answer.
    ///
    /// # Errors
    /// When it is not what the probe prints: not a POSIX system, say.
    pub fn parse(output: &Output) -> Result<Self> {
        let text = output.text();
        let mut facts = Self::default();
        for line in text.lines() {
            let Some((key, value)) = line.split_once('=') else { continue };
            facts.set(key, value)?;
        }
        if facts.os.is_empty() || facts.boot_id.is_empty() {
            return Err(Error::new(Kind::Preflight, "the node does not look like a Linux machine")
                .note(crate::diagnostic::last_lines(&text, 5)));
        }
        Ok(facts)
    }

    /// Whether it knows no name server.
    #[must_use]
    pub fn lacks_name_server(&self) -> bool {
        self.name_server.as_deref() == Some("")
    }

    /// The interface that has `address`.
    #[must_use]
    pub fn interface_of(&self, address: Ipv4Addr) -> Option<&str> {
        let own = address.to_string();
        let has = |(_, net): &&(String, String)| net.split('/').next() == Some(own.as_str());
        self.addresses.iter().find(has).map(|(interface, _)| interface.as_str())
    }

    fn set(&mut self, key: &str, value: &str) -> Result<()> {
        let owned = || value.to_owned();
        match key {
            "os" => self.os = owned(),
            "os_name" => self.os_name = owned(),
            "arch" => {
                self.arch = match value {
                    "x86_64" => "amd64".to_owned(),
                    "aarch64" => "arm64".to_owned(),
                    other => other.to_owned(),
                }
            }
            "init" => self.init = owned(),
            "libc" => self.glibc = value.strip_prefix("glibc ").and_then(version),
            "cni" => self.cni.push(owned()),
            "boot_id" => self.boot_id = owned(),
            "cgroup" => self.cgroup_v1 = value != "cgroup2fs",
            "cap_bnd" => {
                // Bit 24 is CAP_SYS_RESOURCE (linux/capability.h).
                let bits = u64::from_str_radix(value, 16).unwrap_or(u64::MAX);
                self.no_sys_resource = bits & (1 << 24) == 0;
            }
            "address" => self.addresses.extend(value.split_once(' ').map(pair)),
            "file" => self.files.push(owned()),
            "begun" => self.begun = value == "init",
            "ca" => self.identity = Some(identity_of(&decode(key, value)?)?),
            "nodes" => {
                self.api_nodes = serde_json::from_str(value).ok().map(|list| listed(&list));
            }
            "config" => {
                let config: Value = serde_json::from_str(value).unwrap_or_default();
                let mut data = data(&config);
                match config.pointer("/metadata/name").and_then(Value::as_str) {
                    Some("kubeadm-config") => {
                        self.configuration = data.remove("ClusterConfiguration");
                    }
                    Some("kubelet-config") => self.kubelet = data.remove("kubelet"),
                    Some(TAINTS) => self.taints = data,
                    _ => {}
                }
            }
            "etcd" => {
                let json = serde_json::from_slice(&decode(key, value)?).ok();
                let list = json.and_then(|json| MemberList::read(&json));
                self.member = list.as_ref().and_then(|list| list.answered.clone());
                self.etcd = list.map(|list| list.members);
            }
            "etcd_name" => self.etcd_pod.0 = owned(),
            "etcd_peer" => self.etcd_pod.1 = owned(),
            "credentials" => {
                let (state, subject) = value.split_once(' ').unwrap_or((value, ""));
                self.credentials = Some(match state {
                    "valid" => Credentials::Valid,
                    _ => Credentials::Expired,
                });
                self.node = node_of(subject);
            }
            "name_server" => self.name_server = Some(owned()),
            "vrrp" => self.vrrp.extend(
                value
                    .split_once(' ')
                    .and_then(|(address, mac)| Some((address.parse().ok()?, mac.to_owned()))),
            ),
            "certificate" => self.certificates.extend(value.split_once(' ').and_then(certificate)),
            "running" => self.running.push(owned()),
            _ => self.machine.set(key, value),
        }
        Ok(())
    }
}

/// Its file, and when it ends; nothing where it cannot be read.
fn certificate((file, base64): (&str, &str)) -> Option<(String, i64)> {
    Some((file.to_owned(), end_of(&STANDARD.decode(base64).ok()?)?))
}

/// What a ConfigMap says, without what is empty.
fn data(config: &Value) -> BTreeMap<String, String> {
    let data = config.get("data").and_then(Value::as_object);
    let text = |(key, text): (&String, &Value)| {
        Some((key.clone(), text.as_str().filter(|text| !text.is_empty())?.to_owned()))
    };
    data.into_iter().flatten().filter_map(text).collect()
}

fn version(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

fn pair((a, b): (&str, &str)) -> (String, String) {
    (a.to_owned(), b.to_owned())
}

fn decode(key: &str, value: &str) -> Result<Vec<u8>> {
    STANDARD.decode(value).map_err(|_| {
        Error::new(Kind::Preflight, format!("the node's fact `{key}` is damaged"))
            .note(printable(value))
    })
}

/// The node in the subject of a kubelet's client certificate, as openssl prints it by RFC 2253:
/// `subject=O=system:nodes,CN=system:node:cp-1` (Kubernetes, *Using Node Authorization*).
fn node_of(subject: &str) -> Option<String> {
    let parts = subject.strip_prefix("subject=")?.split(',');
    parts.into_iter().find_map(|part| part.strip_prefix("CN=system:node:")).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Facts> {
        Facts::parse(&Output { stdout: text.into(), ..Output::default() })
    }

    #[test]
    fn facts_of_a_bare_machine() {
        let text = "os=debian-12\nos_name=Debian GNU/Linux 12 (bookworm)\narch=x86_64\n\
                    boot_id=b\ncap_bnd=000001fffeffffff\ncgroup=tmpfs\naddress=eth0 10.0.0.5/24\n";
        let facts = parse(text).unwrap();
        assert_eq!((facts.os.as_str(), facts.arch.as_str()), ("debian-12", "amd64"));
        assert!(facts.cgroup_v1 && facts.no_sys_resource);
        assert_eq!(facts.addresses, [("eth0".to_owned(), "10.0.0.5/24".to_owned())]);
        assert_eq!(facts.api_nodes, None);
    }

    #[test]
    fn api_and_etcd_are_read_back() {
        let nodes = r#"{"kind":"NodeList","items":[{"metadata":{"name":"cp-1","uid":"uid-1",
            "labels":{"node-role.kubernetes.io/control-plane":""},"annotations":{"slipway.dev/cordoned":"drain"},
            "managedFields":[{"manager":"kubelet","fieldsV1":{}},
            {"manager":"slipway","fieldsV1":{"f:metadata":{"f:labels":{"f:a":{}}}}}]},
            "status":{"nodeInfo":{"kubeletVersion":"v1.37.2"},"conditions":[{"type":"DiskPressure","status":"False"},
            {"type":"Ready","status":"True"}],"addresses":[{"type":"Hostname","address":"cp-1"},
            {"type":"InternalIP","address":"10.0.0.1"}]}},
            {"metadata":{"name":"w-1","uid":"uid-2","annotations":{"slipway.dev/cordoned":""},
            "managedFields":[{"manager":"kubectl","fieldsV1":{"f:metadata":{"f:labels":{"f:a":{}}}}}]},
            "status":{"conditions":[{"type":"Ready","status":"Unknown"}]}},{"metadata":{"uid":"uid-3"}}]}"#;
        let nodes = nodes.replace('\n', "");
        let etcd = STANDARD.encode(
            r#"{"header":{"member_id":"a1"},"members":[{"ID":"a1","name":"cp-1","peerURLs":["https://10.0.0.1:2380"]},
            {"ID":"ff","peerURLs":["https://10.0.0.2:2380"],"isLearner":true},{"ID":"; rm"}]}"#,
        );
        let facts = parse(&format!("os=d\nboot_id=b\nnodes={nodes}\netcd={etcd}\n")).unwrap();
        assert_eq!(facts.member.as_deref(), Some("a1"));
        let members = facts.etcd.unwrap();
        let about = |m: &EtcdMember| (m.id.clone(), m.name.clone(), m.votes());
        let about: Vec<_> = members.iter().map(about).collect();
        assert_eq!(
            about,
            [("a1".into(), "cp-1".into(), true), ("ff".into(), String::new(), false)],
            "what is no member is left out"
        );
        let first = Listed {
            uid: "uid-1".into(),
            version: "v1.37.2".into(),
            ready: true,
            internal: vec!["10.0.0.1".into()],
            control_plane: true,
            labelled: true,
            cordoned: true,
        };
        let second = Listed { uid: "uid-2".into(), ..Listed::default() };
        let expected = [("cp-1".to_owned(), first), ("w-1".to_owned(), second)];
        assert_eq!(facts.api_nodes.unwrap(), BTreeMap::from(expected));
    }

    #[test]
    fn the_kubelets_certificate_says_which_node_the_machine_is() {
        let node = |subject: &str| {
            let text = format!("os=d\nboot_id=b\ncredentials=valid {subject}\n");
            parse(&text).unwrap().node
        };
        let cp_1 = Some("cp-1".to_owned());
        assert_eq!(node("subject=CN=system:node:cp-1,O=system:nodes"), cp_1);
        assert_eq!(node("subject=O=system:nodes,CN=system:node:cp-1"), cp_1);
        assert_eq!(node("subject=CN=somebody"), None);
        assert_eq!(node(""), None);
    }

    proptest! {
        #[test]
        fn hostile_answers_do_not_panic(text in "((os|ca|nodes|etcd|config|cap_bnd|address)=[ -~]{0,40}\n){0,8}") {
            let _ = parse(&text);
        }
    }
}
