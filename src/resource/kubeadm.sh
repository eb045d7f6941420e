set -u; umask 077; mkdir -p /run/slipway; d=/run/slipway/kubeadm
openssl x509 -noout -checkend 0 -in "$1" >/dev/null 2>&1 && exit 0
shift; cat >"$d.yaml" || exit 1
[ ! -s "$d.yaml" ] || set -- "$@" --config "$d.yaml"
# Debian does not start dbus, which systemd-run waits by, where it was not there at boot.
systemctl start dbus.socket
u=slipway-run-kubeadm.service; i=0
until [ "$(systemctl show --property LoadState --value $u)" = not-found ] || [ $i = 150 ]; do
  systemctl reset-failed $u 2>/dev/null; sleep 0.2; i=$((i + 1))
done
rm -f "$d.log"
systemd-run --quiet --wait --collect --unit=slipway-run-kubeadm env -i PATH="$PATH" LC_ALL=C HOME=/root sh -c '
  umask 077; end=$(($(date +%s) + 120)); log=/run/slipway/kubeadm.log
  while kubeadm "$@" >$log 2>&1; code=$?; [ $code != 0 ]; do
    # A kubelet registered just before its join was undone: its node stays Ready for 50 s after its end.
    grep -q "status .Ready. already exists in the cluster" $log && [ "$(date +%s)" -lt $end ] || break
    [ -e /etc/kubernetes/pki/ca.key ] || rm -f /etc/kubernetes/pki/ca.crt
    sleep 2
  done
  rm -f /run/slipway/kubeadm.yaml
  # kubeadm tells bootstrap tokens, and its log stays.
  sed -i -E "s/\b[a-z0-9]{6}\.[a-z0-9]{16}\b/***/g" $log
  [ $code != 0 ] || rm -f /etc/kubernetes/super-admin.conf; exit $code' slipway "$@"
code=$?; [ ! -e "$d.log" ] || tail -c 65536 "$d.log"; exit $code
