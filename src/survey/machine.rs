//! What only preflight asks of a node, as `machine.sh` and `network.sh` print it. What is absent or
//! cannot be read stays unset, and is no finding.

use std::net::Ipv4Addr;

use super::clock::Clock;

/// How many lines of a kind, and characters of a value, are kept: what a node prints has no bounds.
const MANY: usize = 256;

/// Facts of a machine and what the network answers to it. Texts are as the node printed them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Machine {
    /// What its clock showed.
    pub clock: Clock,
    /// The host name that it has now.
    pub hostname: String,
    /// `/etc/machine-id`.
    pub machine_id: String,
    /// The firmware's id; empty where there is none, as in containers.
    pub product_uuid: String,
    /// Network interfaces, but for pods'.
    pub links: Vec<Link>,
    /// Whether chrony runs.
    pub chrony: bool,
    /// Chains of nftables that drop what the node forwards: `FAMILY TABLE CHAIN`.
    pub forward_drops: Vec<String>,
    /// The kernel's release: `6.1.0-18-amd64`.
    pub kernel: String,
    /// Processors that a process may use.
    pub cpus: Option<u32>,
    /// Memory, in MiB.
    pub memory: Option<u64>,
    /// The IPv4 address of `localhost`; empty: it has none.
    pub localhost: Option<String>,
    /// Where much is written.
    pub disks: Vec<Disk>,
    /// Other Kubernetes, and Docker.
    pub others: Vec<Other>,
    /// Installed packages that cannot stay beside slipway's.
    pub packages: Vec<String>,
    /// Programs that the look needs, and that are not there.
    pub missing: Vec<String>,
    /// Packages that dpkg has begun with and not finished, and how far each is.
    pub unfinished: Vec<String>,
    /// What lies in `/var/lib/etcd`.
    pub etcd_left: Vec<String>,
    /// Files of a kubelet by which another one takes itself for it.
    pub kubelet_left: Vec<String>,
    /// Configurations by which haproxy or keepalived serve somebody else.
    pub serves: Vec<String>,
    /// Directories that lie in mounts that forbid something.
    pub mounts: Vec<Mount>,
    /// Who listens on ports that Kubernetes needs.
    pub listeners: Vec<Listener>,
    /// Addresses and ports of other nodes that do not answer.
    pub silent: Vec<(Ipv4Addr, u16)>,
    /// Other nodes that packets of this size (in bytes) do not reach, while small ones do.
    pub lost: Vec<(Ipv4Addr, u32)>,
    /// Who answers at the virtual IP.
    pub vip: Option<Holder>,
    /// What the external endpoint answers.
    pub endpoint: Option<Answer>,
    /// Whether an API server answers there.
    pub endpoint_api: bool,
}

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its name.
    pub name: String,
    /// The size of its largest packet, in bytes.
    pub mtu: u32,
    /// Its link-layer address, in lower case.
    pub mac: String,
}

/// A file system where one of slipway's directories lies, or will.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// The directory.
    pub path: String,
    /// The file system's device number.
    pub device: String,
    /// Its size, in MiB.
    pub size: u64,
    /// What is free for others than root, in MiB.
    pub free: u64,
}

/// The mount options that restrict a directory which is there, or will be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The directory.
    pub directory: String,
    /// Where its file system is mounted.
    pub point: String,
    /// Nothing can be written there.
    pub read_only: bool,
    /// No program runs from there.
    pub no_exec: bool,
}

/// Another Kubernetes, or Docker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Other {
    /// Its name.
    pub name: String,
    /// Whether it runs.
    pub running: bool,
    /// A file of it.
    pub path: String,
}

/// A process that listens on a TCP port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// The local address, as ss(8) writes it: `*`, `0.0.0.0`, `[::]`, `127.0.0.1`.
    pub address: String,
    /// The port.
    pub port: u16,
    /// The process's name; empty: unknown.
    pub process: String,
    /// Its id.
    pub pid: Option<u32>,
}

/// How an attempt to connect ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Connected.
    Open,
    /// A machine answers, and no program listens.
    Refused,
    /// Nothing came back in time.
    Silent,
    /// There is no route.
    Beyond,
    /// The name has no address.
    Unresolved,
}

