# What kubeadm would write for the configuration on standard input, and what is there. With $1
# `objects` also what it would make in the cluster, and what is there. kubeadm itself says it (a dry
# run), in a directory that only root reads, that lies in memory, and that is gone at the end. Its
# `admin.conf` there leads nowhere, so that what the cluster has now does not colour the answer.
# Exit code 3: kubeadm does not say it; its last words.
d=$(mktemp -d /run/slipway-look.XXXXXX) || exit 1
trap 'rm -rf "$d"' EXIT
trap 'exit 1' HUP INT TERM
cd "$d" && cat >configuration || exit 1
printf '%s' '{"apiVersion":"v1","kind":"Config","current-context":"none","clusters":[{"name":"none","cluster":{"server":"https://127.0.0.1:1"}}],"users":[{"name":"none","user":{}}],"contexts":[{"name":"none","context":{"cluster":"none","user":"none"}}]}' >admin.conf
# It would write a login's proxies into manifests.
env -i PATH="$PATH" KUBEADM_INIT_DRYRUN_DIR="$d" timeout 60 kubeadm init --config configuration >said 2>&1 || { tail -n 5 said; exit 3; }
m=/etc/kubernetes/manifests k=/var/lib/kubelet
tail -v -n +1 etcd.yaml kube-apiserver.yaml kube-controller-manager.yaml kube-scheduler.yaml config.yaml instance-config.yaml kubeadm-flags.env \
  $m/etcd.yaml $m/kube-apiserver.yaml $m/kube-controller-manager.yaml $m/kube-scheduler.yaml $k/config.yaml $k/instance-config.yaml $k/kubeadm-flags.env
[ "$1" = objects ] || exit 0
# Its objects, and their paths in the API; tokens nobody reads.
paths=$(awk '
  function end() {
    if (inside && kind != "Secret") print (version ~ "/" ? "/apis/" : "/api/") version namespace "/" tolower(kind) "s/" name
    inside = 0; namespace = ""
  }
  /^\[/ { end() }
  inside { print >"objects" }
  /^\[dryrun\] Attached object:/ { print "---" >"objects"; inside = 1 }
  /^[^ ]/ { part = $1 }
  part == "apiVersion:" { version = $2 }
  part == "kind:" { kind = $2 }
  part == "metadata:" && /^  name:/ { name = $2 }
  part == "metadata:" && /^  namespace:/ { namespace = "/namespaces/" $2 }
  END { end() }' said)
# `init` makes this one before its first phase, and does not say so.
printf -- '---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: "kubeadm:cluster-admins"}\nroleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}\nsubjects: [{apiGroup: rbac.authorization.k8s.io, kind: Group, name: "kubeadm:cluster-admins"}]\n' >>objects
printf '\n'
tail -v -n +1 objects
printf '\n==> live <==\n'
api $paths /apis/rbac.authorization.k8s.io/v1/clusterrolebindings/kubeadm:cluster-admins |
  awk '/^{/ { said = $0 } $0 == 200 { print said } /^[0-9]/ && $0 != 200 && $0 != 404 { print "failed" } /^[0-9]/ { said = "failed" }'
exit 0
