//! Probes: questions to a node that change nothing.
//!
//! A [`Probe`] can only be made by the constructors here, each a fixed shell text that reads; so a
//! look that mutates cannot be written in another module. Probes are data: [`script`] bundles those of a
//! whole host into one text for one command, [`frames()`] takes the answers apart again.

mod frames;

pub use frames::{frames, script};

/// A read-only question; valid on a bare machine, where the answer is often "nothing there".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    text: &'static str,
    words: Vec<String>,
    input: Option<String>,
}

/// How much of a file's text a look brings along, for the plan's diff.
pub const TEXT_LIMIT: usize = 65_536;

impl Probe {
    fn new(text: &'static str, words: &[&str]) -> Self {
        Self { text, words: words.iter().map(|w| (*w).to_owned()).collect(), input: None }
    }

    /// A file's mode and owner, its SHA-256 (by openssl where it is: three times as fast), then, if `text`, up to [`TEXT_LIMIT`] bytes of it.
    /// Exit code 1: not there; 2: something else than a regular file.
    #[must_use]
    pub fn file(path: &str, text: bool) -> Self {
        let text = if text { TEXT_LIMIT.to_string() } else { "0".to_owned() };
        Self::new(
            r#"[ -e "$1" ] || [ -L "$1" ] || exit 1
            [ -f "$1" ] && [ ! -L "$1" ] || exit 2
            stat -c '%a %U:%G' "$1"
            openssl dgst -sha256 -r <"$1" || sha256sum <"$1"; head -c "$2" "$1""#,
            &[path, &text],
        )
    }

    /// Whether anything is at any of these paths: prints those that are.
    #[must_use]
    pub fn exist(paths: &[&str]) -> Self {
        Self::new(
            r#"for p; do if [ -e "$p" ] || [ -L "$p" ]; then printf '%s\n' "$p"; fi; done"#,
            paths,
        )
    }

    /// Each package's `name version status`, those known to dpkg only.
    #[must_use]
    pub fn packages(names: &[&str]) -> Self {
        Self::new(
            r"dpkg-query -W -f '${Package} ${Version} ${db:Status-Status}\n' -- $* 2>/dev/null; :",
            names,
        )
    }

    /// A unit's `ActiveState`, `UnitFileState`, and slipway's stamp of what it was started with.
    #[must_use]
    pub fn unit(name: &str) -> Self {
        Self::new(
            r#"systemctl show -p ActiveState -p UnitFileState "$1"
            printf 'Stamp=%s\n' "$(cat "/var/lib/slipway/stamps/$1" 2>/dev/null)""#,
            &[name],
        )
    }

    /// `key=value` of each kernel parameter that exists; `key (read-only)` where root may not set
    /// it.
    #[must_use]
    pub fn sysctls(keys: &[&str]) -> Self {
        Self::new(
            r#"for k; do f=/proc/sys/$(printf %s "$k" | tr . /); [ -e "$f" ] || continue
            if [ -w "$f" ]; then printf '%s=%s\n' "$k" "$(cat "$f")"
            else printf '%s (read-only)\n' "$k"; fi; done"#,
            keys,
        )
    }

    /// Swap in use (as in `/proc/swaps`), then the lines of `/etc/fstab` that would turn it on.
    #[must_use]
    pub fn swap() -> Self {
        Self::new(
            r"tail -n +2 /proc/swaps 2>/dev/null; grep -E '^[^#[:space:]]+[[:space:]]+[^[:space:]]+[[:space:]]+swap[[:space:]]' /etc/fstab 2>/dev/null; :",
            &[],
        )
    }

    /// The host name: the kernel's, then the file's.
    #[must_use]
    pub fn hostname() -> Self {
        Self::new("cat /proc/sys/kernel/hostname; cat /etc/hostname 2>/dev/null; :", &[])
    }

    /// Whether these kernel features are there; prints the names of those that are not. A feature
    /// is known by what it gives, since it may be built in: `overlay`, `br_netfilter`.
    #[must_use]
    pub fn missing_modules() -> Self {
        Self::new(
            r"grep -qw overlay /proc/filesystems || echo overlay
            [ -e /proc/sys/net/bridge/bridge-nf-call-iptables ] || echo br_netfilter",
            &[],
        )
    }

    /// chrony's state: its tracking line, then its sources, as comma-separated values.
    #[must_use]
    pub fn clock() -> Self {
        Self::new("chronyc -c tracking 2>/dev/null || exit 1; chronyc -c -n sources", &[])
    }

    /// Images in containerd's Kubernetes namespace: reference, digest, labels. Not those whose
    /// platform (the last column but one) `ctr` cannot tell: their content is gone, and no container
    /// can be made of them.
    #[must_use]
    pub fn images() -> Self {
        Self::new(
            r#"ctr -n k8s.io images ls 2>/dev/null | awk 'NR > 1 && $(NF - 1) != "-" { print $1, $3, $NF }'"#,
            &[],
        )
    }

