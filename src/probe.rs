//! Probes: questions to a node that change nothing.
//!
//! A [`Probe`] can only be made by the constructors here, each a fixed shell text that reads; so a
//! look that mutates cannot be written in another module. Probes are data: [`script`] bundles those of a
//! whole host into one text for one command, [`frames()`] takes the answers apart again.

use crate::command::{admin, api, client_certificate, serving_certificate};

mod cluster;
mod frames;
#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) use frames::GO;
pub use frames::{frames, script};

/// A read-only question; valid on a bare machine, where the answer is often "nothing there".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    first: Option<&'static str>,
    text: &'static str,
    words: Vec<String>,
    input: Option<String>,
    reads: Vec<String>,
}

/// How much of a file's text a look brings along, for the plan's diff.
pub const TEXT_LIMIT: usize = 65_536;

/// Where a node remembers digests of large files that were written there: at a file's own path below this
/// directory, its digest and who it was then ([`FILE_STATE`]).
pub const DIGESTS: &str = "/var/lib/slipway/digests";
/// [`FILE_STATE`], for `concat!`.
macro_rules! file_state {
    () => {
        "%i:%s:%.9Y:%.9Z"
    };
}

/// By what `stat` prints for this, a file that nobody has touched is known: inode, size, and
/// when content and inode last changed, in ns. The last one cannot be set by whoever changes a file. A device has
/// another number after a reboot.
pub const FILE_STATE: &str = file_state!();

impl Probe {
    fn new(text: &'static str, words: &[&str]) -> Self {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        Self { first: None, text, words, input: None, reads: Vec::new() }
    }

    /// Declares which files the answer depends on.
    fn reading(mut self, paths: &[&str]) -> Self {
        self.reads = paths.iter().map(|path| (*path).to_owned()).collect();
        self
    }

    /// A file's mode and owner, then, if `text`, up to [`TEXT_LIMIT`] bytes of it, else its SHA-256: of a
    /// large one that which was remembered below [`DIGESTS`], if nobody has touched the file since, else by
    /// openssl where it is (three times as fast). Exit code 1: not there; 2: something else than a regular
    /// file; 3: its SHA-256 is `wanted`, and nothing of it is brought along.
    #[must_use]
    pub fn file(path: &str, text: bool, wanted: Option<&str>) -> Self {
        let text = if text { TEXT_LIMIT.to_string() } else { "0".to_owned() };
        let words = [path, &text, DIGESTS, wanted.unwrap_or_default()];
        let first = concat!("state='", file_state!(), "'\n", include_str!("probe/files.sh"));
        Self { first: Some(first), ..Self::new(include_str!("probe/file.sh"), &words) }
            .reading(&[path])
    }

    /// Whether anything is at any of these paths: prints those that are.
    #[must_use]
    pub fn exist(paths: &[&str]) -> Self {
        Self::new(
            r#"for p; do if [ -e "$p" ] || [ -L "$p" ]; then printf '%s\n' "$p"; fi; done"#,
            paths,
        )
        .reading(paths)
    }

    /// Each package's `name version status`, those known to dpkg only.
    #[must_use]
    pub fn packages(names: &[&str]) -> Self {
        Self::new(
            r"dpkg-query -W -f '${Package} ${Version} ${db:Status-Status}\n' -- $* 2>/dev/null; :",
            names,
        )
    }

    /// A unit's `ActiveState`, `UnitFileState`, and slipway's stamp of what it was started with, whose
    /// lines come last.
    #[must_use]
    pub fn unit(name: &str) -> Self {
        let first = Some(include_str!("probe/units.sh"));
        Self { first, ..Self::new(include_str!("probe/unit.sh"), &[name]) }
    }

