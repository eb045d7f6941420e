# What applying the manifest on standard input would change. Not asked of the API server where it is manifest
# $1 with digest $2 that was applied from here, and the cluster has all its objects as they were then.
f=$applied/$1
if [ "$(head -n 1 "$f")" = "$2" ]; then
  count=$(tail -n +2 "$f" | grep -c .)
  [ "$count" != 0 ] && [ "$(tail -n +2 "$f" | grep -cxF -e "$objects")" = "$count" ] && exit 0
fi
$kubectl --request-timeout=20s diff --server-side --force-conflicts --field-manager=slipway -f - 2>&1
