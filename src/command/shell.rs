//! How shell texts on a control plane speak with its cluster: the words that all of them begin with. They
//! are macros, so that `concat!` takes them.

/// The administrator's kubeconfig, which `kubeadm` writes.
pub const ADMIN_CONF: &str = crate::command::admin_conf!();

/// [`ADMIN_CONF`], for `concat!`.
macro_rules! admin_conf {
    () => {
        "/etc/kubernetes/admin.conf"
    };
}

/// `kubectl` as the administrator.
macro_rules! kubectl {
    () => {
        concat!("kubectl --kubeconfig ", $crate::command::admin_conf!())
    };
}

/// Sets `$kubectl`; `$etcdctl`, which asks this machine's own member with the keys of its liveness probe; and
/// `$etcd_members`, which prints what [`crate::etcd::MemberList`] reads.
macro_rules! admin {
    () => {
        concat!(
            "kubectl='",
            $crate::command::kubectl!(),
            "'\netcdctl='etcdctl --endpoints=https://127.0.0.1:2379 --cacert=/etc/kubernetes/pki/etcd/ca.crt \
             --cert=/etc/kubernetes/pki/etcd/healthcheck-client.crt \
             --key=/etc/kubernetes/pki/etcd/healthcheck-client.key'\n",
            "etcd_members=\"$etcdctl --command-timeout=3s member list -w json --hex=true\"\n",
        )
    };
}

/// Brings `api PATH...`, which prints what the API answers to each, as the administrator: the body, of JSON one line,
/// and on a line after it the status of HTTP, a dot, and curl's exit code, which is not 0 where the answer is not whole;
/// 000 where there is none, which is the last. It asks `$server`, or the cluster's endpoint, for `$limit` seconds each,
/// or ten, and for `$accept`, or whole objects. A `kubectl` costs three times as much, and is asked where curl is gone.
/// The keys are in no argument. `object PATH` prints the body alone; exit code 1 where it is no object.
macro_rules! api {
    () => {
        concat!(
            "admin_conf=",
            $crate::command::admin_conf!(),
            "\n",
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/command/api.sh"))
        )
    };
}

/// Sets `$applied`, where a control plane remembers what it applied, and brings `state PATH...`, which prints a
/// line for each of these objects that is there: its path in the API; then its metadata, but of its managers only what
/// `slipway` has of it, and since when. Whoever changes a field takes it from the
/// manager that applied it (kubernetes.io, "Server-Side Apply"); but a webhook that changes what another wrote takes
/// nothing, and who writes to the API may write what managers have. Nobody can set a generation back. Objects without
/// one have a version, but for those two whose state is written all the time, of which one has a `spec`; nor do
/// annotations count where controllers write them. Needs [`api`].
macro_rules! applied {
    () => {
        concat!(
            "applied=/var/lib/slipway/applied\n",
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/command/state.sh"))
        )
    };
}

/// The kubelet's client certificate, which says that the cluster has let it in; for `concat!`.
macro_rules! client_certificate {
    () => {
        "/var/lib/kubelet/pki/kubelet-client-current.pem"
    };
}

/// The kubelet's serving certificate, for `concat!`.
macro_rules! serving_certificate {
    () => {
        "/var/lib/kubelet/pki/kubelet-server-current.pem"
    };
}

pub(crate) use {
    admin, admin_conf, api, applied, client_certificate, kubectl, serving_certificate,
};

#[cfg(test)]
mod tests;
