//! The static pods of a control plane.

use super::written::manifest_path;

/// Static pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Pod {
    Etcd,
    ApiServer,
    ControllerManager,
    Scheduler,
}

impl Pod {
    pub(super) const ALL: [Self; 4] =
        [Self::Etcd, Self::ApiServer, Self::ControllerManager, Self::Scheduler];

    /// Its name, its image's, its manifest's.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
        }
    }

    /// Where its manifest lies.
    pub(super) fn manifest(self) -> String {
        manifest_path(self.name())
    }
}
