//! The cluster's registration with its hub, the Multi-Cluster Platform.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::{Change, Drift, Prerequisite, Resource};
use crate::command::{Cmd, Output, kubectl};
use crate::diagnostic::{Error, Kind, Result, printable};
use crate::probe::Probe;

/// The cluster is registered, its agent has joined, and the hub says that it is Ready.
#[derive(Clone)]
pub struct Registration {
    /// The cluster's name at the hub.
    pub name: String,
    /// The hub's API server, as a URL.
    pub server: String,
    /// The hub's CA certificates, PEM.
    pub ca: Vec<u8>,
    /// Whether this cluster may take the place of another.
    pub replace: bool,
    /// What the hub said when the run began.
    pub known: AtHub,
    /// The hub.
    pub hub: Arc<dyn Hub>,
}

/// What a hub knows about a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AtHub {
    /// Whether there is a registration of that name.
    pub there: bool,
    /// The cluster that it is of: the UID of its namespace `kube-system`.
    pub cluster_id: Option<String>,
    /// Whether it says what the inventory means.
    pub current: bool,
    /// Whether an agent has joined.
    pub joined: bool,
    /// Whether the hub says Ready.
    pub ready: bool,
}

/// The requests that a registration sends to its hub.
pub trait Hub: Send + Sync {
    /// Registers the cluster with this id; returns its agent's Secret, as JSON. Where the agent has
    /// joined already (`new_credential` is false), its credential stays.
    fn register(&self, cluster_id: &str, new_credential: bool) -> Arc<dyn Prerequisite>;

    /// Waits until the hub says Joined and Ready.
    fn ready(&self) -> Arc<dyn Prerequisite>;
}

/// A new Secret with a new credential, and an agent that begins with it; what the agent has outside
/// its namespace is owned by that, so that it goes with it. `kubectl` must not print what it reads.
const CREDENTIAL: &str = concat!(
    "k='",
    kubectl!(),
    r#"'
{ $k -n mcp-agent delete secret mcp-hub --ignore-not-found && $k -n mcp-agent create -f - &&
$k -n mcp-agent delete pod --selector app=mcp-agent --wait=false; } >/dev/null 2>&1 || exit
u=$($k get namespace mcp-agent -o 'jsonpath={.metadata.uid}') || exit
for o in $($k get clusterroles,clusterrolebindings --selector app=mcp-agent -o name); do
$k patch "$o" --type merge --patch '{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"Namespace","name":"mcp-agent","uid":"'"$u"'"}]}}' || exit
done"#
);

/// What an agent's Secret says.
struct Told {
    cluster_id: String,
    ours: bool,
    credential: bool,
}

impl Registration {
    fn told(&self, seen: &Output) -> Option<Told> {
        let text = seen.text();
        let mut lines = text.lines();
        let cluster_id = lines.next().filter(|_| seen.ok())?.trim().to_owned();
        let words: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
        let meant = [self.name.as_bytes(), self.server.as_bytes(), &self.ca];
        let same = |(word, meant): (&&str, &[u8])| **word == BASE64.encode(meant);
        Some(Told {
            cluster_id,
            ours: words.len() >= meant.len() && words.iter().zip(meant).all(same),
            credential: words.get(meant.len()) == Some(&"credential"),
        })
    }

    /// Whether the agent needs a new credential.
    fn new_credential(&self, told: Option<&Told>) -> bool {
        !self.known.joined || !told.is_some_and(|told| told.ours && told.credential)
    }
}

impl Resource for Registration {
    fn id(&self) -> String {
        format!("registration {} at {}", self.name, self.server)
    }

    fn probe(&self) -> Probe {
        Probe::registration()
    }

    fn compare(&self, seen: &Output) -> Result<Drift> {
        let told = self.told(seen);
        let own = told.as_ref().map(|told| told.cluster_id.as_str());
        if let Some(other) = self.known.cluster_id.as_deref().filter(|id| Some(*id) != own)
            && !self.replace
        {
            let message = format!("the hub knows another cluster as `{}`", self.name);
            return Err(Error::new(Kind::Preflight, message)
                .note(format!("its clusterId there is {}", printable(other)))
                .note(format!("this cluster's is {}", printable(own.unwrap_or("not yet known"))))
                .hint(
                    "choose another `spec.registration.name`; or, if this cluster is that one \
                     rebuilt, say `spec.registration.replace: true`",
                ));
        }
        Ok(if !self.known.there || self.known.cluster_id.as_deref() != own {
            Drift::differs(format!("register as {}", self.name))
        } else if self.new_credential(told.as_ref()) {
            Drift::differs("a new credential for the agent")
        } else if !self.known.current {
            Drift::differs("spec or labels at the hub")
        } else {
            Drift::unless(self.known.ready, "wait until the hub says Ready")
        })
    }

