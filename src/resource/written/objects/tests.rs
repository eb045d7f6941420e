//! Which differences of an object count, and what is applied.

use super::*;

/// As kubeadm 1.37 prints them, shortened.
const SAID: &str = r#"---
apiVersion: v1
data:
  kubelet: |
    apiVersion: kubelet.config.k8s.io/v1beta1
    authentication:
      webhook:
        cacheTTL: 0s
    kind: KubeletConfiguration
    rotateCertificates: true
kind: ConfigMap
metadata:
  name: kubelet-config
  namespace: kube-system

---
apiVersion: v1
data:
  token-secret: Mnd4
kind: Secret
metadata:
  name: bootstrap-token-o7qa6r
  namespace: kube-system
type: bootstrap.kubernetes.io/token

---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: kubeadm:node-autoapprove-bootstrap
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: system:certificates.k8s.io:certificatesigningrequests:nodeclient
subjects:
- kind: Group
  name: system:bootstrappers:kubeadm:default-node-token

---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: kubeadm:node-autoapprove-certificate-rotation
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: system:certificates.k8s.io:certificatesigningrequests:selfnodeclient
subjects:
- kind: Group
  name: system:nodes

---
apiVersion: v1
data:
  kubeconfig: |
    apiVersion: v1
    clusters:
    - cluster:
        server: https://127.0.0.1:1
      name: ""
kind: ConfigMap
metadata:
  name: cluster-info
  namespace: kube-public

---
apiVersion: v1
data:
  Corefile: |
    .:53 {
        forward . /etc/resolv.conf
    }
kind: ConfigMap
metadata:
  name: coredns
  namespace: kube-system

---
apiVersion: apps/v1
kind: Deployment
metadata:
  labels:
    k8s-app: kube-dns
  name: coredns
  namespace: kube-system
spec:
  replicas: 2
  selector:
    matchLabels:
      k8s-app: kube-dns
  strategy: {}
  template:
    metadata: {}
    spec:
      containers:
      - args: [-conf, /etc/coredns/Corefile]
        image: registry.k8s.io/coredns/coredns:v1.14.7
        name: coredns
      tolerations:
      - effect: NoSchedule
        key: node-role.kubernetes.io/control-plane
status: {}

---
apiVersion: v1
data:
  config.conf: |-
    kind: KubeProxyConfiguration
    mode: nftables
kind: ConfigMap
metadata:
  name: kube-proxy
  namespace: kube-system

---
apiVersion: v1
kind: Service
metadata:
  name: kube-dns
  namespace: kube-system
  resourceVersion: "0"
spec:
  clusterIP: 10.96.0.10
  ports:
  - name: dns
    port: 53
    protocol: UDP
status:
  loadBalancer: {}
"#;

fn wants() -> Objects {
    let dry_run = DryRun { configuration: String::new(), objects: true };
    let ca = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n".to_vec();
    Objects { dry_run, server: "https://10.0.0.100:6443".to_owned(), ca }
}

fn answer(live: &[Value]) -> Output {
    let live: String = live.iter().map(|object| format!("{object}\n")).collect();
    let text = format!("==> etcd.yaml <==\na: 1\n\n==> objects <==\n{SAID}\n==> live <==\n{live}");
    Output { stdout: text.into(), ..Output::default() }
}

/// The cluster as kubeadm left it, and the API server's defaults.
fn healthy() -> Vec<Value> {
    let nothing = answer(&[]);
    let wanted = wants().wanted(&Answer::read(&nothing).unwrap()).unwrap();
    let with_defaults = |mut object: Value| {
        object["metadata"]["uid"] = json!("u");
        object["metadata"]["resourceVersion"] = json!("17");
        if object["kind"] == "Deployment" {
            object["spec"]["template"]["spec"]["containers"][0]["imagePullPolicy"] =
                json!("Always");
            object["spec"]["strategy"]["type"] = json!("RollingUpdate");
            object["status"] = json!({"readyReplicas": 2});
        }
        object
    };
    wanted.into_iter().map(with_defaults).collect()
}