    /// Whether a kubelet's own serving certificate, signed by the cluster, is there.
    #[must_use]
    pub fn serving_certificate() -> Self {
        Self::new(
            "openssl verify -CAfile /etc/kubernetes/pki/ca.crt /var/lib/kubelet/pki/kubelet-server-current.pem >/dev/null 2>&1",
            &[],
        )
    }

    /// etcd's members as this control plane's own member sees them (JSON), after its own health.
    #[must_use]
    pub fn etcd_members() -> Self {
        Self::new(
            r"set -- --endpoints=https://127.0.0.1:2379 --cacert=/etc/kubernetes/pki/etcd/ca.crt --cert=/etc/kubernetes/pki/etcd/healthcheck-client.crt --key=/etc/kubernetes/pki/etcd/healthcheck-client.key --command-timeout=3s
            etcdctl $* endpoint health >/dev/null 2>&1 || exit 1; etcdctl $* member list -w json --hex=true",
            &[],
        )
    }

    /// Whether a member lives on this machine, by the machine's own credentials: `votes`, if the etcd
    /// member that answers here votes; `node=UID READY`, if the API knows the kubelet's node. Nothing
    /// where nobody answers.
    #[must_use]
    pub fn alive(node: &str) -> Self {
        Self::new(include_str!("probe/alive.sh"), &[node])
    }

    /// An object of the cluster as JSON, by its path in the API; or exit code 1.
    #[must_use]
    pub fn object(path: &str) -> Self {
        Self::new(
            r#"kubectl --kubeconfig /etc/kubernetes/admin.conf --request-timeout=10s get --raw "$1""#,
            &[path],
        )
    }

    /// Bootstrap tokens: each Secret's name, and its description in base64. Never the token itself.
    #[must_use]
    pub fn tokens() -> Self {
        Self::new(
            r#"kubectl --kubeconfig /etc/kubernetes/admin.conf --request-timeout=10s --namespace kube-system get secrets --field-selector type=bootstrap.kubernetes.io/token --output 'jsonpath={range .items[*]}{.metadata.name} {.data.description}{"\n"}{end}'"#,
            &[],
        )
    }

    /// The name of a ClusterRoleBinding, if there is one; exit code 1: no answer.
    #[must_use]
    pub fn cluster_role_binding(name: &str) -> Self {
        Self::new(
            r#"kubectl --kubeconfig /etc/kubernetes/admin.conf --request-timeout=10s get clusterrolebinding --ignore-not-found --output name -- "$1""#,
            &[name],
        )
    }

    /// Whether the unit of the packet filter for VRRP is enabled; the digest of what it loaded; how nft
    /// showed that then, and how now, as digests.
    #[must_use]
    pub fn vrrp_filter() -> Self {
        Self::new(
            r#"printf '%s\n' "$(systemctl is-enabled slipway-vrrp.service)"
            { cat /run/slipway-vrrp; nft -s list table ip slipway_vrrp | sha256sum; } | cut -d ' ' -f 1"#,
            &[],
        )
    }

    /// Whether the API server on this control plane itself, at `address`, is ready.
    #[must_use]
    pub fn api_server(address: &str) -> Self {
        Self::new(
            r#"kubectl --kubeconfig /etc/kubernetes/admin.conf --request-timeout=5s --server "https://$1:6443" get --raw /readyz"#,
            &[address],
        )
    }

    /// Whether a TCP connection to that address is accepted: exit code 0; 1: refused, or no way
    /// there; 124: no answer; 127: it cannot be asked, without bash.
    #[must_use]
    pub fn reach(host: &str, port: u16) -> Self {
        Self::new(
            r#"timeout 3 bash -c ': <"/dev/tcp/$0/$1"' "$1" "$2""#,
            &[host, &port.to_string()],
        )
    }

    /// Whether the certificate in a TLS Secret of `kube-system` is there, is signed by the cluster,
    /// and has 30 days left. Reads the certificate only, never the key.
    #[must_use]
    pub fn server_certificate(secret: &str) -> Self {
        Self::new(
            r#"c=$(kubectl --kubeconfig /etc/kubernetes/admin.conf --request-timeout=10s -n kube-system get secret "$1" -o 'jsonpath={.data.tls\.crt}' | base64 -d) && [ -n "$c" ] || exit 1
            printf '%s\n' "$c" | openssl verify -CAfile /etc/kubernetes/pki/ca.crt >/dev/null && printf '%s\n' "$c" | openssl x509 -noout -checkend 2592000 >/dev/null"#,
            &[secret],
        )
    }

    /// The whole cluster as its API sees it: of each object the fields that `template` (a JSONPath of
    /// kubectl's) prints; etcd's members and what was warned of.
    #[must_use]
    pub fn health(template: &str) -> Self {
        Self::new(include_str!("probe/health.sh"), &[template])
    }

