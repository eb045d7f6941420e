# The cluster, as its own API sees it: each node, pod and workload of `kube-system`, and API service, a line of
# JSON each; then etcd's members, as this control plane's own member sees them; then, if any container hangs, what
# was warned of. Exit code 1: no API answers.
# The objects of the $1 lists that the API answers with, but for most of what nobody asks for: the images of nodes,
# and pods that are ready, of whom only those of control planes and of CoreDNS count.
objects() {
  awk -v lists="$1" '
    $0 == 200 { said++ }
    /^[{]"kind":"[A-Za-z]*List"/ {
      kind = substr($0, 10, index($0, "List\"") - 10)
      sub(/\]}$/, "")
      count = split($0, objects, /[[,][{]"metadata":[{]"name":"/)
      for (i = 2; i <= count; i++) {
        if (kind == "Node") gsub(/[{]"names":\[[^]]*\],"sizeBytes":[0-9]*}/, "0", objects[i])
        if (kind == "Pod" && objects[i] ~ /"type":"Ready",("observedGeneration":[0-9]+,)?"status":"True"/ &&
            objects[i] !~ /^(etcd|kube-apiserver|kube-controller-manager|kube-scheduler)-|"k8s-app":"kube-dns"/) continue
        print "{\"kind\":\"" kind "\",\"metadata\":{\"name\":\"" objects[i]
      }
    }
    END { exit said != lists }'
}
k=/api/v1/namespaces/kube-system apps=/apis/apps/v1/namespaces/kube-system
seen=$(api /api/v1/nodes $k/pods $apps/deployments $apps/daemonsets /apis/apiregistration.k8s.io/v1/apiservices |
  objects 5) || exit 1
printf '%s\n' "$seen"
$etcd_members
case $seen in
  *'"waiting":{'* | *'"Unschedulable"'*) api "$k/events?fieldSelector=type=Warning" | objects 1 ;;
esac
exit 0
