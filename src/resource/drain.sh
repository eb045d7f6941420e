# Lets the pods of node $1 go elsewhere: no new ones come, and those that are there are evicted, which waits for their
# budgets $2 s in all. $3 and $4: flags for pods that would lose something. What somebody else cordoned before stays
# cordoned afterwards; what did not come to its end is taken back.
k="$kubectl --request-timeout=30s"
state=$($k get node "$1" -o 'jsonpath={.spec.unschedulable} {.metadata.annotations.slipway\.dev/cordoned}') || exit 1
case $state in
  'true ') ours= ;;
  *)
    ours=1
    $k patch node "$1" --type merge --patch '{"metadata":{"annotations":{"slipway.dev/cordoned":"drain"}},"spec":{"unschedulable":true}}' >/dev/null || exit 1
    ;;
esac
# metrics-server keeps nothing but a cache in its emptyDir.
end=$(($(date +%s) + $2))
evict() {
  left=$((end - $(date +%s)))
  [ $left -gt 0 ] || left=1
  node=$1; shift
  $kubectl drain "$node" --ignore-daemonsets --timeout="${left}s" "$@"
}
evict "$1" --pod-selector='k8s-app=metrics-server' --delete-emptydir-data >&2 &&
  evict "$1" --pod-selector='k8s-app!=metrics-server' "$3" "$4" >&2 && exit 0
[ -z "$ours" ] || uncordon "$1"
echo "$1 was not drained within $2 s, or must not be, as said above; what was evicted from it is elsewhere" >&2
exit 1
