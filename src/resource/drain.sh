# Lets the pods of node $1 go elsewhere: no new ones come, and those that are there are evicted, which waits for their
# budgets $2 s in all. $3 and $4: flags for pods that would lose something. $5: budgets that a person goes past. To the
# nodes that follow, which are drained after it, no new ones come either. What somebody else cordoned before stays cordoned afterwards; what did not come to
# its end is taken back.
k="$kubectl --request-timeout=30s"
drained=$1 limit=$2 empty_dirs=$3 alone=$4 budgets=$5
shift 5
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
left() {
  left=$((end - $(date +%s)))
  [ $left -gt 0 ] || left=1
}
evict() {
  left
  $kubectl drain "$drained" --ignore-daemonsets --timeout="${left}s" "$@"
}
metrics() { evict --pod-selector='k8s-app=metrics-server' --delete-emptydir-data "$@" >&2; }
others() { evict --pod-selector='k8s-app!=metrics-server' "$empty_dirs" "$alone" "$@" >&2; }
# A budget's selector, as kubectl's flag takes it: `-` for one that means no pods.
selector='{{if eq (printf "%v" .spec.selector) "<nil>"}}-{{else}}{{$and := ""}}{{range $key, $value := .spec.selector.matchLabels}}{{$and}}{{$key}}={{$value}}{{$and = ","}}{{end}}{{range .spec.selector.matchExpressions}}{{$and}}{{if eq .operator "DoesNotExist"}}!{{end}}{{.key}}{{if .values}} {{if eq .operator "NotIn"}}notin{{else}}in{{end}} ({{range $at, $value := .values}}{{if $at}},{{end}}{{$value}}{{end}}){{end}}{{$and = ","}}{{end}}{{end}}'
# Pods that a drain would evict: they have a controller that makes them elsewhere, unless those go that have none.
lost=
[ "$alone" = --force=false ] || lost='{{if not .metadata.ownerReferences}} {{$name}}{{end}}'
names='{{range .items}}{{$name := .metadata.name}}'$lost'{{range .metadata.ownerReferences}}{{if .controller}}{{if and (ne .kind "DaemonSet") (ne .kind "Node")}} {{$name}}{{end}}{{end}}{{end}}{{end}}'
# Deletes the pods of the budgets that a person goes past: an eviction would ask these. What a drain refuses, it has
# refused before.
past() {
  [ -n "$budgets" ] || return 0
  metrics --dry-run=client && others --dry-run=client || return
  for budget in $budgets; do
    in="$k --namespace ${budget%/*}"
    of=$($in get poddisruptionbudget "${budget#*/}" --ignore-not-found -o "go-template=$selector {{.metadata.uid}}") || return
    case $of in
      '') echo "there is no budget $budget"; continue ;;
      -\ *) continue ;;
    esac
    of=${of% *}
    pods=$($in get pods --selector "$of" --field-selector "spec.nodeName=$drained" -o "go-template=$names") || return
    left
    [ -z "$pods" ] || $kubectl --namespace "${budget%/*}" delete pods --ignore-not-found --timeout="${left}s" $pods || return
  done
}
past >&2 && metrics && others && exit 0
echo "$drained was not drained within $limit s, or must not be, as said above; what was evicted from it is elsewhere" >&2
give_up
