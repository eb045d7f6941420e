# What may stand in the way of a node that has not joined: what others left or mounted. Reads only.
if [ ! -e /etc/kubernetes/kubelet.conf ]; then
  for f in /var/lib/etcd/* /var/lib/etcd/.[!.]*; do [ -e "$f" ] && p etcd_left "${f##*/}"; done
  for f in pki/kubelet-client-current.pem cpu_manager_state memory_manager_state; do
    [ -e "/var/lib/kubelet/$f" ] && p kubelet_left "/var/lib/kubelet/$f"
  done
  # What haproxy or keepalived serve for somebody else; Debian's own configuration serves nothing.
  for f in /etc/haproxy/haproxy.cfg /etc/keepalived/keepalived.conf; do
    [ -s "$f" ] && read -r first <"$f" && case $first in '# Written by slipway'*) ;; *)
      grep -qE '^[[:space:]]*(frontend|backend|listen|vrrp_instance|virtual_server)[[:space:]]' "$f" && p serves "$f" ;;
    esac
  done
  # Which mount a directory lies in, or will, where that forbids writing or running: DIRECTORY MOUNT HOW.
  dirs="/etc /usr /usr/local/bin /opt/cni/bin /var/lib /var/lib/containerd /var/lib/dpkg /var/lib/etcd /var/lib/kubelet"
  there=
  for d in $dirs; do
    while [ ! -d "$d/" ]; do d=${d%/*}; done
    there="$there $d/"
  done
  readlink -f $there | awk -v dirs="$dirs" '
    NR == FNR { point[NR] = $2; how[NR] = "," $4 ","; n = NR; next }
    FNR == 1 { split(dirs, dir, " ") }
    {
      at = 0; longest = -1
      for (i = 1; i <= n; i++) {
        prefix = point[i] == "/" ? "" : point[i]
        if (length(prefix) >= longest && index($0 "/", prefix "/") == 1) { at = i; longest = length(prefix) }
      }
      said = (index(how[at], ",ro,") ? " ro" : "") (index(how[at], ",noexec,") ? " noexec" : "")
      if (said != "") print "mount=" dir[FNR] " " point[at] said
    }' /proc/self/mounts -
fi
