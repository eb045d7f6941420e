# $objects: what was applied from this control plane, as the cluster has it now. Where the API hangs, nothing.
objects=$(limit=20; state $(cat "$applied"/* 2>/dev/null | awk '/^\// { print $1 }' | sort -u))
