# Applies the manifest on standard input, called $1, with digest $2, and remembers the objects as this leaves them. An
# apply that outlived its run remembers another digest, or objects that nobody will find so. Where nothing can be
# remembered, looks ask the API server.
objects=$($kubectl apply --server-side --force-conflicts --field-manager=slipway -o "go-template=$state" -f -) || exit 1
mkdir -p "$applied" && t=$(mktemp "$applied/.new.XXXXXX") || exit 0
printf '%s %s\n%s\n' "$2" "$(printf '%s\n' "$objects" | grep -c '')" "$objects" >"$t" && mv -fT "$t" "$applied/$1" || rm -f "$t"
exit 0
