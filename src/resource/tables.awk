# Of what iptables-save prints, what takes the cluster's part of it away, for iptables-restore --noflush: chains of
# Calico's, of kube-proxy's and of the kubelet's, and the rules by which other chains lead to them, or which Calico marks
# as its own. Nothing else changes, even if it is written meanwhile: each table becomes another at once.
function ours(chain) { return chain ~ /^(cali-|KUBE-)/ }
/^\*/ { table = $0; flushed = deleted = removed = "" }
/^:/ {
  chain = substr($1, 2)
  if (ours(chain)) { flushed = flushed ":" chain " - [0:0]\n"; removed = removed "-X " chain "\n" }
}
/^-A / && !ours($2) {
  mine = $0 ~ /--comment "?cali:/
  bare = $0
  gsub(/"([^"\\]|\\.)*"/, "", bare)
  n = split(bare, word, " ")
  for (i = 3; i < n; i++) if ((word[i] == "-j" || word[i] == "-g") && ours(word[i + 1])) mine = 1
  if (mine) deleted = deleted "-D" substr($0, 3) "\n"
}
/^COMMIT/ && (flushed deleted) != "" { printf "%s\n%s%s%sCOMMIT\n", table, flushed, deleted, removed }
