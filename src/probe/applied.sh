# $objects: what was applied from this control plane, as the cluster has it now. Where the API hangs, nothing.
objects=$(cat "$applied"/* 2>/dev/null | awk 'NF > 3 {
  printf "---\napiVersion: %s\nkind: %s\nmetadata: {name: \"%s\"%s}\n", $1, $2, $4, $3 == "-" ? "" : ", namespace: \"" $3 "\""
}' | timeout 20 $kubectl get --ignore-not-found -o "go-template=$state" -f - 2>/dev/null | sort -u)
