set -eu
# Whether a container of pod $1 runs that the kubelet made after the manifest was written: $id.
runs() {
  of="labels.\"io.cri-containerd.kind\"==container,labels.\"io.kubernetes.pod.namespace\"==kube-system"
  for id in $(ctr -n k8s.io containers list -q "$of,labels.\"io.kubernetes.pod.name\"==\"$1\"" 2>/dev/null); do
    made=$(ctr -n k8s.io containers info "$id" 2>/dev/null | sed -n 's/^ *"CreatedAt": "\(.*\)",$/\1/p')
    [ "$made" \> "$written" ] && ctr -n k8s.io tasks list 2>/dev/null | grep -q "^$id  *[0-9]*  *RUNNING" && return
  done
  return 1
}
# Whether the API says nothing of pod $1 that was true of the container before alone: ready it may only call $id.
heard() {
  said=$($kubectl --request-timeout=5s --namespace kube-system get pod "$1" --ignore-not-found \
    -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status} {.status.containerStatuses[0].containerID}' 2>/dev/null) || return 1
  case $said in "True containerd://$id") ;; "True "*) return 1 ;; esac
}
t=$(mktemp "${1%/*}/.slipway.XXXXXX"); trap 'rm -f -- "$t"' EXIT
cat >"$t"
s=$(openssl dgst -sha256 -r <"$t" 2>/dev/null || sha256sum <"$t")
[ "${s%% *}" = "$3" ] || { echo "what arrived has another digest" >&2; exit 1; }
written=$(date -u +%Y-%m-%dT%H:%M:%S.%NZ)
chown root:root "$t"; chmod 600 "$t"; sync "$t"; mv -fT -- "$t" "$1"; trap - EXIT
end=$(($(date +%s) + 270))
until runs "$2" && curl -skf --max-time 5 --noproxy '*' -o /dev/null "$4" && heard "$2"; do
  [ "$(date +%s)" -lt $end ] || { echo "$2 is not ready with its new manifest after 270 s" >&2; exit 1; }
  sleep 0.5
done
