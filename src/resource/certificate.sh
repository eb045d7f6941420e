set -eu
umask 077
pki=/etc/kubernetes/pki
rm -rf -- "$1"; mkdir -p -- "$1"; trap 'rm -rf -- "$1"' EXIT
cp "$pki/ca.crt" "$pki/ca.key" "$1/"
cat >"$1/configuration"
kubeadm init phase certs apiserver --config "$1/configuration" >/dev/null
# The certificate last: before, a look finds the old names, and all of this is done again.
for f in apiserver.key apiserver.crt; do
  t=$(mktemp "$pki/.slipway.XXXXXX")
  cat "$1/$f" >"$t"
  [ $f = apiserver.key ] || chmod 644 "$t"
  sync "$t"; mv -fT -- "$t" "$pki/$f"
done
fingerprint() { openssl x509 -noout -fingerprint -sha256; }
wanted=$(fingerprint <"$pki/apiserver.crt")
i=0
until [ "$(openssl s_client -no-CAfile -no-CApath -no-CAstore -connect "$2" </dev/null 2>/dev/null | fingerprint 2>/dev/null)" = "$wanted" ]; do
  i=$((i + 1))
  [ $i -lt 120 ] || { echo "the API server at $2 does not serve its new certificate after $i s" >&2; exit 1; }
  sleep 1
done