    /// What the component at that port of 127.0.0.1 says of its health; nothing where none listens.
    #[must_use]
    pub fn component(port: u16) -> Self {
        Self::new(
            r#"printf 'GET /healthz HTTP/1.0\r\n\r\n' | timeout 5 openssl s_client -quiet -connect "127.0.0.1:$1""#,
            &[&port.to_string()],
        )
    }

    /// Three DNS queries over TCP to `address`, one after the other: each answer's length and head, as
    /// numbers, or `silent`. `query` is a text for `printf`. Nothing where bash is missing.
    #[must_use]
    pub fn dns(address: &str, query: &str) -> Self {
        Self::new(include_str!("probe/dns.sh"), &[address, query])
    }

    /// The cluster's own id (the UID of `kube-system`), then what its agent's Secret says of the
    /// hub: the cluster's name there, server and CA, each in base64, and `credential` where it has
    /// one. Never the credential itself.
    #[must_use]
    pub fn registration() -> Self {
        Self::new(
            r#"k='kubectl --kubeconfig /etc/kubernetes/admin.conf --request-timeout=10s'
            $k get namespace kube-system -o 'jsonpath={.metadata.uid}{"\n"}' || exit 1
            $k --namespace mcp-agent get secret mcp-hub --ignore-not-found -o 'go-template={{with .data}}{{index . "cluster"}} {{index . "server"}} {{index . "ca.crt"}}{{if or (index . "tls.crt") (index . "token")}} credential{{end}}{{end}}'"#,
            &[],
        )
    }

    /// What applying `manifest` would change, as the API server itself says (a server-side dry
    /// run): exit code 0 nothing, 1 the diff, more: no answer.
    #[must_use]
    pub fn manifest(manifest: &str) -> Self {
        let mut probe = Self::new(
            r"kubectl --kubeconfig /etc/kubernetes/admin.conf --request-timeout=20s diff --server-side --force-conflicts --field-manager=slipway -f - 2>&1",
            &[],
        );
        probe.input = Some(manifest.to_owned());
        probe
    }

    /// What kubeadm would write for `configuration` (a dry run), and what is there; with `objects`
    /// also objects of the cluster. Exit code 3: it does not say. It writes to a directory of its own,
    /// in memory, which is gone at the end.
    #[must_use]
    pub fn written(configuration: &str, objects: bool) -> Self {
        let what = if objects { "objects" } else { "files" };
        let mut probe = Self::new(include_str!("probe/kubeadm.sh"), &[what]);
        probe.input = Some(configuration.to_owned());
        probe
    }

    /// The interface that has this IPv4 address, as `ip address` shows it; or nothing.
    #[must_use]
    pub fn address(address: &str) -> Self {
        Self::new(r#"ip -o -4 address show to "$1""#, &[address])
    }

    /// The random number that is new at each boot.
    #[must_use]
    pub fn boot_id() -> Self {
        Self::new("cat /proc/sys/kernel/random/boot_id", &[])
    }

    /// Units of slipway's that work now; see [`crate::resource`]'s kubeadm.
    #[must_use]
    pub fn running() -> Self {
        Self::new(
            "systemctl list-units --plain --no-legend --state=active,activating 'slipway-run-*' | cut -d' ' -f1",
            &[],
        )
    }

    /// Everything that the survey asks of one node. `questions` are for those that have not joined
    /// yet; see [`crate::survey::questions`].
    #[must_use]
    pub fn survey(questions: &[String]) -> Self {
        let words: Vec<&str> = questions.iter().map(String::as_str).collect();
        Self::new(
            concat!(
                include_str!("survey/preflight/machine.sh"),
                include_str!("survey/preflight/before.sh"),
                include_str!("survey/preflight/network.sh"),
                include_str!("survey/probe.sh"),
                "p clock \"$(date +%s%N)\"\n",
            ),
            &words,
        )
    }

    /// How long synced writes take where etcd's data will lie. It writes to a file without a name, of
    /// which nothing is left.
    #[must_use]
    pub fn synced_writes() -> Self {
        Self::new(include_str!("survey/preflight/sync.sh"), &["/var/lib/etcd", "/var/lib"])
    }

    /// The shared keys of a control plane, for an operator's machine that lost its own: each
    /// file's name, its size, its bytes.
    #[must_use]
    pub fn keys(names: &[&str]) -> Self {
        Self::new(
            r#"cd /etc/kubernetes/pki || exit 1
            for n; do printf '%s %s\n' "$n" "$(stat -c %s "$n")"; cat "$n"; done"#,
            names,
        )
    }

    /// The shell text itself, for tests that check that every probe only reads.
    #[must_use]
    pub fn text(&self) -> &'static str {
        self.text
    }

    /// Its words.
    #[must_use]
    pub fn words(&self) -> &[String] {
        &self.words
    }
}
