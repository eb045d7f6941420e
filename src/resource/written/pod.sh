set -eu
# The hash of the manifest that the pod is of, whether it is ready, and when its container started; nothing
# while no API answers.
state() {
  $kubectl --request-timeout=5s --namespace kube-system get pod "$1" \
    -o "jsonpath={.metadata.annotations.kubernetes\.io/config\.hash} {.status.conditions[?(@.type=='Ready')].status} {.status.containerStatuses[0].state.running.startedAt}" 2>/dev/null || :
}
before=$(state "$2")
t=$(mktemp "${1%/*}/.slipway.XXXXXX"); trap 'rm -f -- "$t"' EXIT
cat >"$t"
s=$(openssl dgst -sha256 -r <"$t" 2>/dev/null || sha256sum <"$t")
[ "${s%% *}" = "$3" ] || { echo "what arrived has another digest" >&2; exit 1; }
chown root:root "$t"; chmod 600 "$t"; sync "$t"; mv -fT -- "$t" "$1"; trap - EXIT
written=$(date -u +%Y-%m-%dT%H:%M:%SZ)
i=0
while :; do
  now=$(state "$2")
  # The hash stays where the kubelet had not come to what somebody else wrote before us.
  case $now in
    "${before%% *} True "*) [ "${now##* }" \> "$written" ] && exit 0 ;;
    *" True "*) exit 0 ;;
  esac
  i=$((i + 1))
  [ $i -lt 270 ] || { echo "$2 is not ready with its new manifest after $i s; it says: ${now:-nothing}" >&2; exit 1; }
  sleep 1
done
