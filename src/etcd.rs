//! etcd's members, as `etcdctl member list` tells of them.

use std::net::Ipv4Addr;

use serde_json::Value;

use crate::cluster::Node;

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

    /// The address at which other members reach it, if it has just one, of IPv4.
    #[must_use]
    pub fn address(&self) -> Option<Ipv4Addr> {
        let [url] = self.peers.as_slice() else { return None };
        url.strip_prefix("https://")?.strip_suffix(":2380")?.parse().ok()
    }

    /// Whether it is provably that node's: it has the node's address, and its name or, before its
    /// first start, none.
    #[must_use]
    pub fn is_of(&self, node: &Node) -> bool {
        (self.name == node.name || self.name.is_empty()) && self.address() == Some(node.internal)
    }

    fn read(member: &Value) -> Option<Self> {
        // Numbers where `--hex` left them so; what is left out is empty.
        let id = member.get("ID")?;
        let id = id.as_str().map_or_else(|| id.to_string(), str::to_owned);
        let hexadecimal = id.len() <= 16 && id.bytes().all(|b| b.is_ascii_hexdigit());
        let urls = member.get("peerURLs").and_then(Value::as_array);
        Some(Self {
            id: hexadecimal.then_some(id)?,
            name: text(member.get("name")).unwrap_or_default(),
            peers: urls.into_iter().flatten().filter_map(|url| text(Some(url))).collect(),
            learner: member.get("isLearner").and_then(Value::as_bool) == Some(true),
        })
    }
}

/// What `etcdctl member list -w json --hex=true` prints; `src/command/shell.rs` has the command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberList {
    /// The id of the member that answered.
    pub answered: Option<String>,
    /// All members; what is none is left out.
    pub members: Vec<EtcdMember>,
}

impl MemberList {
    /// The list in `json`; `None` where that is something else.
    #[must_use]
    pub fn read(json: &Value) -> Option<Self> {
        let members = json.get("members")?.as_array()?;
        Some(Self {
            answered: text(json.pointer("/header/member_id")),
            members: members.iter().filter_map(EtcdMember::read).collect(),
        })
    }

    /// The member of that name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&EtcdMember> {
        self.members.iter().find(|member| member.name == name)
    }
}

fn text(value: Option<&Value>) -> Option<String> {
    value?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_read_and_what_is_none_is_left_out() {
        let json = serde_json::json!({
            "header": {"member_id": "a1"},
            "members": [
                {"ID": "a1", "name": "cp-1", "peerURLs": ["https://10.0.0.1:2380"]},
                {"ID": "ff", "peerURLs": ["https://10.0.0.2:2380"], "isLearner": true},
                {"ID": "; rm"}, {"name": "cp-3"}, 7,
            ],
        });
        let list = MemberList::read(&json).unwrap();
        assert_eq!(list.answered.as_deref(), Some("a1"));
        let about: Vec<_> =
            list.members.iter().map(|m| (m.id.as_str(), m.name.as_str(), m.votes())).collect();
        assert_eq!(about, [("a1", "cp-1", true), ("ff", "", false)]);
        assert_eq!(list.members[1].address(), Some(Ipv4Addr::new(10, 0, 0, 2)));
        assert!(list.named("cp-1").is_some() && list.named("cp-3").is_none());
        for other in ["null", "[]", "{}", r#"{"members": {}}"#] {
            assert_eq!(MemberList::read(&serde_json::from_str(other).unwrap()), None);
        }
    }
}
