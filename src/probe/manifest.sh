# What applying the manifest on standard input would change. Not asked of the API server where it is manifest
# $1 with digest $2 that was applied from here, and the cluster has all its objects as they were then: the first line
# of what is remembered says how many there are.
f=$applied/$1
count=$(tail -n +2 "$f" | grep -c '')
[ "$count" -gt 0 ] && [ "$(head -n 1 "$f")" = "$2 $count" ] &&
  [ "$(printf '%s\n' "$objects" | grep -cxF -f "$f")" = "$count" ] && exit 0
$kubectl --request-timeout=20s diff --server-side --force-conflicts --field-manager=slipway -f - 2>&1