fn find<'a>(objects: &'a mut [Value], kind: &str, name: &str) -> &'a mut Value {
    let found = |object: &&mut Value| object["kind"] == kind && object["metadata"]["name"] == name;
    objects.iter_mut().find(found).unwrap()
}

fn diff(live: &[Value]) -> (String, String) {
    match wants().compare(&answer(live)).unwrap() {
        Drift::None => Default::default(),
        Drift::Differs(diff) => (diff.summary, diff.text.unwrap_or_default()),
    }
}

/// What is applied, by kind and name, and how many commands there are.
fn applied(live: &[Value]) -> (Vec<Value>, usize) {
    let changes = wants().converge(&answer(live));
    let Input::Bytes(bytes) = changes[0].cmd.input() else { panic!("no objects") };
    let text = String::from_utf8(bytes.clone()).unwrap();
    (text.split("\n---\n").map(|one| serde_json::from_str(one).unwrap()).collect(), changes.len())
}

#[test]
fn a_healthy_cluster_is_as_kubeadm_would_make_it() {
    assert_eq!(diff(&healthy()), Default::default());
    assert!(wants().converge(&answer(&healthy())).is_empty());
}

#[test]
fn neither_tokens_nor_what_slipway_judges_itself_are_made() {
    let (objects, _) = applied(&[]);
    let names: Vec<&str> = objects.iter().map(|object| key(object).2).collect();
    assert_eq!(
        names,
        [
            "kubelet-config",
            "kubeadm:node-autoapprove-certificate-rotation",
            "cluster-info",
            "coredns",
            "coredns",
            "kube-proxy",
            "kube-dns",
        ]
    );
    let service = objects.last().unwrap();
    assert_eq!(service["metadata"].get("resourceVersion"), None);
    assert!(objects[2]["data"]["kubeconfig"].as_str().unwrap().contains("https://10.0.0.100:6443"));
}

#[test]
fn what_is_gone_is_made_again_and_nothing_else() {
    for (kind, name) in [
        ("Deployment", "coredns"),
        ("ConfigMap", "coredns"),
        ("ClusterRoleBinding", "kubeadm:node-autoapprove-certificate-rotation"),
        ("ConfigMap", "cluster-info"),
    ] {
        let mut live = healthy();
        live.retain(|object| !(object["kind"] == kind && object["metadata"]["name"] == name));
        let (summary, text) = diff(&live);
        assert_eq!(summary, format!("{kind} {name} (gone)"));
        assert!(text.contains(&format!("+kind: {kind}")), "{text}");
        let (objects, commands) = applied(&live);
        assert_eq!((objects.len(), commands), (1, 1), "{objects:?}");
        if kind == "Deployment" {
            assert_eq!(objects[0]["spec"]["replicas"], 2);
        }
    }
}

#[test]
fn what_people_add_stays() {
    let mut live = healthy();
    find(&mut live, "ConfigMap", "coredns")["data"] = json!({"Corefile": "mine", "x": "y"});
    let dns = find(&mut live, "Deployment", "coredns");
    dns["spec"]["replicas"] = json!(5);
    dns["metadata"]["labels"]["mine"] = json!("x");
    let pod = &mut dns["spec"]["template"];
    pod["metadata"]["annotations"] = json!({"kubectl.kubernetes.io/restartedAt": "now"});
    pod["spec"]["imagePullSecrets"] = json!([{"name": "x"}]);
    let tolerations = pod["spec"]["tolerations"].as_array_mut().unwrap();
    tolerations.insert(0, json!({"operator": "Exists"}));
    find(&mut live, "ConfigMap", "kubelet-config")["data"]["kubelet"] = json!(
        "kind: KubeletConfiguration\nfailCgroupV1: false\nrotateCertificates: true\n\
         apiVersion: kubelet.config.k8s.io/v1beta1\nauthentication: {webhook: {cacheTTL: 0s}}\n"
    );
    assert_eq!(diff(&live), Default::default());
    // Also where something else is put right.
    find(&mut live, "Deployment", "coredns")["metadata"]["labels"]["k8s-app"] = json!("other");
    let (objects, _) = applied(&live);
    assert_eq!(objects[0]["spec"]["replicas"], 5);
}

