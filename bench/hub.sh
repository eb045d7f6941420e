#!/usr/bin/env bash
# One hub with 100 and with 1,000 members, each with the real agent's code and an interval of 30 s:
# requests, processor time and memory of the hub, of its controller, and of all agents together.
# Writes bench/hub.md. MEMBERS="100 1000" SECONDS_EACH=120 bench/hub.sh
set -euo pipefail
cd "$(dirname "$0")/.."
ulimit -n "$(ulimit -H -n)"
rows=
for members in ${MEMBERS:-100 1000}; do
  rows+=$(MEMBERS=$members MEASURE=${SECONDS_EACH:-120} cargo bench --locked -p slipway-agent --bench load |
    tee >(cat >&2) | grep '^|')$'\n'
done
cat >bench/hub.md <<END
# One hub and many members

Commit $(git rev-parse --short HEAD), $(date +%F), $(nproc) processors, Kubernetes $("$slipway" bundle versions | head -n 1). Hub, members' API
server and all agents on one machine; an interval of 30 s; measured for ${SECONDS_EACH:-120} s, 40 s after the
last member was Ready. The agents are the real agent's code, all in one process; processors in cores, memory
as resident. Members have no nodes and no manifest sets.

| members | all Ready after | requests to the hub, a second | its API server | its etcd | its controller | all agents |
|---|---|---|---|---|---|---|
$rows
END
