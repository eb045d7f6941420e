//! One node's facts, as the survey's probe prints them.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Machine;
use crate::cluster::Node;
use crate::command::Output;
use crate::diagnostic::{Error, Kind, Result, printable};
use crate::pki::{Identity, end_of, identity_of};

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
    /// Node objects, name → UID, as this control plane's own API server lists them; `None`: it does
    /// not answer.
    pub api_nodes: Option<BTreeMap<String, String>>,
    /// Which of these have the label of a control plane.
    pub marked: Vec<String>,
    /// kubeadm's `ClusterConfiguration`, from this control plane's own API server.
    pub configuration: Option<String>,
    /// The kubelets' configuration that the living cluster keeps.
    pub kubelet: Option<String>,
    /// etcd's members; `None`: etcd does not answer here.
    pub etcd: Option<Vec<EtcdMember>>,
    /// The kubelet's client certificate, if there is one.
    pub credentials: Option<Credentials>,
    /// A name server that pods can ask; empty: none is known. `None`: it was not asked.
    pub name_server: Option<String>,
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

/// A member as etcd lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcdMember {
    /// Its id, hexadecimal.
    pub id: String,
    /// Its name, a control plane's; empty until it has started.
    pub name: String,
    /// Where other members reach it: `https://10.0.0.5:2380`.
    pub peers: Vec<String>,
    /// Whether it only learns, and does not vote.
    pub learner: bool,
}

impl EtcdMember {
    /// Whether it votes, and has ever started.
    #[must_use]
    pub fn votes(&self) -> bool {
        !self.learner && !self.name.is_empty()
    }

    /// Whether it is provably that node's: it has the node's address, and its name or, before its
    /// first start, none.
    #[must_use]
    pub fn is_of(&self, node: &Node) -> bool {
        let url = format!("https://{}:2380", node.internal);
        (self.name == node.name || self.name.is_empty()) && self.peers == [url]
    }

    fn read(member: &serde_json::Value) -> Option<Self> {
        let text = |key: &str| member.get(key).and_then(|v| v.as_str()).map(str::to_owned);
        // Numbers where `--hex` left them so; what is left out is empty.
        let id = member.get("ID")?;
        let id = id.as_str().map_or_else(|| id.to_string(), str::to_owned);
        let hexadecimal = id.len() <= 16 && id.bytes().all(|b| b.is_ascii_hexdigit());
        let urls = member.get("peerURLs").and_then(|urls| urls.as_array());
        Some(Self {
            id: hexadecimal.then_some(id)?,
            name: text("name").unwrap_or_default(),
            peers: urls?.iter().filter_map(|url| url.as_str().map(str::to_owned)).collect(),
            learner: member.get("isLearner").and_then(serde_json::Value::as_bool) == Some(true),
        })
    }
}

impl Facts {
    /// Whether that file is there; see [`Facts::files`].
    #[must_use]
    pub fn has(&self, file: &str) -> bool {
        self.files.iter().any(|there| there == file)
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
                let text = String::from_utf8_lossy(&decode(key, value)?).into_owned();
                let lines = text.lines().filter_map(|line| line.split_once(' ').map(pair));
                let (marks, nodes): (Vec<_>, Vec<_>) = lines.partition(|(name, _)| name == "/");
                self.api_nodes = Some(nodes.into_iter().collect());
                self.marked = marks.into_iter().map(|(_, name)| name).collect();
            }
            "config" => self.configuration = text(&decode(key, value)?),
            "kubelet" => self.kubelet = text(&decode(key, value)?),
            "etcd" => self.etcd = members(&decode(key, value)?),
            "credentials" => {
                self.credentials = Some(match value {
                    "valid" => Credentials::Valid,
                    _ => Credentials::Expired,
                });
            }
            "name_server" => self.name_server = Some(owned()),
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

fn text(bytes: &[u8]) -> Option<String> {
    Some(String::from_utf8_lossy(bytes).into_owned()).filter(|text| !text.is_empty())
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

/// The members in `etcdctl member list -w json --hex`.
fn members(json: &[u8]) -> Option<Vec<EtcdMember>> {
    let list: serde_json::Value = serde_json::from_slice(json).ok()?;
    Some(list.get("members")?.as_array()?.iter().filter_map(EtcdMember::read).collect())
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
        let nodes = STANDARD.encode("cp-1 uid-1 v1.37.2\n/ cp-1\n");
        let etcd = STANDARD.encode(
            r#"{"members":[{"ID":"a1","name":"cp-1","peerURLs":["https://10.0.0.1:2380"]},
            {"ID":"ff","peerURLs":["https://10.0.0.2:2380"],"isLearner":true},{"ID":"; rm"}]}"#,
        );
        let facts = parse(&format!("os=d\nboot_id=b\nnodes={nodes}\netcd={etcd}\n")).unwrap();
        assert_eq!(facts.marked, ["cp-1"]);
        let members = facts.etcd.unwrap();
        let about = |m: &EtcdMember| (m.id.clone(), m.name.clone(), m.votes());
        let about: Vec<_> = members.iter().map(about).collect();
        assert_eq!(
            about,
            [("a1".into(), "cp-1".into(), true), ("ff".into(), String::new(), false)],
            "what is no member is left out"
        );
        assert_eq!(facts.api_nodes.unwrap().get("cp-1").map(String::as_str), Some("uid-1 v1.37.2"));
    }

    proptest! {
        #[test]
        fn hostile_answers_do_not_panic(text in "((os|ca|nodes|etcd|config|cap_bnd|address)=[ -~]{0,40}\n){0,8}") {
            let _ = parse(&text);
        }
    }
}
