# Applies the manifest on standard input, called $1, with digest $2, and remembers the objects as they are then.
f=$applied/$1
mkdir -p "$applied" || exit 1
{ printf '%s\n' "$2" && $kubectl apply --server-side --force-conflicts --field-manager=slipway -o "go-template=$state" -f -; } >"$f.new" ||
  { rm -f "$f.new"; exit 1; }
mv "$f.new" "$f"