/// What was seen of an address on the same network segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// How an attempt to connect ended.
    pub answer: Answer,
    /// The neighbour's state (ip-neighbour(8)).
    pub state: String,
    /// Its link-layer address, in lower case; empty: none answered.
    pub mac: String,
}

impl Machine {
    /// Takes one fact; what cannot be read is left out.
    pub(super) fn set(&mut self, key: &str, value: &str) {
        let value: String = value.chars().take(MANY).collect();
        let mut words = value.split_whitespace();
        match key {
            "clock" => self.clock.shown(value.parse().ok()),
            "hostname" => self.hostname = value,
            "machine_id" => self.machine_id = value,
            "product_uuid" => self.product_uuid = value,
            "link" => keep(&mut self.links, link(words)),
            "chrony" => self.chrony = value == "running",
            "forward" => keep(&mut self.forward_drops, Some(value)),
            "kernel" => self.kernel = value,
            "cpus" => self.cpus = value.parse().ok(),
            "memory" => self.memory = value.parse().ok().map(|kib: u64| kib / 1024),
            "localhost" => self.localhost = Some(value),
            "disk" => keep(&mut self.disks, disk(words)),
            "other" => keep(&mut self.others, other(words)),
            "package" => keep(&mut self.packages, Some(value)),
            "missing" => keep(&mut self.missing, Some(value)),
            "dpkg" => keep(&mut self.unfinished, Some(value)),
            "etcd_left" => keep(&mut self.etcd_left, Some(value)),
            "kubelet_left" => keep(&mut self.kubelet_left, Some(value)),
            "serves" => keep(&mut self.serves, Some(value)),
            "mount" => keep(&mut self.mounts, mount(words)),
            "listen" => keep(&mut self.listeners, listener(&value)),
            "silent" => keep(&mut self.silent, numbers(words)),
            "lost" => keep(&mut self.lost, numbers(words)),
            "vip" => {
                self.vip = words.next().and_then(answer).map(|answer| Holder {
                    answer,
                    state: words.next().unwrap_or_default().to_owned(),
                    mac: words.next().unwrap_or_default().to_lowercase(),
                });
            }
            "endpoint" => self.endpoint = answer(&value),
            "endpoint_api" => self.endpoint_api = value == "yes",
            _ => {}
        }
    }

    /// Whether the look went without that program.
    #[must_use]
    pub fn lacks(&self, program: &str) -> bool {
        self.missing.iter().any(|missing| missing == program)
    }

    /// Whether `/var/lib/etcd` is a disk of its own with nothing on it.
    #[must_use]
    pub fn has_etcd_disk(&self) -> bool {
        self.etcd_left == ["lost+found"]
    }

    /// The interface of that name.
    #[must_use]
    pub fn link(&self, name: &str) -> Option<&Link> {
        self.links.iter().find(|link| link.name == name)
    }
}

type Words<'a> = std::str::SplitWhitespace<'a>;

fn keep<T>(all: &mut Vec<T>, one: Option<T>) {
    if all.len() < MANY {
        all.extend(one);
    }
}

fn link(mut words: Words) -> Option<Link> {
    let name = words.next()?.to_owned();
    let mtu = words.next()?.parse().ok()?;
    Some(Link { name, mtu, mac: words.next().unwrap_or_default().to_lowercase() })
}

/// `PATH DEVICE BLOCK-SIZE BLOCKS FREE-BLOCKS`.
fn disk(mut words: Words) -> Option<Disk> {
    let (path, device) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut number = || words.next()?.parse::<u64>().ok();
    let (block, all, free) = (number()?, number()?, number()?);
    let mib = |blocks: u64| blocks.saturating_mul(block) >> 20;
    Some(Disk { path, device, size: mib(all), free: mib(free) })
}

/// `DIRECTORY MOUNT ro noexec`.
fn mount(mut words: Words) -> Option<Mount> {
    let (directory, point) = (words.next()?.to_owned(), words.next()?.to_owned());
    let how: Vec<&str> = words.collect();
    let has = |word| how.contains(&word);
    Some(Mount { directory, point, read_only: has("ro"), no_exec: has("noexec") })
}

