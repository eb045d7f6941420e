# Takes away what `kubeadm reset` leaves of the pods' network and of Services (kubeadm reference, "kubeadm reset"),
# and what was remembered of the cluster. By the first file of all it is known whether this came to its end.
rm -rf /etc/cni/net.d/calico-kubeconfig /var/lib/cni /var/lib/calico /run/calico /var/lib/slipway/applied
for link in vxlan.calico tunl0 wireguard.cali $(ip -o link show | sed -n 's/^[0-9]*: \(cali[0-9a-f]*\)[@:].*/\1/p'); do
  ip link delete "$link" 2>/dev/null || ip link set "$link" down 2>/dev/null
done
ip route show proto 80 2>/dev/null | while read -r route; do ip route delete $route; done
nft list tables 2>/dev/null | while read -r _ family name; do
  case $name in kube-proxy | calico) nft delete table "$family" "$name" ;; esac
done
for tables in iptables ip6tables; do
  if rules=$($tables-save 2>/dev/null) && printf '%s\n' "$rules" | grep -qE 'cali|KUBE-'; then
    printf '%s\n' "$rules" | grep -vE 'cali|KUBE-' | $tables-restore
  fi
done
rm -f "$1"
