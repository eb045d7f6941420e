//! One machine as data: what slipway's commands change there, what its probes see, and what the
//! parts of Kubernetes that run on it go by.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::kubeadm::Process;
use super::pod::Pod;
use crate::cluster::Role;
use crate::command::{client_certificate, serving_certificate};
use crate::resource::sha256;
use crate::template;

pub(super) const ETCD_MANIFEST: &str = "/etc/kubernetes/manifests/etcd.yaml";
pub(super) const API_MANIFEST: &str = "/etc/kubernetes/manifests/kube-apiserver.yaml";
pub(super) const BOOTSTRAP: &str = "/etc/kubernetes/bootstrap-kubelet.conf";
pub(super) const KUBELET_CONF: &str = "/etc/kubernetes/kubelet.conf";
pub(super) const KUBELET_CONFIG: &str = "/var/lib/kubelet/config.yaml";
pub(super) const CREDENTIALS: &str = client_certificate!();
pub(super) const SERVING: &str = serving_certificate!();
pub(super) const ETCD_DATA: &str = "/var/lib/etcd/member";
const STAMPS: &str = "/var/lib/slipway/stamps/";

/// Units that packages bring, and whether Debian starts them at once.
const PACKAGED: &[(&str, &str, bool)] = &[
    ("chrony", "chrony.service", true),
    ("haproxy", "haproxy.service", true),
    ("keepalived", "keepalived.service", false),
];

#[derive(Debug, Clone)]
pub(super) struct Machine {
    /// What it is called here, whatever an inventory says.
    pub(super) name: String,
    pub(super) address: Ipv4Addr,
    /// A second address of its interface.
    pub(super) second: Ipv4Addr,
    /// The node that kubeadm was last told to make of it: name, address, whether a worker.
    pub(super) node: String,
    pub(super) node_ip: Ipv4Addr,
    pub(super) worker: bool,
    pub(super) release: &'static str,
    pub(super) boots: usize,
    pub(super) files: BTreeMap<String, Stored>,
    pub(super) folders: BTreeSet<String>,
    pub(super) packages: BTreeSet<String>,
    pub(super) units: BTreeMap<String, UnitState>,
    /// By unit: what it was last started with.
    pub(super) stamps: BTreeMap<String, String>,
    pub(super) hostname: String,
    pub(super) sysctls: BTreeMap<String, String>,
    pub(super) modules: BTreeSet<String>,
    pub(super) swap: bool,
    /// Whether it knows a name server.
    pub(super) name_server: bool,
    /// chrony has set the clock.
    pub(super) on_time: bool,
    /// References and digests of images in containerd.
    pub(super) images: BTreeMap<String, String>,
    pub(super) data: Option<Data>,
    pub(super) pods: BTreeSet<Pod>,
    /// Those that cannot start until they are made anew.
    pub(super) broken: BTreeSet<Pod>,
    /// The kubelet that runs now has made sure of its Node object.
    pub(super) registered: bool,
    /// The version of the kubelet that was last started.
    pub(super) kubelet: String,
    /// The digest of the packet filter for VRRP that was loaded.
    pub(super) vrrp: Option<String>,
    /// The unit in which kubeadm works.
    pub(super) kubeadm: Option<Process>,
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) mode: u32,
    pub(super) bytes: Arc<[u8]>,
    pub(super) digest: Arc<str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct UnitState {
    pub(super) active: bool,
    pub(super) enabled: bool,
}

/// Which etcd cluster a data directory belongs to, and as which member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Data {
    pub(super) store: usize,
    pub(super) member: u64,
}

impl Machine {
    /// As an installer leaves it.
    pub(super) fn bare(node: &crate::cluster::Node) -> Self {
        let last = node.internal.octets()[3];
        let mut machine = Self {
            name: node.name.clone(),
            address: node.internal,
            second: second(node.internal),
            node: node.name.clone(),
            node_ip: node.internal,
            worker: node.role == Role::Worker,
            release: if last.is_multiple_of(2) { "debian-12" } else { "debian-13" },
            boots: 1,
            files: BTreeMap::new(),
            folders: BTreeSet::new(),
            packages: BTreeSet::new(),
            units: BTreeMap::new(),
            stamps: BTreeMap::new(),
            hostname: "debian".to_owned(),
            sysctls: BTreeMap::new(),
            modules: BTreeSet::new(),
            swap: true,
            name_server: true,
            on_time: false,
            images: BTreeMap::new(),
            data: None,
            pods: BTreeSet::new(),
            broken: BTreeSet::new(),
            registered: false,
            kubelet: String::new(),
            vrrp: None,
            kubeadm: None,
        };
        machine.write("/etc/hosts", 0o644, b"127.0.0.1 localhost\n");
        machine.write("/etc/hostname", 0o644, b"debian\n");
        machine.write(
            "/etc/fstab",
            0o644,
            b"/dev/vda1 / ext4 rw 0 1\n/dev/vda2 none swap sw 0 0\n",
        );
        machine.start_kernel();
        machine
    }

