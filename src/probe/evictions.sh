# What evicting the pods of each node would be answered now, as the API server says in a dry run: the lines of
# kubectl that refuse, the node's name first. $1 and $2: a drain's flags for pods that would lose something.
one=$1 two=$2
shift 2
for node; do
  timeout 20 $kubectl drain "$node" --dry-run=server --ignore-daemonsets --timeout=2s \
    --pod-selector='k8s-app!=metrics-server' "$one" "$two" 2>&1 | sed -u -n "/annot /s/^/$node /p" &
done
wait
