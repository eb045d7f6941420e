# Bootstrap tokens: each Secret's name, and its description in base64. Never the token itself. Exit code 1: no answer.
api '/api/v1/namespaces/kube-system/secrets?fieldSelector=type=bootstrap.kubernetes.io/token' | awk '
  $0 == 200 { said = 1 }
  /^[{]"kind":"SecretList"/ {
    count = split($0, objects, /[[,][{]"metadata":[{]"name":"/)
    for (i = 2; i <= count; i++) {
      name = substr(objects[i], 1, index(objects[i], "\"") - 1)
      data = match(objects[i], /"data":[{][^{}]*[}]/) ? substr(objects[i], RSTART, RLENGTH) : ""
      print name, match(data, /"description":"[^"]*"/) ? substr(data, RSTART + 15, RLENGTH - 16) : ""
    }
  }
  END { exit !said }'
