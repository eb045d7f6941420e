//! Machines as people have them: what a login, a person or a hypervisor may have left on them, all of it
//! at once.

use super::lab::Lab;
use super::{eventually, figure, kube::Kube, secs, shown};

/// As a Vagrant machine: the first interface has one address on all of them. A login that prints, and
/// whose start-up file sets what it likes; a sudo that does not look where programs are brought to; a
/// proxy for everybody; an sshd with few sessions; and nobody to ask for names.
const ODD: &str = r#"set -e
i=$(cat /sys/class/net/host0/ifindex)
while i=$((i - 1)); [ $i -gt 1 ]; do
  ip link add nat0 index $i type veth peer name nat1 2>/dev/null && break
done
[ -e /sys/class/net/nat0 ] || ip link add nat0 type veth peer name nat1
ip addr add 10.0.2.15/24 dev nat0; ip link set nat0 up; ip link set nat1 up
for home in /root /home/admin; do
  printf 'echo "welcome to $(hostname)"\numask 077\nalias kubectl=false\nexport KUBECONFIG=/nowhere LC_ALL=tlh\n' >$home/.bashrc
done
echo 'Defaults secure_path=/usr/sbin:/usr/bin:/sbin:/bin' >/etc/sudoers.d/zz
printf 'HTTPS_PROXY=http://192.0.2.9:3128\nhttps_proxy=http://192.0.2.9:3128\n' >>/etc/environment
: >/etc/resolv.conf
mkdir -p /var/lib/etcd/lost+found /etc/containerd/conf.d
printf "version = 3\n[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.own]\nruntime_type = 'io.containerd.runc.v2'\n" \
  >/etc/containerd/conf.d/99-own.toml
echo 'MaxSessions 4' >/etc/ssh/sshd_config.d/z.conf; systemctl restart ssh"#;

/// Makes all nodes odd.
pub fn make(lab: &Lab) {
    lab.on_all(&lab.names(), ODD, "");
}

/// Nothing of it matters: files have their modes, others' settings of containerd stay, and the pod
/// network has the nodes' own addresses.
pub fn matters_not(lab: &Lab, kube: &Kube) {
    let files = "stat -c '%a %n' /etc/hosts /etc/containerd/config.toml /opt/cni/bin";
    let expected = "644 /etc/hosts\n644 /etc/containerd/config.toml\n755 /opt/cni/bin\n";
    let runtimes = "containerd config dump 2>/dev/null | grep -c 'runtimes.own\\]'";
    for node in lab.names() {
        // The login speaks first.
        let [modes, own] = [files, runtimes].map(|command| lab.on(node, command));
        assert!(modes.ends_with(expected), "{node}: {modes}");
        assert_eq!(own.lines().last(), Some("1"), "{node}: {own}");
    }
    let address = "jsonpath={.items[*].metadata.annotations.projectcalico\\.org/IPv4Address}";
    let addresses = kube.get(&["get", "nodes", "-o", address]);
    assert!(addresses.contains("10.77.") && !addresses.contains("10.0.2.15"), "{addresses}");
}

/// All machines lose power at once, and come back, workers first: the cluster is whole by itself.
pub fn all_lose_power(lab: &Lab, kube: &Kube, inventory: &str) {
    for node in lab.names() {
        lab.lab("kill", &[node]);
    }
    for node in lab.workers().chain(lab.control_planes()) {
        lab.lab("start", &[&node.name]);
    }
    figure(
        &format!("{}: whole after all lost power", lab.name),
        shown(kube.wait_whole(lab, secs(240))),
    );
    eventually("the hub has heard of it, too", secs(60), || {
        let plan = lab.plan(inventory);
        let nothing = plan.events("plan").all(|event| event["changes"] == 0);
        if plan.ran.code == 0 && nothing { Ok(()) } else { Err(plan.ran.both()) }
    });
    lab.apply(inventory).assert_nothing_to_do("an apply after all lost power");
}