#[test]
fn what_people_change_is_put_back() {
    let mut live = healthy();
    let binding = "kubeadm:node-autoapprove-certificate-rotation";
    let binding = find(&mut live, "ClusterRoleBinding", binding);
    let subjects = binding["subjects"].as_array_mut().unwrap();
    subjects.push(json!({"kind": "User", "name": "eve"}));
    let proxy = find(&mut live, "ConfigMap", "kube-proxy");
    proxy["data"]["config.conf"] = json!("kind: KubeProxyConfiguration\nmode: iptables\n");
    let dns = find(&mut live, "Deployment", "coredns");
    dns["spec"]["template"]["spec"]["containers"][0]["image"] = json!("evil");
    let kubelet = &mut find(&mut live, "ConfigMap", "kubelet-config")["data"]["kubelet"];
    *kubelet = json!(format!("{}maxPods: 200\n", kubelet.as_str().unwrap()));
    let (summary, text) = diff(&live);
    assert_eq!(
        summary,
        "ConfigMap kubelet-config, ClusterRoleBinding \
         kubeadm:node-autoapprove-certificate-rotation, Deployment coredns, ConfigMap kube-proxy"
    );
    for line in ["-  name: eve", "-        image: evil", "-    mode: iptables", "-    maxPods: 200"]
    {
        assert!(text.contains(line), "{text}");
    }
    assert!(!text.contains("resourceVersion") && !text.contains("Always"), "{text}");
    let (objects, commands) = applied(&live);
    assert_eq!((objects.len(), commands), (4, 2), "kube-proxy restarts as well");
}

#[test]
fn the_ca_in_cluster_info_may_break_lines_otherwise() {
    let mut live = healthy();
    let encode = |ca: &str| base64::engine::general_purpose::STANDARD.encode(ca);
    let mut with = |ca: &str| {
        let cluster =
            json!({"certificate-authority-data": ca, "server": "https://10.0.0.100:6443"});
        let known = json!({"clusters": [{"name": "", "cluster": cluster}], "kind": "Config", "apiVersion": "v1"});
        let info = find(&mut live, "ConfigMap", "cluster-info");
        info["data"] = json!({"kubeconfig": known.to_string(), "jws-kubeconfig-abc": "sig"});
        diff(&live).0
    };
    let broken = "-----BEGIN CERTIFICATE-----\r\nMI\r\nIB\r\n-----END CERTIFICATE-----\r\n";
    assert_eq!(with(&encode(broken)), "");
    assert_eq!(with(&encode("another")), "ConfigMap cluster-info");
    assert_eq!(with("no base64"), "ConfigMap cluster-info");
}

#[test]
fn without_an_answer_nothing_is_applied() {
    let mut silent = answer(&[]);
    let text = String::from_utf8(silent.stdout).unwrap();
    let (said, _) = text.split_once("\n==> live").unwrap();
    silent.stdout = format!("{said}\n==> live <==\nfailed\n").into_bytes();
    assert_eq!(wants().compare(&silent).unwrap(), Drift::differs("the API does not answer"));
    assert!(wants().converge(&silent).is_empty());
    let failed = Output { code: 3, stdout: b"bad flag\n".to_vec(), ..Output::default() };
    let Drift::Differs(diff) = wants().compare(&failed).unwrap() else { panic!("as meant") };
    assert_eq!(diff.summary, "kubeadm does not say what it would write: bad flag");
    assert!(wants().converge(&failed).is_empty());
}
