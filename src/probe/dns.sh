command -v bash >/dev/null || exit 0
[ -e /etc/kubernetes/kubelet.conf ] || { echo silent; exit 0; }
for i in 1 2 3; do
  timeout 2 bash -c 'exec 3<>"/dev/tcp/$0/53" && printf "$1" >&3 && od -An -tu1 -N14 <&3' "$1" "$2" || echo silent
done
