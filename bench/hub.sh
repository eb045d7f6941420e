#!/usr/bin/env bash
# One hub with 100 and with 1,000 members, each with the real agent's code and an interval of 30 s:
# requests, processor time and memory of the hub, of its controller, and of all agents together.
# MEMBERS="100 1000" SECONDS_EACH=120 bench/hub.sh
set -euo pipefail
cd "$(dirname "$0")/.."
ulimit -n "$(ulimit -H -n)"
for members in ${MEMBERS:-100 1000}; do
  MEMBERS=$members MEASURE=${SECONDS_EACH:-120} cargo bench --locked -p slipway-agent --bench load
done
