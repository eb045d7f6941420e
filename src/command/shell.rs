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

/// Sets `api PATH...`, which prints what the API answers to each, as the administrator: the body, of JSON one
/// line, and on a line after it the status of HTTP; 000 where nobody answers, which is the last. It asks
/// `$server`, or the cluster's endpoint, for `$limit` seconds, or ten, and for `$accept`, or whole objects. A `kubectl` costs three times as much.
/// The keys are in no argument.
macro_rules! api {
    () => {
        concat!(
            "admin_conf=",
            $crate::command::admin_conf!(),
            r#"
api() {
  pem=$(awk '$1 == "client-certificate-data:" && !c { c = $2 } $1 == "client-key-data:" && !k { k = $2 }
    $1 == "certificate-authority-data:" && !a { a = $2 } END { print c "\n" k "\n" a }' $admin_conf | base64 -d)
  at=${server:-$(awk '$1 == "server:" { print $2; exit }' $admin_conf)}
  for path; do shift; set -- "$@" "$at$path"; done
  curl -q --silent --globoff --noproxy '*' --max-time "${limit:-10}" --fail-early --user-agent slipway \
    ${accept:+"-HAccept: $accept"} --write-out '\n%{http_code}\n' --cacert /dev/fd/3 --cert /dev/fd/4 --key /dev/fd/5 "$@" 3<<CA 4<<CERTIFICATE 5<<KEY
$pem
CA
$pem
CERTIFICATE
$pem
KEY
}
# The body of the answer `api PATH` gives; exit code 1 where it is no object.
object() {
  said=$(api "$1")
  case $said in *'
200') printf '%s\n' "${said%?200}" ;; *) return 1 ;; esac
}
"#
        )
    };
}

/// Sets `$applied`, where a control plane remembers what it applied, and brings `state PATH...`, which prints a
/// line for each of these objects that is there: its path in the API; then its UID, its generation, its labels and
/// annotations, what field manager `slipway` has of it, and since when. Whoever changes a field takes it from the
/// manager that applied it (kubernetes.io, "Server-Side Apply"); but a webhook that changes what another wrote takes
/// nothing, and who writes to the API may write what managers have. Nobody can set a generation back. Objects without
/// one have a version, but for those two whose state is written all the time, of which one has a `spec`; nor do
/// annotations count where controllers write them. Needs [`api`].
macro_rules! applied {
    () => {
        concat!("applied=/var/lib/slipway/applied\n", include_str!("../command/state.sh"))
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
