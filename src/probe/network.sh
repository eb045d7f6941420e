# What the network answers to a node that has not joined; the words say what to ask. All is asked at
# once, and nothing is waited for longer than a few seconds.

# HOST PORT SECONDS: is the port open, refused, silent or beyond reach? Nothing if bash is missing.
answer() {
  said=$(timeout "$3" bash -c ': <"/dev/tcp/$0/$1"' "$1" "$2" 2>&1)
  case $?:$said in
    0:*) echo open ;;
    1:*refused*) echo refused ;;
    1:*) echo beyond ;;
    124:*) echo silent ;;
  esac
}

# PORT...: who listens on any of them.
listening() {
  ss -Hltnp | awk -v ports=" $* " '{
    n = split($4, part, ":")
    if (index(ports, " " part[n] " ") && match($0, /users:.*|$/)) print "listen=" $4 " " substr($0, RSTART, 200)
  }'
}

# ADDRESS PORT...: which ports of another node do not answer; "refused" is an answer. Asked twice,
# since a machine may be busy with asking.
peer() {
  to=$1
  shift
  large "$to" &
  for port; do
    case $(answer "$to" "$port" 2) in silent | beyond)
      case $(answer "$to" "$port" 2) in silent | beyond) p silent "$to $port" ;; esac ;;
    esac &
  done
}

# ADDRESS: whether the largest packets that leave here arrive there, if small ones do.
large() {
  link=$(ip -o route get "$1" | sed -n 's/.* dev \([^ ]*\).*/\1/p')
  mtu=$(cat "/sys/class/net/$link/mtu")
  ping -q -c 2 -i 0.2 -W 1 -M do -s "$((mtu - 28))" "$1" >/dev/null ||
    { ping -q -c 1 -W 1 "$1" >/dev/null && p lost "$1 $mtu"; }
}

# ADDRESS: who has the virtual IP, if not this node. A living neighbour answers within milliseconds. Whom
# the kernel only remembers, it asks again once somebody sends there (ip-neighbour(8): delay, then probe);
# but not whom it believes to be reachable: who does not answer us then may be gone.
vip() {
  ip -o -4 addr show | grep -qF " $1/" && return
  believed=
  case $(ip -o neigh show to "$1") in *REACHABLE*) believed=yes ;; esac
  said=$(answer "$1" 6443 0.5)
  for round in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    seen=$(ip -o neigh show to "$1")
    case $said:$seen in silent:*DELAY* | silent:*PROBE* | silent:*INCOMPLETE*) sleep 0.5 ;; *) break ;; esac
  done
  case $believed:$said in
    yes:silent | yes:beyond) ping -q -c 1 -W 1 "$1" >/dev/null || seen= ;;
  esac
  p vip "$said $(echo "$seen" | awk '{
    for (i = 2; i < NF; i++) if ($i == "lladdr") mac = $(i + 1)
    print $NF " " mac
  }')"
}

# HOST PORT: whether the external endpoint answers, and whether as an API server.
endpoint() {
  timeout 6 getent ahostsv4 "$1" >/dev/null || { p endpoint unresolved; return; }
  said=$(answer "$1" "$2" 2)
  p endpoint "$said"
  [ "$said" = open ] &&
    timeout 2 openssl s_client -connect "$1:$2" </dev/null |
    openssl x509 -noout -ext subjectAltName |
    grep -q 'kubernetes\.default\.svc' && p endpoint_api yes
}

if [ ! -e /etc/kubernetes/kubelet.conf ]; then
  for word; do
    set -- ${word#*=}
    case $word in
      ports=*) listening "$@" ;;
      peer=*) peer "$@" ;;
      vip=*) vip "$@" & ;;
      endpoint=*) endpoint "$@" & ;;
    esac
  done
  wait
fi
