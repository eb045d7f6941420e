#!/usr/bin/env bash
# What a look costs at a cluster that is as it is meant to be: `slipway plan` against pyinfra and Ansible with
# mitogen, which look at 13 things of each node (slipway at everything), in turn, on one lab.
#
#   bench/look.sh [ROUNDS]     default 5; writes bench/look.md
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-5}
slipway=${SLIPWAY:-target/release/slipway}
lab=bench
[ -x "$slipway" ] || { echo "error: $slipway is missing: make build" >&2; exit 71; }
for program in python3 jq ssh; do
  command -v $program >/dev/null || { echo "error: \`$program\` is missing" >&2; exit 71; }
done
slipway=$(realpath "$slipway")
work=$(mktemp -d)
trap '$slipway lab down --name $lab; rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" --quiet install pyinfra==3.10.0 ansible-core==2.19.14 mitogen==0.3.54

"$slipway" lab up --name $lab --control-planes 3 --workers 2 --dir "$work/lab" >/dev/null 2>&1
cd "$work/lab"
"$slipway" apply --yes >"$work/apply" 2>&1 || { tail -40 "$work/apply" >&2; exit 1; }
"$slipway" lab status --name $lab --output json >"$work/status"
mapfile -t nodes < <(jq -r '.nodes[].name' "$work/status")
jq -r '.nodes[].address' "$work/status" >"$work/hosts"
on() { "$slipway" lab ssh --name $lab "$1" -- "${@:2}"; }

# Ansible wants Python on the nodes, which the others do without.
on w-1 cat /var/lib/dpkg/status >"$work/dpkg"
mkdir "$work/debs"
(
  cd "$work/debs"
  apt-get install --simulate -o Dir::State::status="$work/dpkg" --no-install-recommends python3 python3-apt |
    awk '/^Inst/ { print $2 }' | xargs apt-get download
  tar -cf ../debs.tar .
) >"$work/apt" 2>&1 || { tail "$work/apt" >&2; exit 1; }
for address in $(cat "$work/hosts"); do
  ssh -i id_ed25519 -o UserKnownHostsFile=known_hosts "root@$address" \
    'mkdir /run/debs && tar -xf - -C /run/debs && apt-get install --yes /run/debs/*.deb && rm -r /run/debs' \
    <"$work/debs.tar" >"$work/install" 2>&1 || { tail "$work/install" >&2; exit 1; }
done

# The 13 things, as the two others say them, with files as they are on the nodes.
mkdir "$work/files"
files=(/etc/containerd/config.toml /etc/sysctl.d/90-slipway.conf /etc/chrony/chrony.conf /usr/local/bin/kubelet)
for file in "${files[@]}"; do on w-1 cat "$file" >"$work/files/${file##*/}"; done
mode() { [ "${1##*/}" = kubelet ] && echo 755 || echo 644; }
{
  echo 'from pyinfra.operations import apt, files, server, systemd'
  for file in "${files[@]}"; do
    echo "files.put(src='$work/files/${file##*/}', dest='$file', mode='$(mode "$file")')"
  done
  for unit in containerd kubelet chrony; do echo "systemd.service(service='$unit', running=True, enabled=True)"; done
  echo "apt.packages(packages=['chrony', 'conntrack', 'socat'], present=True)"
  for key in net.ipv4.ip_forward net.bridge.bridge-nf-call-iptables; do echo "server.sysctl(key='$key', value=1)"; done
  echo "server.sysctl(key='kernel.panic', value=10)"
  echo "files.directory(path='/etc/kubernetes', present=True)"
  echo "files.file(path='/etc/kubernetes/kubelet.conf', mode='600', present=True)"
} >"$work/deploy.py"
{
  printf -- '- hosts: all\n  gather_facts: false\n  tasks:\n'
  for file in "${files[@]}"; do
    echo "    - copy: {src: $work/files/${file##*/}, dest: $file, mode: '0$(mode "$file")'}"
  done
  for unit in containerd kubelet chrony; do echo "    - systemd_service: {name: $unit, state: started, enabled: true}"; done
  echo '    - package: {name: [chrony, conntrack, socat], state: present, use: apt}'
  for file in net/ipv4/ip_forward net/bridge/bridge-nf-call-iptables kernel/panic; do
    echo "    - command: cat /proc/sys/$file"
    printf '      changed_when: false\n      check_mode: false\n'
  done
  echo '    - file: {path: /etc/kubernetes, state: directory}'
  echo "    - file: {path: /etc/kubernetes/kubelet.conf, mode: '0600'}"
} >"$work/playbook.yml"
{
  echo 'nodes = ['
  while read -r address; do
    echo "  ('$address', {'ssh_user': 'root', 'ssh_key': '$PWD/id_ed25519', 'ssh_known_hosts_file': '$PWD/known_hosts'}),"
  done <"$work/hosts"
  echo ']'
} >"$work/inventory.py"
cat >"$work/ansible.cfg" <<END
[defaults]
strategy_plugins = $(echo "$work"/venv/lib/python3*/site-packages/ansible_mitogen/plugins/strategy)
strategy = mitogen_linear
inventory = $work/hosts
remote_user = root
private_key_file = $PWD/id_ed25519
interpreter_python = /usr/bin/python3
[ssh_connection]
ssh_args = -o UserKnownHostsFile=$PWD/known_hosts
END

