//! What keeps a machine on which something of Kubernetes is from being a member.

use std::fmt;

/// What is unfinished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missing {
    /// These files, relative to `/etc/kubernetes`.
    Files(Vec<&'static str>),
    /// The end of `kubeadm init`.
    InitEnd,
    /// The time of the kubelet's certificate has ended.
    Validity,
    /// The kubelet's certificate.
    Certificate,
    /// The Node object, which a kubelet creates soon after it starts.
    NodeObject,
    /// An etcd member that votes.
    Voter,
    /// The label of a control plane, which the last phase of kubeadm's join sets.
    Label,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Files(files) => return write!(f, "{} missing", files.join(", ")),
            Self::InitEnd => "`kubeadm init` did not finish",
            Self::Validity => "the kubelet's certificate expired",
            Self::Certificate => "the kubelet has no certificate",
            Self::NodeObject => "no Node object in the cluster",
            Self::Voter => "no voting etcd member",
            Self::Label => "not marked as a control plane",
        })
    }
}
