//! Probes of the cluster as a control plane sees it: its API and etcd, asked with keys on the machine.

use super::Probe;
use crate::command::{ADMIN_CONF, admin, api, applied, kubectl};

const ETCD_CLIENT: &str = "/etc/kubernetes/pki/etcd/healthcheck-client.crt";

impl Probe {
    /// etcd's members as this control plane's own member sees them (JSON), after its own health.
    #[must_use]
    pub fn etcd_members() -> Self {
        Self::new(
            concat!(admin!(), "$etcdctl --command-timeout=3s endpoint health >/dev/null 2>&1 || exit 1; $etcd_members"),
            &[],
        ).reading(&[ETCD_CLIENT])
    }

    /// Whether a member lives on this machine, by the machine's own credentials: `votes`, if the etcd
    /// member that answers here votes; `node=UID READY`, if the API knows the kubelet's `node`, unless
    /// that is empty. Nothing where nobody answers.
    #[must_use]
    pub fn alive(node: &str) -> Self {
        Self::new(concat!(admin!(), include_str!("alive.sh")), &[node])
            .reading(&[ETCD_CLIENT, "/etc/kubernetes/kubelet.conf"])
    }

    /// An object of the cluster as JSON, by its path in the API; or exit code 1.
    #[must_use]
    pub fn object(path: &str) -> Self {
        Self::new(concat!(api!(), r#"object "$1" || exit 1"#), &[path]).reading(&[ADMIN_CONF])
    }

    /// Bootstrap tokens: each Secret's name, and its description in base64. Never the token itself.
    #[must_use]
    pub fn tokens() -> Self {
        Self::new(concat!(api!(), include_str!("tokens.sh")), &[]).reading(&[ADMIN_CONF])
    }

    /// The name of a ClusterRoleBinding, if there is one; exit code 1: no answer.
    #[must_use]
    pub fn cluster_role_binding(name: &str) -> Self {
        Self::new(
            concat!(
                api!(),
                r#"case $(api "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/$1" | tail -n 1) in
                200.0) printf '%s\n' "$1" ;;
                404.0) ;;
                *) exit 1 ;;
                esac"#
            ),
            &[name],
        ).reading(&[ADMIN_CONF])
    }

    /// Whether the API server on this control plane itself, at `address`, is ready.
    #[must_use]
    pub fn api_server(address: &str) -> Self {
        Self::new(
            concat!(
                kubectl!(),
                r#" --request-timeout=5s --server "https://$1:6443" get --raw /readyz"#
            ),
            &[address],
        )
        .reading(&[ADMIN_CONF])
    }

    /// Whether the certificate in a TLS Secret of `kube-system` is there, is signed by the cluster,
    /// and has 30 days left. Reads the certificate only, never the key.
    #[must_use]
    pub fn server_certificate(secret: &str) -> Self {
        Self::new(
            concat!(api!(), r#"c=$(object "/api/v1/namespaces/kube-system/secrets/$1" | sed -n 's/.*"tls\.crt":"\([^"]*\)".*/\1/p' | base64 -d) && [ -n "$c" ] || exit 1
            printf '%s\n' "$c" | openssl verify -attime $(($(date +%s) + 2592000)) -CAfile /etc/kubernetes/pki/ca.crt >/dev/null"#),
            &[secret],
        ).reading(&[ADMIN_CONF])
    }

    /// The whole cluster as its API sees it: all objects that health is judged by, etcd's members and what
    /// was warned of, each a line of JSON.
    #[must_use]
    pub fn health() -> Self {
        Self::new(concat!(admin!(), api!(), include_str!("health.sh")), &[]).reading(&[ADMIN_CONF])
    }

    /// Which deprecated APIs clients have asked the API server at `address` for, and how often: its own metrics.
    #[must_use]
    pub fn deprecated_apis(address: &str) -> Self {
        Self::new(concat!(admin!(), include_str!("deprecated.sh")), &[address])
            .reading(&[ADMIN_CONF])
    }

    /// Which evictions from `nodes` would be refused now, by a dry run of the API server's; `flags` are those of a
    /// drain. Nothing is evicted, nothing cordoned.
    #[must_use]
    pub fn evictions(flags: &[String; 2], nodes: &[&str]) -> Self {
        let words: Vec<&str> =
            flags.iter().map(String::as_str).chain(nodes.iter().copied()).collect();
        Self::new(concat!(admin!(), include_str!("evictions.sh")), &words).reading(&[ADMIN_CONF])
    }

    /// The cluster's own id (the UID of `kube-system`), then what its agent's Secret says of the
    /// hub: the cluster's name there, server and CA, each in base64, and `credential` where it has
    /// one. Never the credential itself.
    #[must_use]
    pub fn registration() -> Self {
        Self::new(concat!(api!(), include_str!("registration.sh")), &[]).reading(&[ADMIN_CONF])
    }

    /// What applying `manifest` would change, as the API server itself says (a server-side dry
    /// run): exit code 0 nothing, 1 the diff, more: no answer. It is not asked for a manifest of that `name`
    /// and `digest` that was applied from this node, while the objects are as they were then: one command
    /// gets those of all manifests of a look.
    #[must_use]
    pub fn manifest(name: &str, digest: &str, manifest: &str) -> Self {
        let first = concat!(admin!(), api!(), applied!(), include_str!("applied.sh"));
        let mut probe =
            Self::new(include_str!("manifest.sh"), &[name, digest]).reading(&[ADMIN_CONF]);
        probe.first = Some(first);
        probe.input = Some(manifest.to_owned());
        probe
    }

    /// What kubeadm would write for `configuration` (a dry run), and what is there; with `objects`
    /// also objects of the cluster. Exit code 3: it does not say. It writes to a directory of its own,
    /// in memory, which is gone at the end.
    #[must_use]
    pub fn written(configuration: &str, objects: bool) -> Self {
        let what = if objects { "objects" } else { "files" };
        let mut probe = Self::new(concat!(api!(), include_str!("kubeadm.sh")), &[what])
            .reading(&["/etc/kubernetes/manifests/", "/var/lib/kubelet/"]);
        probe.input = Some(configuration.to_owned());
        probe
    }
}
