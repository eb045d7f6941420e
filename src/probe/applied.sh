# $objects: what was applied from this control plane, as the cluster has it now. Where the API hangs, nothing.
paths=$(cat "$applied"/* 2>/dev/null | awk '/^\// { print $1 }' | sort -u)
objects=$(set -f; limit=20; state $paths)
