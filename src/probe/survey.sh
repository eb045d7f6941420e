# The system and its part in a cluster: facts as `key=value` lines, longer ones as base64. Reads only.
. /etc/os-release
p os "$ID-${VERSION_ID:-}"
p os_name "${PRETTY_NAME:-}"
p arch "$(uname -m)"
p libc "$(getconf GNU_LIBC_VERSION 2>/dev/null)"
line init /proc/1/comm
line boot_id /proc/sys/kernel/random/boot_id
p cap_bnd "$(awk '/^CapBnd/ { print $2 }' /proc/self/status)"
p cgroup "$(stat -fc %T /sys/fs/cgroup)"
ip -o -4 addr show 2>/dev/null | awk '{ print "address=" $2 " " $4 }'
for f in pki/ca.crt bootstrap-kubelet.conf kubelet.conf admin.conf super-admin.conf \
  manifests/kube-apiserver.yaml manifests/etcd.yaml; do
  [ -e "/etc/kubernetes/$f" ] && p file "$f"
done
[ -e /var/lib/etcd/member ] && p file etcd-data
# The subject says which node the machine is: `subject=CN=system:node:cp-1,O=system:nodes`.
# Its chain names it at a fifth of what `x509` costs, which is asked where it does not end well.
if [ -e $client_certificate ]; then
  s=$(openssl verify -partial_chain -trusted $client_certificate -show_chain -nameopt RFC2253 $client_certificate 2>/dev/null)
  case $s in
    *'depth=0: '*) p credentials "valid subject=${s##*depth=0: }" ;;
    *)
      if s=$(openssl x509 -noout -subject -nameopt RFC2253 -checkend 0 -in $client_certificate 2>/dev/null); then
        p credentials "valid $s"
      else
        p credentials "expired $s"
      fi ;;
  esac
fi
m=/etc/kubernetes/manifests/etcd.yaml
[ -e $m ] && awk '/--name=/ { sub(/.*--name=/, ""); print "etcd_name=" $0 } /--initial-advertise-peer-urls=/ { sub(/.*urls=/, ""); print "etcd_peer=" $0 }' $m
for unit in /run/systemd/transient/slipway-run-*; do
  [ -e "$unit" ] || continue
  systemctl list-units --plain --no-legend --state=active,activating 'slipway-run-*' 2>/dev/null | awk '{ print "running=" $1 }'
  break
done
# Where pods look for other names: kubeadm lets kubelets read systemd-resolved's own list.
r=/etc/resolv.conf
case $states in *'
active') r=/run/systemd/resolve/resolv.conf ;; esac
# In a pod, a loopback address is the pod itself.
p name_server "$(awk '$1 == "nameserver" && $2 !~ /^(127\.|::1$)/ { print $2; exit }' $r)"
# By which MAC address VRRP is heard from a peer.
sed -n 's/.* ip saddr \([0-9.]*\) .* ether saddr \([0-9a-f:]*\) accept$/vrrp=\1 \2/p' /etc/slipway/vrrp.nft
# Certificates that kubeadm made, whole, and no key.
set --
for f in pki/apiserver.crt pki/apiserver-kubelet-client.crt pki/apiserver-etcd-client.crt pki/front-proxy-client.crt \
  pki/etcd/server.crt pki/etcd/peer.crt pki/etcd/healthcheck-client.crt admin.conf controller-manager.conf scheduler.conf; do
  [ -f "/etc/kubernetes/$f" ] && set -- "$@" "/etc/kubernetes/$f"
done
[ $# = 0 ] || awk '
  FNR == 1 { name = substr(FILENAME, 17); had = inside = 0 }
  /^-----END CERTIFICATE/ && inside { print "certificate=" name " " body; inside = 0; had = 1 }
  inside { body = body $1 }
  /^-----BEGIN CERTIFICATE/ && !had { inside = 1; body = "" }
  $1 == "client-certificate-data:" { print "certificate=" name " " $2 }' "$@"
for f in /etc/cni/net.d/*; do [ -e "$f" ] && p cni "${f##*/}"; done
if [ -f /etc/kubernetes/pki/ca.crt ]; then
  p ca "$(head -c 65536 /etc/kubernetes/pki/ca.crt | base64 -w0)"
else
  # A reset that was cut short leaves kubeconfigs, which hold it, too.
  ca=$(cat /etc/kubernetes/*.conf 2>/dev/null | awk '/certificate-authority-data:/ { print $2; exit }')
  [ -n "$ca" ] && p ca "$ca"
fi
said=
if [ -f /etc/kubernetes/admin.conf ]; then
  server=https://$(awk '/advertise-address=/ { sub(/.*=/, ""); print; exit }' /etc/kubernetes/manifests/kube-apiserver.yaml):6443
  configs=/api/v1/namespaces/kube-system/configmaps limit=5
  said=$(api /api/v1/nodes "$configs/kubeadm-config" "$configs/kubelet-config" "$configs/slipway-taints" "$configs/kube-proxy")
  # What is an object: not an error. Of a node's images nobody asks, and they are most of it.
  # One that cannot be had is not taken for one that is not there.
  printf '%s\n' "$said" | sed 's/{"names":\[[^]]*\],"sizeBytes":[0-9]*}/0/g' | awk '
    /^{/ { said = $0 }
    /^[0-9]/ { code[++n] = $0; body[n] = said; said = "" }
    END {
      if (code[1] == 200) print "nodes=" body[1]
      for (i = 2; i <= 4; i++) if (code[i] != 200 && code[i] != 404) exit
      for (i = 2; i <= 4; i++) if (code[i] == 200) print "config=" body[i]
    }'
fi
if [ -e /etc/kubernetes/super-admin.conf ]; then
  # kubeadm init's last phase makes kube-proxy; one before it takes the certificate itself out of kubelet.conf.
  # 200 and 404 are answers.
  case $said in
    *'
200.0') ;;
    *'
404.0') p begun init ;;
    # Without etcd's data it was being undone.
    *) { grep -qs 'client-certificate: ' /etc/kubernetes/kubelet.conf && [ -e /var/lib/etcd/member ]; } || p begun init ;;
  esac
fi
if [ -f /etc/kubernetes/pki/etcd/healthcheck-client.crt ]; then
  members=$($etcd_members 2>/dev/null) && p etcd "$(printf %s "$members" | base64 -w0)"
fi
:
