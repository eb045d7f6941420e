# Applies the manifest on standard input, called $1, with digest $2, and remembers the objects as this leaves them. An
# apply that outlived its run remembers another digest, or objects that nobody will find so. Where nothing can be
# remembered, looks ask the API server.
# As the API server answers, and as it has them once their state was read: what was read in between is what was applied.
known='{{define "known"}}{{.apiVersion}} {{.kind}} {{or .metadata.namespace "-"}} {{.metadata.name}} {{.metadata.uid}} {{if .metadata.generation}}{{.metadata.generation}}{{else if eq .kind "APIService"}}{{.spec}}{{else if ne .kind "Node"}}{{.metadata.resourceVersion}}{{end}} {{printf "%q" .metadata.labels}}{{if not (or (eq .kind "Node") (eq .kind "Deployment") (eq .kind "DaemonSet"))}} {{printf "%q" .metadata.annotations}}{{end}}{{range .metadata.managedFields}}{{if eq .manager "slipway"}} {{.}}{{end}}{{end}}
{{end}}{{if .items}}{{range .items}}{{template "known" .}}{{end}}{{else}}{{template "known" .}}{{end}}'
made=$($kubectl apply --server-side --force-conflicts --field-manager=slipway -o "go-template=$known" -f -) || exit 1
# A kind as its plural, as it is guessed by client-go's UnsafeGuessKindToResource; another is not found, and not remembered.
set -f
objects=$(limit=20; state $(printf '%s\n' "$made" | awk '{
  kind = tolower($2); sub(/s$/, "se", kind); sub(/y$/, "ie", kind)
  print ($1 ~ "/" ? "/apis/" : "/api/") $1 ($3 == "-" ? "" : "/namespaces/" $3) "/" kind "s/" $4
}'))
now=$(printf '%s\n' "$made" | awk '{
  printf "---\napiVersion: %s\nkind: %s\nmetadata: {name: \"%s\"%s}\n", $1, $2, $4, $3 == "-" ? "" : ", namespace: \"" $3 "\""
}' | $kubectl --request-timeout=20s get --ignore-not-found -o "go-template=$known" -f -)
count=$(printf '%s\n' "$objects" | grep -c '')
[ "$made" = "$now" ] && [ "$count" = "$(printf '%s\n' "$made" | grep -c '')" ] || exit 0
mkdir -p "$applied" && t=$(mktemp "$applied/.new.XXXXXX") || exit 0
printf '%s %s\n%s\n' "$2" "$count" "$objects" >"$t" && mv -fT "$t" "$applied/$1" || rm -f "$t"
exit 0
