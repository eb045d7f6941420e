# Waits until the kubelet of node $1 says that it is Ready with version $2, and lets pods come again, unless somebody
# else than slipway cordoned the node.
k="$kubectl --request-timeout=10s"
i=0
while :; do
  state=$($k get node "$1" -o 'jsonpath={.status.nodeInfo.kubeletVersion} {.status.conditions[?(@.type=="Ready")].status} {.metadata.annotations.slipway\.dev/cordoned}' 2>/dev/null) || state=
  case $state in "$2 True "*) break ;; esac
  i=$((i + 1))
  [ $i -lt 280 ] || { echo "$1 is not Ready with $2 after $i s; it says: ${state:-nothing}" >&2; exit 1; }
  sleep 1
done
case $state in
  *' True ') exit 0 ;;
esac
uncordon "$1"
