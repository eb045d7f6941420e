if [ -e /etc/kubernetes/pki/etcd/healthcheck-client.crt ]; then
  $etcdctl --command-timeout=3s endpoint status -w fields 2>/dev/null |
    awk -F ' : ' '/^"MemberID"/ { member = 1 } /^"IsLearner"/ { learner = $2 } END { if (member && learner != "true") print "votes" }'
fi
k=/etc/kubernetes/kubelet.conf
[ -n "$1" ] && [ -e $k ] || exit 0
n=$(kubectl --kubeconfig $k --request-timeout=5s get node "$1" -o 'jsonpath={.metadata.uid} {.status.conditions[?(@.type=="Ready")].status}' 2>/dev/null) && echo "node=$n"; :
