# The cluster, as its own API sees it: of nodes, of the pods and workloads of `kube-system`, and of API
# services a line each, with those fields that health is judged by ($1, a template of kubectl's); then
# etcd's members, as this control plane's own member sees them; then, if any container hangs, what was
# warned of (both JSON). Exit code 1: no API answers.
k="$kubectl --request-timeout=10s --namespace kube-system get"
seen=$($k nodes,pods,deployments.apps,daemonsets.apps,apiservices.apiregistration.k8s.io -o "jsonpath=$1") || exit 1
printf '%s\n' "$seen"
$etcdctl --command-timeout=3s member list -w json --hex=true
case $seen in
  *'"waiting":{'* | *'"Unschedulable"'*) $k events --field-selector type=Warning -o json ;;
esac
exit 0