    fn converge(&self, seen: &Output) -> Vec<Change> {
        let told = self.told(seen);
        let (new_credential, id) =
            (self.new_credential(told.as_ref()), told.map(|told| told.cluster_id));
        let id = id.unwrap_or_default();
        let same = self.known.cluster_id.as_ref() == Some(&id);
        let mut changes = Vec::new();
        if new_credential || !same {
            let cmd = Cmd::shell(CREDENTIAL);
            let change = Change::new(format!("register it as {} with the hub", self.name), cmd);
            changes.push(change.repeatable().after(self.hub.register(&id, true)));
        } else if !self.known.current {
            let change = Change::new("update the registration at the hub", Cmd::new("true"));
            changes.push(change.repeatable().after(self.hub.register(&id, false)));
        }
        let wait = Change::wait("wait until the hub says Ready", Cmd::new("true"));
        changes.push(wait.after(self.hub.ready()));
        changes
    }

    // The hub itself has said so.
    fn self_verifying(&self) -> bool {
        true
    }
}

#[cfg(any(test, fuzzing))]
impl Registration {
    /// That of `a` at a hub that is nowhere.
    pub(crate) fn sample(known: AtHub, replace: bool) -> Self {
        let (server, ca) = ("https://hub:6443".to_owned(), b"ca".to_vec());
        Self { name: "a".into(), server, ca, replace, known, hub: Arc::new(Nowhere) }
    }
}

#[cfg(any(test, fuzzing))]
#[derive(Debug)]
struct Nowhere;

#[cfg(any(test, fuzzing))]
impl Prerequisite for Nowhere {
    fn run(&self) -> super::Running<'_> {
        Box::pin(async { Ok(crate::secret::Secret::new(Vec::new())) })
    }
}

#[cfg(any(test, fuzzing))]
impl Hub for Nowhere {
    fn register(&self, _: &str, _: bool) -> Arc<dyn Prerequisite> {
        Arc::new(Self)
    }
    fn ready(&self) -> Arc<dyn Prerequisite> {
        Arc::new(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(id: &str) -> AtHub {
        let cluster_id = Some(id.to_owned());
        AtHub { there: true, cluster_id, current: true, joined: true, ready: true }
    }

    fn seen(secret: &str) -> Output {
        Output { stdout: format!("uid-1\n{secret}").into(), ..Output::default() }
    }

    #[test]
    fn each_state_has_its_way() {
        let whole = seen(&format!(
            "{} {} {} credential",
            BASE64.encode("a"),
            BASE64.encode("https://hub:6443"),
            BASE64.encode("ca")
        ));
        let nothing = Output { code: 1, ..Output::default() };
        let cases = [
            (AtHub::default(), &nothing, "register as a", 2),
            (AtHub::default(), &whole, "register as a", 2),
            (known("uid-1"), &seen(""), "a new credential for the agent", 2),
            (
                AtHub { joined: false, ..known("uid-1") },
                &whole,
                "a new credential for the agent",
                2,
            ),
            (AtHub { current: false, ..known("uid-1") }, &whole, "spec or labels at the hub", 2),
            (AtHub { ready: false, ..known("uid-1") }, &whole, "wait until the hub says Ready", 1),
        ];
        for (known, seen, summary, changes) in cases {
            let wanted = Registration::sample(known, false);
            assert_eq!(wanted.compare(seen).unwrap(), Drift::differs(summary));
            assert_eq!(wanted.converge(seen).len(), changes, "{summary}");
        }
        assert_eq!(
            Registration::sample(known("uid-1"), false).compare(&whole).unwrap(),
            Drift::None
        );
    }

    #[test]
    fn another_cluster_of_that_name_is_replaced_only_if_told_so() {
        for seen in [seen(""), Output { code: 1, ..Output::default() }] {
            let error = Registration::sample(known("uid-2"), false).compare(&seen).unwrap_err();
            assert!(error.to_string().contains("uid-2"), "{error}");
            let wanted = Registration::sample(known("uid-2"), true);
            assert_eq!(wanted.compare(&seen).unwrap(), Drift::differs("register as a"));
            assert_eq!(wanted.converge(&seen).len(), 2);
        }
    }
}