fn other(mut words: Words) -> Option<Other> {
    let name = words.next()?.to_owned();
    let running = words.next()? == "running";
    Some(Other { name, running, path: words.next()?.to_owned() })
}

/// `ADDRESS:PORT users:(("NAME",pid=PID,fd=…`.
fn listener(text: &str) -> Option<Listener> {
    let (local, rest) = text.split_once(' ').unwrap_or((text, ""));
    let (address, port) = local.rsplit_once(':')?;
    let after = |mark: &str| rest.split_once(mark).map(|(_, rest)| rest);
    let process = after("((\"").and_then(|rest| rest.split('"').next()).unwrap_or_default();
    let pid = after("pid=").and_then(|rest| rest.split(',').next());
    Some(Listener {
        address: address.to_owned(),
        port: port.parse().ok()?,
        process: process.to_owned(),
        pid: pid.and_then(|pid| pid.parse().ok()),
    })
}

fn numbers<T: std::str::FromStr>(mut words: Words) -> Option<(Ipv4Addr, T)> {
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}

fn answer(word: &str) -> Option<Answer> {
    match word {
        "open" => Some(Answer::Open),
        "refused" => Some(Answer::Refused),
        "silent" => Some(Answer::Silent),
        "beyond" => Some(Answer::Beyond),
        "unresolved" => Some(Answer::Unresolved),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Machine {
        let mut machine = Machine::default();
        for line in text.lines() {
            if let Some((key, value)) = line.split_once('=') {
                machine.set(key, value);
            }
        }
        machine
    }

    #[test]
    fn lines_become_facts() {
        let machine = parse(
            "link=eth0 1500 52:54:00:AA:bb:01\nmemory=2097152\nother=k3s left /usr/local/bin/k3s\n\
             disk=/var/lib/etcd 65024 4096 1048576 262144\nlost=10.0.0.2 1500\n\
             listen=[::]:6443 users:((\"a b\",pid=812,fd=6),(\"c\",pid=9,fd=6))\n\
             listen=0.0.0.0:2379\nvip=refused REACHABLE 52:54:00:AA:BB:02\n",
        );
        let link = machine.link("eth0").unwrap();
        assert_eq!((link.mtu, link.mac.as_str()), (1500, "52:54:00:aa:bb:01"));
        assert_eq!(machine.memory, Some(2048));
        assert!(!machine.others[0].running);
        assert_eq!((machine.disks[0].size, machine.disks[0].free), (4096, 1024));
        let machine_with = parse("mount=/var/lib /var ro noexec\netcd_left=lost+found\n");
        let [mount] = &machine_with.mounts[..] else { panic!("{machine_with:?}") };
        assert!(mount.read_only && mount.no_exec && mount.point == "/var");
        assert!(machine_with.has_etcd_disk() && !machine.has_etcd_disk());
        assert_eq!(machine.lost, [(Ipv4Addr::new(10, 0, 0, 2), 1500)]);
        let [named, nameless] = &machine.listeners[..] else { panic!("{machine:?}") };
        assert_eq!((named.port, named.process.as_str(), named.pid), (6443, "a b", Some(812)));
        assert_eq!((nameless.address.as_str(), nameless.pid), ("0.0.0.0", None));
        assert_eq!(machine.vip.unwrap().mac, "52:54:00:aa:bb:02");
    }

    #[test]
    fn what_is_kept_has_bounds() {
        let machine = parse(&"package=x\n".repeat(1000));
        assert_eq!(machine.packages.len(), MANY);
        assert_eq!(parse(&format!("hostname={}", "x".repeat(5000))).hostname.len(), MANY);
    }

    proptest! {
        #[test]
        fn hostile_lines_do_not_panic(
            text in "((clock|link|disk|mount|other|listen|silent|lost|vip|memory|kernel)=[-0-9.:(\" a-z=,é]{0,60}\n){0,8}"
        ) {
            parse(&text);
        }
    }
}
