#!/usr/bin/env bash
# The floor: a cluster of 3 + 2 nodes by bare kubeadm commands, in the best order known, as a good
# administrator would script it. Same bundle as slipway: same programs, images and packages.
#
#   bench/floor.sh LAB DIR     LAB: a fresh lab of 3 + 2 (`slipway lab up --name LAB --dir DIR`)
#
# Prints `PART SECONDS` lines; `total` is the sum. Getting archives ready beforehand is not timed.
#
# It does less than slipway: the endpoint is the first control plane's address (no virtual IP, no
# keepalived or haproxy), kubelets serve with certificates that they signed themselves, there is no
# metrics-server, the clock is left alone, and nothing is verified, logged or repeatable.
set -euo pipefail
cd "$(dirname "$0")/.."
lab=$1
dir=$2
version=$("${SLIPWAY:-target/release/slipway}" bundle versions | head -n 1)
bundle=${SLIPWAY_CACHE:-$HOME/.cache/slipway}/bundles/$version-amd64
manifest=$bundle/manifest.json
work=$(mktemp -d)
trap 'hang_up; rm -rf "$work"' EXIT

mapfile -t rows < <(sed -n 's/.*{name: \(.*\), role: \(.*\), address: \(.*\)}.*/\1 \2 \3/p' "$dir/slipway.yaml")
declare -A address
planes=() workers=()
for row in "${rows[@]}"; do
  read -r name role at <<<"$row"
  address[$name]=$at
  if [ "$role" = control-plane ]; then planes+=("$name"); else workers+=("$name"); fi
done
nodes=("${planes[@]}" "${workers[@]}")
first=${planes[0]}
endpoint=${address[$first]}:6443

options=(-F none -i "$dir/id_ed25519" -o IdentitiesOnly=yes -o LogLevel=ERROR
  -o "UserKnownHostsFile=$dir/known_hosts" -o StrictHostKeyChecking=yes
  -o ControlMaster=auto -o "ControlPath=$work/%h" -o ControlPersist=60)
on() { ssh "${options[@]}" "root@${address[$1]}" "${@:2}"; }
hang_up() {
  for node in "${nodes[@]}"; do
    ssh "${options[@]}" -O exit "root@${address[$node]}" 2>/dev/null || :
  done
}

# --- beforehand: archives -------------------------------------------------------------------------

# images FILE NAME...: an OCI layout with these images, as `ctr images import` reads it.
images() {
  local file=$1 names index=$work/index
  names=$(printf '%s\n' "${@:2}" | jq -R . | jq -s .)
  mkdir -p "$index"
  echo '{"imageLayoutVersion":"1.0.0"}' >"$index/oci-layout"
  jq -c --argjson names "$names" '{schemaVersion: 2, manifests: [.images[] | select(.name | IN($names[]))
    | {mediaType: "application/vnd.oci.image.manifest.v1+json", digest, size,
       annotations: {"io.containerd.image.name": .reference}}]}' "$manifest" >"$index/index.json"
  jq -r --argjson names "$names" '.images[] | select(.name | IN($names[])) | .blobs[].digest
    | sub("sha256:"; "blobs/sha256/")' "$manifest" | sort -u >"$work/blobs"
  tar -cf "$file" -C "$index" oci-layout index.json -C "$bundle" -T "$work/blobs"
}
pods=(pause kube-proxy calico-node calico-cni calico-kube-controllers coredns)
images "$work/control-plane.tar" etcd kube-apiserver kube-controller-manager kube-scheduler "${pods[@]}"
images "$work/worker.tar" "${pods[@]}"

root=$work/root
mkdir -p "$root"/usr/local/bin "$root"/opt/cni/bin "$root"/etc/containerd "$root"/etc/systemd/system \
  "$root"/etc/sysctl.d "$root"/root/packages
for program in containerd containerd-shim-runc-v2 ctr kubelet kubeadm kubectl; do
  cp "$bundle/linux-amd64/bin/$program" "$root/usr/local/bin/"
done
for plugin in bandwidth host-local loopback portmap tuning; do
  cp "$bundle/linux-amd64/bin/$plugin" "$root/opt/cni/bin/"
done
jq -r '.packages[] | select(.release == "debian-12") | .path' "$manifest" |
  while read -r path; do cp "$bundle/$path" "$root/root/packages/"; done
cp templates/containerd/etc/systemd/system/containerd.service \
  templates/kubernetes/etc/systemd/system/kubelet.service "$root/etc/systemd/system/"
pause=$(jq -r '.images[] | select(.name == "pause") | .reference' "$manifest")
sed -e "s|{{ sandbox_image .* }}|'$pause'|" -e 's|{{ restrict_oom_score_adj }}|true|' \
  templates/containerd/etc/containerd/config.toml >"$root/etc/containerd/config.toml"
printf 'net.ipv4.ip_forward = 1\nfs.inotify.max_user_instances = 8192\n' >"$root/etc/sysctl.d/90-floor.conf"
for node in "${nodes[@]}"; do echo "${address[$node]} $node"; done >"$root/root/hosts"
tar -cf "$work/files.tar" -C "$root" .

