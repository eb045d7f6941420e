# The machine: facts as `key=value` lines, for all that comes after. Reads only.
p() { printf '%s=%s\n' "$1" "$2"; }
# KEY FILE: a file's first line.
line() { v=; IFS= read -r v <"$2"; p "$1" "$v"; }
p clock "$(date +%s%N)"
line hostname /proc/sys/kernel/hostname
line machine_id /etc/machine-id
line product_uuid /sys/class/dmi/id/product_uuid
command -v ip >/dev/null || p missing ip
ip -o link show | awk '$2 !~ /^cali/ {
  mtu = mac = ""
  for (i = 3; i < NF; i++) { if ($i == "mtu") mtu = $(i + 1); if ($i ~ /^link\//) mac = $(i + 1) }
  sub(/[@:].*/, "", $2)
  print "link=" $2 " " mtu " " mac
}'
# A line each: of chrony, of systemd-resolved.
states=$(systemctl is-active chrony systemd-resolved)
case $states in active*) p chrony running ;; esac
# Chains that drop what the node forwards, by policy or by their last rule; a verdict of another table
# does not save a packet (nft(8)). Calico and kube-proxy put their own rules into iptables' tables.
nft list tables | while read -r _ family table; do
  case $family:$table in
    ip6:* | arp:* | bridge:* | netdev:*) continue ;;
    ip:filter | ip:nat | ip:mangle | ip:raw | ip:security) continue ;;
    *:kube-proxy | *:calico | *:slipway_vrrp) continue ;;
  esac
  nft list table "$family" "$table" | awk -v table="$family $table" '
    $1 == "chain" { chain = $2; forward = drops = 0; next }
    /hook forward/ { forward = 1; if (/policy drop/) drops = 1; next }
    $1 == "}" { if (chain && forward && (drops || last ~ /^(counter packets [0-9]+ bytes [0-9]+ )?(drop|reject)/))
      print "forward=" table " " chain; chain = last = ""; next }
    { sub(/^[ \t]+/, ""); last = $0 }'
done

# Another Kubernetes, or what would share our runtime: NAME UNITS PATH...
other() {
  name=$1 units=$2
  shift 2
  for f; do
    [ -e "$f" ] || continue
    p other "$name $(systemctl is-active --quiet $units && echo running || echo left) $f"
    return
  done
}

# What only matters before a node joins.
if [ ! -e /etc/kubernetes/kubelet.conf ]; then
  for program in openssl ping; do command -v $program >/dev/null || p missing $program; done
  p kernel "$(uname -r)"
  p cpus "$(nproc)"
  p memory "$(awk '/^MemTotal:/ { print $2 }' /proc/meminfo)"
  p localhost "$(timeout 2 getent ahostsv4 localhost | awk 'NR == 1 { print $1 }')"
  for d in /var/lib/containerd /var/lib/etcd /var/lib/kubelet /usr/local/bin; do
    there=$d
    while [ ! -d "$there/" ]; do there=${there%/*}; done
    p disk "$d $(stat -c %d "$there/") $(stat -f -c '%S %b %a' "$there/")"
  done
  other k3s 'k3s k3s-agent' /usr/local/bin/k3s /var/lib/rancher/k3s
  other RKE2 'rke2-server rke2-agent' /usr/local/bin/rke2 /usr/bin/rke2 /var/lib/rancher/rke2
  other k0s 'k0scontroller k0sworker' /usr/local/bin/k0s /var/lib/k0s
  other MicroK8s snap.microk8s.daemon-kubelite /snap/microk8s /var/snap/microk8s
  other Docker docker /usr/bin/dockerd /usr/sbin/dockerd
  # Docker's and Microsoft's packages contain runc, so Debian's cannot be installed beside them;
  # Kubernetes' own kubelet package brings settings for a unit of the same name. And what dpkg has
  # begun and not finished.
  dpkg-query -W -f '${Package} ${db:Status-Status}\n' | awk '
    /^(containerd\.io|moby-containerd|moby-runc|kubelet) installed$/ { print "package=" $1 }
    $2 ~ /^(unpacked|half-installed|half-configured)$/ { print "dpkg=" $1 " " $2 }'
  for f in /var/lib/dpkg/updates/[0-9]*; do [ -e "$f" ] && p dpkg "${f##*/} written" && break; done
fi
