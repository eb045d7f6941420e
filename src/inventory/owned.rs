//! Settings of Kubernetes' programs that are not for the inventory to say, each with the reason.

/// Fields of `KubeletConfiguration` that slipway sets itself, each with the reason.
pub(super) const KUBELET: &[(&str, &str)] = &[
    ("apiVersion", "slipway writes it"),
    ("kind", "slipway writes it"),
    ("authentication", "anonymous access must stay off"),
    ("authorization", "the API server decides who may use the kubelet"),
    ("cgroupDriver", "it must match containerd's, systemd"),
    ("clusterDNS", "it follows from `spec.network.serviceCidr`"),
    ("clusterDomain", "it is `spec.network.dnsDomain`"),
    ("containerRuntimeEndpoint", "it is containerd's socket"),
    ("failCgroupV1", "slipway sets it by what the nodes have"),
    ("failSwapOn", "slipway turns swap off"),
    ("rotateCertificates", "client certificates must renew themselves"),
    ("serverTLSBootstrap", "slipway has serving certificates signed by the cluster's CA"),
    ("staticPodPath", "kubeadm puts the control plane there"),
];

const ADDRESSES: &str = "it follows from the node's address";
const CERTIFICATES: &str = "kubeadm makes the certificates and keys";
const ETCD_MEMBERS: &str = "it follows from the cluster's members";
const MANAGES: &str = "kubeadm's kubeconfigs say how it reaches the API server";
const PROBED: &str = "kubelets look there whether it is healthy";

/// Arguments of kube-apiserver.
pub(super) const API_SERVER: &[(&str, &str)] = &[
    ("advertise-address", ADDRESSES),
    ("allow-privileged", "kube-proxy and the pod network need it"),
    ("anonymous-auth", "kubelets ask without credentials whether it is healthy"),
    (
        "authorization-mode",
        "nodes may do what the Node authorizer lets them, others what RBAC does",
    ),
    ("bind-address", ADDRESSES),
    ("client-ca-file", CERTIFICATES),
    ("enable-bootstrap-token-auth", "nodes join by bootstrap tokens"),
    ("etcd-cafile", CERTIFICATES),
    ("etcd-certfile", CERTIFICATES),
    ("etcd-keyfile", CERTIFICATES),
    ("etcd-servers", "each API server uses the etcd member beside it"),
    ("kubelet-certificate-authority", "kubelets are verified by the cluster's CA"),
    ("kubelet-client-certificate", CERTIFICATES),
    ("kubelet-client-key", CERTIFICATES),
    ("kubelet-preferred-address-types", "kubelets are reached at the nodes' internal addresses"),
    ("proxy-client-cert-file", CERTIFICATES),
    ("proxy-client-key-file", CERTIFICATES),
    ("requestheader-client-ca-file", CERTIFICATES),
    ("secure-port", PROBED),
    ("service-account-issuer", "tokens of a living cluster name it"),
    ("service-account-key-file", CERTIFICATES),
    ("service-account-signing-key-file", CERTIFICATES),
    ("service-cluster-ip-range", "it is `spec.network.serviceCidr`"),
    ("tls-cert-file", CERTIFICATES),
    ("tls-private-key-file", CERTIFICATES),
];

/// Arguments of kube-controller-manager.
pub(super) const CONTROLLER_MANAGER: &[(&str, &str)] = &[
    ("allocate-node-cidrs", "each node has its own part of the pods' network"),
    ("authentication-kubeconfig", MANAGES),
    ("authorization-kubeconfig", MANAGES),
    ("bind-address", PROBED),
    ("client-ca-file", CERTIFICATES),
    ("cluster-cidr", "it is `spec.network.podCidr`"),
    ("cluster-name", "it is `metadata.name`"),
    ("cluster-signing-cert-file", CERTIFICATES),
    ("cluster-signing-key-file", CERTIFICATES),
    ("kubeconfig", MANAGES),
    ("leader-elect", "one of the control planes acts at a time"),
    ("requestheader-client-ca-file", CERTIFICATES),
    ("root-ca-file", CERTIFICATES),
    ("secure-port", PROBED),
    ("service-account-private-key-file", CERTIFICATES),
    ("service-cluster-ip-range", "it is `spec.network.serviceCidr`"),
    ("use-service-account-credentials", "each controller has rights of its own"),
];

/// Arguments of kube-scheduler.
pub(super) const SCHEDULER: &[(&str, &str)] = &[
    ("authentication-kubeconfig", MANAGES),
    ("authorization-kubeconfig", MANAGES),
    ("bind-address", PROBED),
    ("kubeconfig", MANAGES),
    ("leader-elect", "one of the control planes acts at a time"),
    ("secure-port", PROBED),
];

/// Arguments of etcd.
pub(super) const ETCD: &[(&str, &str)] = &[
    ("advertise-client-urls", ADDRESSES),
    ("cert-file", CERTIFICATES),
    ("client-cert-auth", "only who has a certificate may use it"),
    ("data-dir", "slipway looks there for what is etcd's"),
    ("force-new-cluster", "it ends the cluster"),
    ("initial-advertise-peer-urls", ADDRESSES),
    ("initial-cluster", ETCD_MEMBERS),
    ("initial-cluster-state", ETCD_MEMBERS),
    ("initial-cluster-token", ETCD_MEMBERS),
    ("key-file", CERTIFICATES),
    ("listen-client-urls", ADDRESSES),
    ("listen-metrics-urls", PROBED),
    ("listen-peer-urls", ADDRESSES),
    ("name", "it is the node's name"),
    ("peer-cert-file", CERTIFICATES),
    ("peer-client-cert-auth", "only members may speak with members"),
    ("peer-key-file", CERTIFICATES),
    ("peer-trusted-ca-file", CERTIFICATES),
    ("trusted-ca-file", CERTIFICATES),
];