    pub(super) fn has(&self, path: &str) -> bool {
        self.files.contains_key(path)
    }

    /// Whether anything is at `path`.
    pub(super) fn exists(&self, path: &str) -> bool {
        let below = format!("{path}/");
        self.has(path)
            || self.folders.contains(path)
            || path.strip_prefix(STAMPS).is_some_and(|unit| self.stamps.contains_key(unit))
            || (path == ETCD_DATA && self.data.is_some())
            || self.files.range(below.clone()..).next().is_some_and(|(p, _)| p.starts_with(&below))
    }

    pub(super) fn text(&self, path: &str) -> String {
        let bytes = self.files.get(path).map(|file| file.bytes.to_vec()).unwrap_or_default();
        String::from_utf8(bytes).unwrap()
    }

    pub(super) fn write(&mut self, path: &str, mode: u32, bytes: &[u8]) {
        let stored = Stored { mode, bytes: bytes.into(), digest: sha256(bytes).into() };
        self.files.insert(path.to_owned(), stored);
    }

    pub(super) fn remove(&mut self, path: &str) {
        self.files.remove(path);
        path.strip_prefix(STAMPS).map(|unit| self.stamps.remove(unit));
    }

    /// Removes all that is below the folder `path`, which stays.
    pub(super) fn empty(&mut self, path: &str) {
        let below = format!("{path}/");
        self.files.retain(|path, _| !path.starts_with(&below));
    }

    pub(super) fn unit(&self, name: &str) -> UnitState {
        self.units.get(name).copied().unwrap_or_default()
    }

    pub(super) fn active(&self, unit: &str) -> bool {
        self.unit(unit).active
    }

    pub(super) fn has_unit(&self, name: &str) -> bool {
        let packaged = |(package, unit, _): &(&str, &str, bool)| {
            *unit == name && self.packages.contains(*package)
        };
        self.has(&format!("/etc/systemd/system/{name}")) || PACKAGED.iter().any(packaged)
    }

    pub(super) fn install(&mut self, package: &str) {
        self.packages.insert(package.to_owned());
        if let Some((_, unit, starts)) = PACKAGED.iter().find(|(name, ..)| *name == package) {
            self.units.insert((*unit).to_owned(), UnitState { active: *starts, enabled: true });
        }
    }

    /// Starts a unit anew.
    pub(super) fn start(&mut self, unit: &str) -> Result<(), String> {
        let lacking = match unit {
            "containerd.service" => !self.has("/usr/local/bin/containerd"),
            "keepalived.service" => !self.has("/etc/keepalived/keepalived.conf"),
            // With our configuration it binds an address that the machine may not hold.
            "haproxy.service" => {
                self.has(template::HAPROXY.target())
                    && self
                        .sysctls
                        .get("net.ipv4.ip_nonlocal_bind")
                        .is_none_or(|value| value != "1")
            }
            _ => false,
        };
        if lacking || !self.has_unit(unit) {
            return Err(format!("Job for {unit} failed"));
        }
        if unit == "slipway-vrrp.service" {
            let [rules, unit] =
                [template::VRRP_RULES, template::VRRP_UNIT].map(|t| self.text(t.target()));
            self.vrrp = Some(sha256(format!("{rules}{unit}").as_bytes()));
        }
        self.units.entry(unit.to_owned()).or_default().active = true;
        if unit == "kubelet.service" {
            self.registered = false;
            let program = self.text("/usr/local/bin/kubelet");
            super::stage::version_of(&program).clone_into(&mut self.kubelet);
        }
        Ok(())
    }

    pub(super) fn stop(&mut self, unit: &str) {
        self.units.entry(unit.to_owned()).or_default().active = false;
        self.registered &= unit != "kubelet.service";
    }

    /// Whether the kubelet does its work.
    pub(super) fn kubelet_works(&self) -> bool {
        let needs = [KUBELET_CONFIG, "/usr/local/bin/kubelet"];
        let runs = self.active("kubelet.service") && self.active("containerd.service");
        runs && !self.swap && needs.iter().all(|path| self.has(path))
    }