# NAME COMMAND...: its wall time, its processor time here, and each node's, in seconds, as a row. A node's is
# what sshd's children have used that have ended, in ticks (proc_pid_stat(5)); this machine sees it, for to ask by SSH
# would count, too.
declare -A sshd
for id in $(pgrep -f 'sshd.* -D'); do sshd[$(cat "/proc/$id/root/etc/hostname")]=$id; done
spent() {
  for ((i = 0; i < 200; i++)); do pgrep -P "${sshd[$1]}" >/dev/null || break; sleep 0.05; done
  awk '{ print $16 + $17 }' "/proc/${sshd[$1]}/stat"
}
run() {
  local name=$1 before=() after=() i
  shift
  for node in "${nodes[@]}"; do before+=("$(spent "$node")"); done
  local began=$EPOCHREALTIME
  /usr/bin/time -o "$work/time" -f '%U %S %M' "$@" >"$work/said" 2>&1 || { tail -20 "$work/said" >&2; return 1; }
  local ended=$EPOCHREALTIME
  for node in "${nodes[@]}"; do after+=("$(spent "$node")"); done
  {
    awk -v a="$began" -v b="$ended" '{ printf "%s %s %s", b - a, $1 + $2, $3 / 1024 }' "$work/time"
    for i in "${!nodes[@]}"; do awk -v a="${before[i]}" -v b="${after[i]}" 'BEGIN { printf " %s", (b - a) / 100 }'; done
    echo
  } >>"$work/$name"
  tail -n 1 "$work/$name" | sed "s/^/$name: /" >&2
}
look() { run slipway "$slipway" plan --exit-code; }
pyinfra() { run pyinfra "$work/venv/bin/pyinfra" --dry "$work/inventory.py" "$work/deploy.py"; }
ansible() { ANSIBLE_CONFIG=$work/ansible.cfg PATH=$work/venv/bin:$PATH run ansible ansible-playbook --check "$work/playbook.yml"; }
tools=(look pyinfra ansible)
for round in $(seq 0 "$rounds"); do
  # Whoever goes first may find a warmer or colder machine: they take turns. The first round warms up.
  for i in 0 1 2; do "${tools[(round + i) % 3]}"; done
  [ "$round" != 0 ] || rm "$work"/{slipway,pyinfra,ansible}
done

middle() { awk -v c="$2" '{ print $c }' "$work/$1" | sort -n | awk '{ v[NR] = $1 } END { print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'; }
cd "$OLDPWD"
{
  echo '# What a look costs'
  echo
  echo "Written by \`bench/look.sh\`: commit $(git describe --always --dirty), $(date -u +%F), $(nproc) processors, kernel $(uname -r | cut -d- -f1)."
  echo "A lab of 3 control planes and 2 workers on the same machine, as its inventory means it; middles of $rounds"
  echo 'rounds, in seconds (memory in MiB). slipway looks at all that it manages (programs, files, units, images,'
  echo "certificates, what kubeadm wrote, every object, the cluster's health); pyinfra 3.10.0 and Ansible 2.19.14 with"
  echo 'mitogen 0.3.54 look at 13 things of each node: four files, one of them the kubelet; three units; packages;'
  echo 'three kernel parameters; a directory; a mode. A node'"'"'s time is that of all its SSH sessions.'
  echo
  echo "| | wall | processor, here | memory, here | ${nodes[*]/%/ |}"
  echo "|---|---:|---:|---:|$(printf -- '---:|%.0s' "${nodes[@]}")"
  for tool in slipway pyinfra ansible; do
    printf '| %s |' "$tool"
    printf ' %.2f | %.2f | %.0f |' "$(middle $tool 1)" "$(middle $tool 2)" "$(middle $tool 3)"
    for i in "${!nodes[@]}"; do printf ' %.2f |' "$(middle $tool $((4 + i)))"; done
    echo
  done
} >"$work/look.md"
mv "$work/look.md" bench/look.md
cat bench/look.md
