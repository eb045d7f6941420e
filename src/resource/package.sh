set -eu
d=$(mktemp -d /var/tmp/slipway.XXXXXX); trap 'rm -rf -- "$d"' EXIT
tar -x -C "$d"; mkdir -p "$d/lists/partial"
for f in "$d"/*.deb; do
  dpkg-deb -f "$f"
  printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' "${f##*/}" "$(stat -c %s "$f")" "$(sha256sum <"$f" | cut -d' ' -f1)"
done >"$d/Packages"
printf 'deb [trusted=yes] file:%s ./\n' "$d" >"$d/sources.list"
export DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l
apt() {
  apt-get -y -q --no-install-recommends -o Dir::Etc::SourceList="$d/sources.list" -o Dir::Etc::SourceParts=- \
    -o Dir::State::Lists="$d/lists" -o Dir::Cache::PkgCache= -o Dir::Cache::SrcPkgCache= \
    -o APT::Default-Release= -o APT::Sandbox::User=root -o DPkg::Lock::Timeout=120 \
    -o Dpkg::Options::=--force-confold -o Dpkg::Options::=--force-unsafe-io "$@"
}
apt -qq update
own="install them with the node's own package sources, then apply again: apt-get install $*"
plan=$(apt -s install "$@") || { printf '%s\n%s\n' "$plan" "$own" >&2; exit 1; }
# Of the programs that set the clock, Debian lets one be installed.
lost=$(printf '%s\n' "$plan" | sed -n 's/^Remv \([^ ]*\).*/\1/p' | grep -vxE 'systemd-timesyncd|ntp|ntpsec|openntpd' || :)
[ -z "$lost" ] || { echo "apt would remove" $lost; echo "$own"; exit 1; } >&2
apt install "$@"
