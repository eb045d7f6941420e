# Lets pods come to node $1 again.
uncordon() {
  $k patch node "$1" --type merge --patch '{"metadata":{"annotations":{"slipway.dev/cordoned":null}},"spec":{"unschedulable":null}}' >/dev/null
}
