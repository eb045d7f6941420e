command -v bash >/dev/null || exit 0
[ -e /etc/kubernetes/kubelet.conf ] || { echo silent; exit 0; }
# bash alone, which reads a zero as nothing. A connection on a way that is lost hangs.
LC_ALL=C timeout 7 bash -c '
  for i in 1 2 3; do
    set -- "$1" ""
    {
      printf "$1" >&3
      for byte in 1 2 3 4 5 6 7 8 9 10 11 12 13 14; do
        IFS= read -r -d "" -n 1 -t 2 -u 3 c || break
        printf -v c %d "\"$c"
        set -- "$1" "$2 $((c & 255))"
      done
    } 3<>"/dev/tcp/$0/53"
    echo "${2:-silent}"
  done' "$1" "$2" || echo silent
