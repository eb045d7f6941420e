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

/// What `etcdctl` must be told to ask this machine's own member, with the keys of its liveness probe.
macro_rules! etcd_flags {
    () => {
        "--endpoints=https://127.0.0.1:2379 --cacert=/etc/kubernetes/pki/etcd/ca.crt \
         --cert=/etc/kubernetes/pki/etcd/healthcheck-client.crt \
         --key=/etc/kubernetes/pki/etcd/healthcheck-client.key"
    };
}

/// Sets `$kubectl` and `$etcdctl`, for scripts that are files of their own.
macro_rules! admin {
    () => {
        concat!(
            "kubectl='",
            $crate::command::kubectl!(),
            "' etcdctl='etcdctl ",
            $crate::command::etcd_flags!(),
            "'\n"
        )
    };
}

/// The kubelet's client certificate, which says that the cluster has let it in; for `concat!`.
macro_rules! client_certificate {
    () => {
        "/var/lib/kubelet/pki/kubelet-client-current.pem"
    };
}

pub(crate) use {admin, admin_conf, client_certificate, etcd_flags, kubectl};
