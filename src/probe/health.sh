# The cluster, as its own API sees it: nodes, the pods and workloads of `kube-system`, API services;
# then etcd's members, as this control plane's own member sees them; then, if any container hangs,
# what was warned of. JSON, one after the other. Exit code 1: no API answers.
k='kubectl --kubeconfig /etc/kubernetes/admin.conf --request-timeout=10s --namespace kube-system get -o json'
seen=$($k nodes,pods,deployments.apps,daemonsets.apps,apiservices.apiregistration.k8s.io) || exit 1
printf '%s\n' "$seen"
etcdctl --endpoints=https://127.0.0.1:2379 --cacert=/etc/kubernetes/pki/etcd/ca.crt --cert=/etc/kubernetes/pki/etcd/healthcheck-client.crt --key=/etc/kubernetes/pki/etcd/healthcheck-client.key --command-timeout=3s member list -w json --hex=true
case $seen in
  *'"waiting": {'* | *'"Unschedulable"'*) $k events --field-selector type=Warning ;;
esac
exit 0
