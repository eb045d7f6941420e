#!/usr/bin/env bash
# Bare kubeadm commands (floor.sh) against `slipway apply`, each on fresh nodes, in turn.
#
#   bench/compare.sh [ROUNDS]     default 3; writes bench/results.md
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-3}
slipway=${SLIPWAY:-target/release/slipway}
lab=bench
[ -x "$slipway" ] || { echo "error: $slipway is missing: make build" >&2; exit 71; }
for program in jq ssh; do
  command -v $program >/dev/null || { echo "error: \`$program\` is missing" >&2; exit 71; }
done
work=$(mktemp -d)
trap '$slipway lab down --name $lab; rm -rf "$work"' EXIT

fresh() {
  $slipway lab down --name $lab
  rm -rf "$work/lab"
  $slipway lab up --name $lab --control-planes 3 --workers 2 --dir "$work/lab" >/dev/null 2>&1
}
floor() {
  fresh
  bench/floor.sh $lab "$work/lab" >"$work/floor"
  paste -sd' ' "$work/floor" >&2
  awk '$1 == "total" { print $2 }' "$work/floor"
}
apply() {
  fresh
  local began ended
  began=$(date +%s.%N)
  $slipway apply --yes -i "$work/lab/slipway.yaml" >"$work/apply" 2>&1 || { tail -40 "$work/apply" >&2; return 1; }
  ended=$(date +%s.%N)
  awk -v from="$began" -v to="$ended" 'BEGIN { print to - from }'
}
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { print a / b }'; }
middle() { sort -n | awk '{ v[NR] = $1 } END { print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'; }

: >"$work/rows"
for round in $(seq "$rounds"); do
  # Whoever goes first may find a warmer or colder machine: they take turns.
  if [ $((round % 2)) = 1 ]; then f=$(floor); s=$(apply); else s=$(apply); f=$(floor); fi
  r=$(ratio "$s" "$f")
  printf 'round %d: floor %.1f s, slipway %.1f s, ratio %.2f\n' "$round" "$f" "$s" "$r"
  echo "$f $s $r" >>"$work/rows"
done
f=$(awk '{ print $1 }' "$work/rows" | middle)
s=$(awk '{ print $2 }' "$work/rows" | middle)
r=$(ratio "$s" "$f")
printf 'middle: floor %.1f s, slipway %.1f s, ratio %.2f\n' "$f" "$s" "$r"

cat >bench/results.md <<END
# slipway against bare kubeadm commands

Commit $(git rev-parse --short HEAD)$(git diff --quiet HEAD -- src bench templates bundle || echo ' with changes'), $(date -u +%F), $(nproc) processors, kernel $(uname -r | cut -d- -f1).
Fresh lab nodes each time: 3 control planes, 2 workers, Kubernetes $("$slipway" bundle versions | head -n 1); seconds until every node
is Ready and every pod runs. What the floor leaves out is said in \`floor.sh\`.

| round | floor | slipway | ratio |
|---|---|---|---|
$(awk '{ printf "| %d | %.1f | %.1f | %.2f |\n", NR, $1, $2, $3 }' "$work/rows")
| **middle** | **$(printf %.1f "$f")** | **$(printf %.1f "$s")** | **$(printf %.2f "$r")** |
END
