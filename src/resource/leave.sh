# Ends what works for the cluster on this machine beside its pods and the virtual IP, which it gave away before.
for unit in slipway-approver slipway-vrrp kubelet; do
  systemctl disable --now $unit.service >/dev/null 2>&1 || ! systemctl is-active --quiet $unit.service || exit 1
done
nft delete table ip slipway_vrrp 2>/dev/null
rm -f /run/slipway-vrrp
