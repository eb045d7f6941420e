state() {
  whole= parts=
  for path; do case $path in */apiservices/*) whole="$whole $path" ;; *) parts="$parts $path" ;; esac; done
  {
    accept='application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1'
    [ -z "$parts" ] || api $parts
    accept=
    [ -z "$whole" ] || api $whole
  } | awk -v asked="$parts $whole" '
    BEGIN { split(asked, path, " "); string = "\"([^\"\\\\]|\\\\.)*\"" }
    /^[{]/ { said = $0 }
    /^[0-9]+$/ {
      at = path[++n]
      if ($0 != 200) next
      sub(/,"status":[{].*/, "", said)
      spec = match(said, /,"spec":[{].*/) ? substr(said, RSTART) : ""
      written = at ~ /^\/api\/v1\/nodes\/|\/apiservices\//
      if (written || said ~ /"generation":[0-9]/) sub(/"resourceVersion":"[^"]*",?/, "", said)
      if (at ~ /\/(nodes|deployments|daemonsets)\//) sub("\"annotations\":[{](" string ":" string ",?)*[}],?", "", said)
      count = split(said, manager, /[{]"manager":"/)
      line = manager[1]
      for (i = 2; i <= count; i++) if (manager[i] ~ /^slipway"/) line = line manager[i]
      print at, line spec
    }'
}