    /// `key=value` of each kernel parameter that exists; `key (read-only)` where root may not set
    /// it.
    #[must_use]
    pub fn sysctls(keys: &[&str]) -> Self {
        Self::new(
            // Each value in one read: another one finds nothing more.
            r#"list=
            for k; do IFS=.; set -- $k; IFS=/; f="/proc/sys/$*"; unset IFS; [ -e "$f" ] || continue
            if [ -w "$f" ]; then list="$list k=$k $f"; else printf '%s (read-only)\n' "$k"; fi; done
            [ -z "$list" ] || awk '{ print k "=" $0 }' $list"#,
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
        Self::new("cat /proc/sys/kernel/hostname /etc/hostname 2>/dev/null; :", &[])
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
            concat!(
                "openssl verify -CAfile /etc/kubernetes/pki/ca.crt ",
                serving_certificate!(),
                " >/dev/null 2>&1"
            ),
            &[],
        )
        .reading(&[serving_certificate!()])
    }

    /// A certificate, up to [`TEXT_LIMIT`] bytes of it.
    #[must_use]
    pub fn certificate(path: &str) -> Self {
        Self::new(r#"head -c "$2" "$1""#, &[path, &TEXT_LIMIT.to_string()]).reading(&[path])
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

    /// Whether a TCP connection to that address is accepted: exit code 0; 1: refused, or no way
    /// there; 124: no answer; 127: it cannot be asked, without bash.
    #[must_use]
    pub fn reach(host: &str, port: u16) -> Self {
        Self::new(
            r#"timeout 3 bash -c ': <"/dev/tcp/$0/$1"' "$1" "$2""#,
            &[host, &port.to_string()],
        )
    }

    /// What the component at that port of 127.0.0.1 says of its health; nothing where none listens.
    #[must_use]
    pub fn component(port: u16) -> Self {
        Self::new(
            r#"printf 'GET /healthz HTTP/1.0\r\n\r\n' | timeout 5 openssl s_client -quiet -no-CAfile -no-CApath -no-CAstore -connect "127.0.0.1:$1""#,
            &[&port.to_string()],
        )
    }

    /// Three DNS queries over TCP to `address`, one after the other: each answer's length and head, as
    /// numbers, or `silent`. `query` is a text for `printf`. Nothing where bash is missing.
    #[must_use]
    pub fn dns(address: &str, query: &str) -> Self {
        Self::new(include_str!("probe/dns.sh"), &[address, query])
            .reading(&["/etc/kubernetes/kubelet.conf"])
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
    /// yet; see [`crate::preflight::questions`].
    #[must_use]
    pub fn survey(questions: &[String]) -> Self {
        let words: Vec<&str> = questions.iter().map(String::as_str).collect();
        Self::new(
            concat!(
                admin!(),
                api!(),
                concat!("client_certificate=", client_certificate!(), "\n"),
                include_str!("probe/machine.sh"),
                include_str!("probe/before.sh"),
                include_str!("probe/network.sh"),
                include_str!("probe/survey.sh"),
                "p clock \"$(date +%s%N)\"\n",
            ),
            &words,
        )
        .reading(&["/etc/kubernetes/", "/var/lib/kubelet/", "/var/lib/etcd/"])
    }

    /// How long synced writes take where etcd's data will lie. It writes to a file without a name, of
    /// which nothing is left.
    #[must_use]
    pub fn synced_writes() -> Self {
        Self::new(include_str!("probe/sync.sh"), &["/var/lib/etcd", "/var/lib"])
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
        .reading(&["/etc/kubernetes/pki/"])
    }

    /// The shell text itself, for tests that check that every probe only reads.
    #[must_use]
    pub fn text(&self) -> &'static str {
        self.text
    }

    /// What comes first in a look that has it, once for all of its kind, with the first word of each.
    #[must_use]
    pub fn first(&self) -> Option<&'static str> {
        self.first
    }

    /// Its words.
    #[must_use]
    pub fn words(&self) -> &[String] {
        &self.words
    }

    /// What is read: files of the node's, also keys with which others are asked. Where they are gone, there
    /// is no answer.
    #[must_use]
    pub fn reads(&self) -> &[String] {
        &self.reads
    }
}
