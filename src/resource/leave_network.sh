# Takes away what `kubeadm reset` leaves of the pods' network and of Services (kubeadm reference, "kubeadm reset"),
# and what was remembered of the cluster. $1: Calico's configuration for the container runtime. $2: what every member
# has; by it, the last that goes, it is known whether this came to its end. $3: how packet filters change, for awk.
rm -rf /etc/cni/net.d/calico-kubeconfig /var/lib/cni/networks/k8s-pod-network /var/lib/cni/results/k8s-pod-network-* \
  /var/lib/calico /run/calico /var/lib/slipway/applied
links=$(ip -o link show | sed -n 's/^[0-9]*: \(cali[0-9a-f]\{11\}\)[@:].*/\1/p')
for link in vxlan.calico tunl0 wireguard.cali $links; do
  ip link delete "$link" 2>/dev/null || ip link set "$link" down 2>/dev/null
done
ip route show proto 80 2>/dev/null | while read -r route; do ip route delete $route; done
nft list tables 2>/dev/null | while read -r _ family name; do
  case $name in kube-proxy | calico) nft delete table "$family" "$name" ;; esac
done
for tables in iptables ip6tables; do
  changes=$($tables-save 2>/dev/null | awk "$3")
  [ -z "$changes" ] || printf '%s\n' "$changes" | $tables-restore --noflush --wait || exit 1
done
rm -f "$1"
rm -f "$2"
