api() (
  command -v curl >/dev/null || { by_kubectl "$@"; exit; }
  # A file, for each new connection reads it anew.
  pem=$(mktemp /run/slipway-api.XXXXXX) || exit
  trap 'rm -f "$pem"' EXIT
  trap 'exit 1' HUP INT PIPE TERM
  # The server of the current context; its user's certificate and key, and its CA.
  access=$(awk '
    /^- / { n++; sub(/^-/, " ") }
    /^  name:/ { name[n] = $2 }
    NF == 2 { said[n, $1] = $2 }
    $1 == "current-context:" { context = $2 }
    END {
      for (i = 1; i <= n; i++) if (name[i] == context && (i, "user:") in said) { user = said[i, "user:"]; cluster = said[i, "cluster:"] }
      for (i = 1; i <= n; i++) if (name[i] == user && (i, "client-key-data:") in said) u = i
      for (i = 1; i <= n; i++) if (name[i] == cluster && (i, "server:") in said) c = i
      print said[c, "server:"]
      print said[u, "client-certificate-data:"] "\n" said[u, "client-key-data:"] "\n" said[c, "certificate-authority-data:"]
    }' $admin_conf)
  at=${access%%
*}
  printf '%s\n' "${access#*
}" | base64 -d >"$pem"
  for path; do shift; set -- "$@" "${server:-$at}$path"; done
  curl -q --silent --globoff --noproxy '*' --max-time "${limit:-10}" --fail-early --user-agent slipway \
    --cacert "$pem" --capath /nonexistent --cert "$pem" --key "$pem" \
    ${accept:+"-HAccept: $accept"} --write-out '\n%{http_code}.%{exitcode}\n' "$@"
)
by_kubectl() {
  for path; do
    set -- --kubeconfig $admin_conf ${server:+--server "$server"} --request-timeout "${limit:-10}s" get --raw "$path"
    # It gives whole objects alone.
    if [ -z "${accept:-}" ] && said=$(kubectl "$@" 2>/dev/null); then
      printf '%s\n200.0\n' "$said"
      continue
    fi
    case $(kubectl "$@" 2>&1 >/dev/null) in
      'Error from server (NotFound)'*) echo 404.0 ;;
      *) echo 000.1; return ;;
    esac
  done
}
object() {
  said=$(api "$1")
  case $said in *'
200.0') printf '%s\n' "${said%?200.0}" ;; *) return 1 ;; esac
}