token=abcdef.0123456789abcdef
key=$(head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n')
registration() {
  cat <<END
nodeRegistration:
  name: $1
  criSocket: unix:///run/containerd/containerd.sock
  imagePullPolicy: IfNotPresent
  ignorePreflightErrors: [SystemVerification]
  kubeletExtraArgs: [{name: node-ip, value: ${address[$1]}}]
END
}
cat >"$work/init.yaml" <<END
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
bootstrapTokens: [{token: $token}]
certificateKey: $key
localAPIEndpoint: {advertiseAddress: ${address[$first]}}
$(registration "$first")
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: v$version
controlPlaneEndpoint: $endpoint
encryptionAlgorithm: ECDSA-P256
networking: {podSubnet: 10.244.0.0/16}
---
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
cgroupDriver: systemd
failCgroupV1: false
evictionHard: {memory.available: 100Mi, nodefs.available: 2Gi, imagefs.available: 2Gi, nodefs.inodesFree: 1%, imagefs.inodesFree: 1%}
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
---
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
conntrack: {maxPerCore: 0, min: 0}
END
for node in "${nodes[@]}"; do
  cat >"$work/join-$node.yaml" <<END
apiVersion: kubeadm.k8s.io/v1beta4
kind: JoinConfiguration
discovery:
  bootstrapToken: {token: $token, apiServerEndpoint: "$endpoint", unsafeSkipCAVerification: true}
$(registration "$node")
END
done
for node in "${planes[@]}"; do
  cat >>"$work/join-$node.yaml" <<END
controlPlane:
  localAPIEndpoint: {advertiseAddress: ${address[$node]}}
  certificateKey: $key
END
done

# --- the clock runs -------------------------------------------------------------------------------

now() { date +%s.%N; }
seconds() { awk -v from="$1" -v to="$2" 'BEGIN { printf "%.1f", to - from }'; }
began=$(now)
mark=$began
part() {
  local at
  at=$(now)
  echo "$1 $(seconds "$mark" "$at")"
  mark=$at
}

prepare() {
  on "$1" tar -xf - -C / <"$work/files.tar"
  on "$1" 'set -e; cat /root/hosts >>/etc/hosts; sysctl -q --system
    DEBIAN_FRONTEND=noninteractive dpkg --force-unsafe-io -i /root/packages/*.deb >/root/dpkg.log 2>&1
    systemctl daemon-reload; systemctl start dbus.socket; systemctl enable -q --now containerd kubelet'
  case $1 in
    cp-*) on "$1" ctr -n k8s.io images import --label io.cri-containerd.pinned=pinned - <"$work/control-plane.tar" ;;
    *) on "$1" ctr -n k8s.io images import --label io.cri-containerd.pinned=pinned - <"$work/worker.tar" ;;
  esac >"$work/import-$1.log" 2>&1
}
# all JOB...: waits for these, and fails with the first that failed.
all() { for job in "$@"; do wait "$job"; done; }

jobs=()
for node in "${nodes[@]}"; do prepare "$node" & jobs+=($!); done
all "${jobs[@]}"
part prepare

on "$first" 'cat >/root/init.yaml; kubeadm init --config /root/init.yaml --upload-certs >/root/init.log 2>&1' <"$work/init.yaml" ||
  { on "$first" tail -30 /root/init.log >&2; exit 1; }
part init

join() {
  on "$1" 'cat >/root/join.yaml; kubeadm join --config /root/join.yaml >/root/join.log 2>&1' <"$work/join-$1.yaml" ||
    { on "$1" tail -30 /root/join.log >&2; return 1; }
}
kubectl() { on "$first" kubectl --kubeconfig /etc/kubernetes/admin.conf "$@"; }
jobs=()
kubectl apply --server-side -f - <"$bundle/manifests/calico.yaml" >"$work/calico.log" & jobs+=($!)
for node in "${workers[@]}"; do join "$node" & jobs+=($!); done
for node in "${planes[@]:1}"; do join "$node"; done
all "${jobs[@]}"
part join

whole() {
  local ready pods
  ready=$(kubectl get nodes --no-headers | awk '$2 == "Ready"' | wc -l)
  pods=$(kubectl get pods -A --no-headers | awk '{ split($3, r, "/"); if ($4 != "Running" || r[1] != r[2]) print }' | wc -l)
  # Static pods of three control planes, kube-proxy and Calico on five nodes, two CoreDNS, one controller.
  [ "$ready" = ${#nodes[@]} ] && [ "$pods" = 0 ] &&
    [ "$(kubectl get pods -A --no-headers | wc -l)" -ge $((4 * ${#planes[@]} + 2 * ${#nodes[@]} + 3)) ]
}
deadline=$(($(date +%s) + 300))
until whole; do
  [ "$(date +%s)" -lt $deadline ] || { kubectl get nodes,pods -A -o wide >&2; exit 1; }
  sleep 0.5
done
part whole
echo "total $(seconds "$began" "$(now)")"