    pub(super) fn has_image(&self, name: &str) -> bool {
        super::stage::references(name).any(|reference| self.images.contains_key(&reference))
    }

    /// Whether the image of that static pod's manifest is there.
    pub(super) fn has_image_of(&self, pod: Pod) -> bool {
        self.image_of(pod).is_some_and(|image| self.images.contains_key(&image))
    }

    /// The image that a static pod's manifest names.
    pub(super) fn image_of(&self, pod: Pod) -> Option<String> {
        let manifest: serde_json::Value = serde_yaml::from_str(&self.text(&pod.manifest())).ok()?;
        Some(manifest.pointer("/spec/containers/0/image")?.as_str()?.to_owned())
    }

    /// Off and on again.
    pub(super) fn reboot(&mut self) {
        self.boots += 1;
        self.kubeadm = None;
        self.pods.clear();
        self.registered = false;
        self.vrrp = None;
        self.on_time = false;
        self.hostname = self.text("/etc/hostname").trim().to_owned();
        self.swap = self.text("/etc/fstab").lines().any(is_swap);
        self.start_kernel();
        for line in
            self.text(template::MODULES.target()).lines().filter(|line| !line.starts_with('#'))
        {
            self.load(line);
        }
        for line in self.text(template::SYSCTLS.target()).lines() {
            if let Some((key, value)) = line.split_once(" = ")
                && let Some(now) = self.sysctls.get_mut(key)
            {
                value.clone_into(now);
            }
        }
        let units = std::mem::take(&mut self.units);
        for (unit, UnitState { enabled, .. }) in units {
            self.units.insert(unit.clone(), UnitState { active: false, enabled });
            if enabled {
                // What cannot start stays off.
                let _ = self.start(&unit);
            }
        }
    }

    /// The kernel's parameters and features, as they are by themselves.
    fn start_kernel(&mut self) {
        self.modules = BTreeSet::from(["overlay".to_owned()]);
        let off = [
            "fs.inotify.max_user_instances",
            "kernel.panic",
            "net.ipv4.ip_forward",
            "net.ipv4.ip_nonlocal_bind",
        ];
        self.sysctls = off.iter().map(|key| ((*key).to_owned(), "0".to_owned())).collect();
    }

    pub(super) fn load(&mut self, module: &str) {
        self.modules.insert(module.to_owned());
        if module == "br_netfilter" {
            for key in ["iptables", "ip6tables"] {
                let key = format!("net.bridge.bridge-nf-call-{key}");
                self.sysctls.entry(key).or_insert_with(|| "1".to_owned());
            }
        }
    }

    pub(super) fn portrait(&self) -> BTreeMap<String, String> {
        let mut lines: BTreeMap<String, String> = self
            .files
            .iter()
            .map(|(path, file)| (path.clone(), format!("{:o} {}", file.mode, file.digest)))
            .collect();
        // Written by kubeadm or by slipway, they mean the same.
        let kubeadms = ["/etc/kubernetes/manifests/", "/var/lib/kubelet/config.yaml"];
        for (path, how) in &mut lines {
            if kubeadms.iter().any(|kubeadms| path.starts_with(kubeadms)) {
                let meaning: serde_json::Value = serde_yaml::from_str(&self.text(path)).unwrap();
                // That tells whether the node was the first one.
                *how = meaning.to_string().replace(",\"--initial-cluster-state=existing\"", "");
            }
        }
        let mut add = |what: &str, how: String| lines.insert(what.to_owned(), how);
        add("packages", format!("{:?}", self.packages));
        add("units", format!("{:?}", self.units));
        add("stamps", format!("{:?}", self.stamps));
        add("kernel", format!("{} {:?} {:?}", self.hostname, self.sysctls, self.modules));
        add("swap", self.swap.to_string());
        add("images", format!("{:?}", self.images));
        add("pods", format!("{:?}", self.pods));
        add("VRRP", format!("{:?}", self.vrrp));
        add("kubelet", format!("{} registered {}", self.kubelet, self.registered));
        add("kubeadm", format!("{:?}", self.kubeadm.is_some()));
        lines
    }
}

/// The second address of the machine that has this first one.
pub(super) fn second(first: Ipv4Addr) -> Ipv4Addr {
    Ipv4Addr::from_bits(first.to_bits() + 100)
}

/// Whether a line of `/etc/fstab` turns swap on.
pub(super) fn is_swap(line: &str) -> bool {
    !line.starts_with('#') && line.split_whitespace().nth(2) == Some("swap")
}
