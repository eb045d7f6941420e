//! One node's facts, as the survey's probe prints them.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Machine;
use crate::command::Output;
use crate::diagnostic::{Error, Kind, Result, printable};
use crate::pki::{Identity, identity_of};

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
    /// The cluster whose CA certificate is there.
    pub identity: Option<Identity>,
    /// Node objects, name → UID, as this control plane's own API server lists them; `None`: it does
    /// not answer.
    pub api_nodes: Option<BTreeMap<String, String>>,
    /// kubeadm's `ClusterConfiguration`, from this control plane's own API server.
    pub configuration: Option<String>,
    /// The kubelets' configuration that the living cluster keeps.
    pub kubelet: Option<String>,
    /// Names of etcd's voting members; `None`: etcd does not answer here.
    pub etcd_voters: Option<Vec<String>>,
    /// What only preflight asks for.
    pub machine: Machine,
}

impl Facts {
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
            "ca" => self.identity = Some(identity_of(&decode(key, value)?)?),
            "nodes" => {
                let text = String::from_utf8_lossy(&decode(key, value)?).into_owned();
                let nodes = text.lines().filter_map(|line| line.split_once(' ').map(pair));
                self.api_nodes = Some(nodes.collect());
            }
            "config" => self.configuration = text(&decode(key, value)?),
            "kubelet" => self.kubelet = text(&decode(key, value)?),
            "etcd" => self.etcd_voters = voters(&decode(key, value)?),
            _ => self.machine.set(key, value),
        }
        Ok(())
    }
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

/// The voting members in `etcdctl member list -w json`.
fn voters(json: &[u8]) -> Option<Vec<String>> {
    let list: serde_json::Value = serde_json::from_slice(json).ok()?;
    let members = list.get("members")?.as_array()?;
    let votes = |member: &&serde_json::Value| {
        member.get("isLearner").and_then(serde_json::Value::as_bool) != Some(true)
    };
    let name = |member: &serde_json::Value| Some(member.get("name")?.as_str()?.to_owned());
    Some(members.iter().filter(votes).filter_map(name).collect())
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
        let nodes = STANDARD.encode("cp-1 uid-1 v1.37.1\n");
        let etcd =
            STANDARD.encode(r#"{"members":[{"name":"cp-1"},{"name":"x","isLearner":true}]}"#);
        let facts = parse(&format!("os=d\nboot_id=b\nnodes={nodes}\netcd={etcd}\n")).unwrap();
        assert_eq!(facts.etcd_voters.unwrap(), ["cp-1"]);
        assert_eq!(facts.api_nodes.unwrap().get("cp-1").map(String::as_str), Some("uid-1 v1.37.1"));
    }

    proptest! {
        #[test]
        fn hostile_answers_do_not_panic(text in "((os|ca|nodes|etcd|config|cap_bnd|address)=[ -~]{0,40}\n){0,8}") {
            let _ = parse(&text);
        }
    }
}
