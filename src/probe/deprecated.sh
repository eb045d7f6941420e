# Which deprecated APIs clients have asked the API server at $1 for since it started, by its metrics: a line of API,
# resource, the release that serves it no more, and the number of requests. Not those that no release leaves out.
$kubectl --request-timeout=20s --server "https://$1:6443" get --raw /metrics | awk '
  function label(name) {
    return match($0, "[{,]" name "=\"[^\"]*\"") ? substr($0, RSTART + length(name) + 3, RLENGTH - length(name) - 4) : ""
  }
  function api() { group = label("group"); return (group == "" ? "" : group "/") label("version") " " label("resource") }
  /^apiserver_requested_deprecated_apis\{/ && (release = label("removed_release")) != "" { removed[api()] = release }
  /^apiserver_request_total\{/ { asked[api()] += $NF }
  END { for (one in removed) print one, removed[one], asked[one] + 0 }' | sort
