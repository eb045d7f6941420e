# Lets the pods of node $1 go elsewhere: no new ones come, and those that are there are evicted, which waits for their
# budgets $2 s in all. $3 and $4: flags for pods that would lose something. To the nodes that follow, which are drained
# after it, no new ones come either. What somebody else cordoned before stays cordoned afterwards; what did not come to
# its end is taken back.
k="$kubectl --request-timeout=30s"
drained=$1 limit=$2 empty_dirs=$3 alone=$4
shift 4
ours=
give_up() {
  for node in $ours; do uncordon "$node"; done
  exit 1
}
for node in "$drained" "$@"; do
  state=$($k get node "$node" -o 'jsonpath={.spec.unschedulable} {.metadata.annotations.slipway\.dev/cordoned}') || give_up
  [ "$state" = 'true ' ] && continue
  ours="$ours $node"
  $k patch node "$node" --type merge --patch '{"metadata":{"annotations":{"slipway.dev/cordoned":"drain"}},"spec":{"unschedulable":true}}' >/dev/null || give_up
done
# metrics-server keeps nothing but a cache in its emptyDir.
end=$(($(date +%s) + limit))
evict() {
  left=$((end - $(date +%s)))
  [ $left -gt 0 ] || left=1
  $kubectl drain "$drained" --ignore-daemonsets --timeout="${left}s" "$@"
}
evict --pod-selector='k8s-app=metrics-server' --delete-emptydir-data >&2 &&
  evict --pod-selector='k8s-app!=metrics-server' "$empty_dirs" "$alone" >&2 && exit 0
echo "$drained was not drained within $limit s, or must not be, as said above; what was evicted from it is elsewhere" >&2
give_up
