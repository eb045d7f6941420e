//! Living members that the inventory describes otherwise, and those that it leaves out.

use super::*;

const ALL: &[&str] = &["cp-1", "cp-2", "w-1"];

/// Facts of the machine that is `node` in the cluster, whatever the inventory calls it.
fn of(node_name: &str, files: &[&str]) -> Facts {
    let address = node(node_name).internal;
    let etcd = files.contains(&"manifests/etcd.yaml");
    Facts {
        node: Some(node_name.to_owned()),
        addresses: vec![("eth0".to_owned(), format!("{address}/24"))],
        etcd_pod: if etcd {
            (node_name.to_owned(), format!("https://{address}:2380"))
        } else {
            (String::new(), String::new())
        },
        ..facts(files)
    }
}

/// What the inventory's `meant` is, if its machine has these facts.
fn is(meant: &str, facts: Facts) -> String {
    word(&survey(&[("cp-1", lives(ALL, &["cp-1", "cp-2"])), (meant, facts)]), meant)
}

#[test]
fn another_name_is_seen_by_the_machines_own_evidence() {
    assert_eq!(is("cp-2", of("cp-2", WHOLE)), "member");
    assert_eq!(is("cp-3", of("cp-2", WHOLE)), "node cp-2 of this cluster");
    assert_eq!(is("w-1", of("cp-2", WHOLE)), "node cp-2 of this cluster");
    assert_eq!(is("cp-2", of("w-1", WORKER)), "node w-1 of this cluster");
    // Its kubelet has no certificate any more; its etcd member answers.
    let silent =
        Facts { credentials: None, node: None, member: Some("a2".into()), ..of("cp-2", WHOLE) };
    assert_eq!(is("cp-3", silent), "node cp-2 of this cluster");
    // Nothing answers: a name in a certificate may be that of a living node.
    let alone = survey(&[("w-1", of("cp-2", WORKER))]);
    assert_eq!(word(&alone, "w-1"), "node cp-2 of this cluster");
    // A join by another name came to nothing, and the cluster says so.
    let early = Facts { node: Some("gone".into()), ..of("w-1", WORKER) };
    assert_eq!(is("w-1", early.clone()), "member", "the cluster has a node of its name");
    let unlisted = survey(&[("cp-1", lives(&["cp-1"], &["cp-1"])), ("w-1", early)]);
    assert_eq!(word(&unlisted, "w-1"), "reset: no Node object in the cluster");
}

#[test]
fn another_role_is_seen_by_the_machines_own_evidence() {
    let worker = Facts { etcd_pod: (String::new(), String::new()), ..of("w-1", WORKER) };
    let mut cluster = crate::steps::Context::sample(&[], &["cp-1", "cp-2", "cp-3", "w-1"]).cluster;
    cluster.nodes.iter_mut().for_each(|node| node.role = Role::ControlPlane);
    let facts = [("cp-1", lives(ALL, &["cp-1"])), ("w-1", worker)];
    let facts = facts.map(|(name, facts)| (name.to_owned(), facts)).into();
    let changed = Survey::new(&cluster, Some(&identity("ours")), facts).unwrap();
    assert_eq!(word(&changed, "w-1"), "a worker of this cluster");

    cluster.nodes.iter_mut().skip(1).for_each(|node| node.role = Role::Worker);
    let facts = [("cp-1", lives(ALL, &["cp-1", "cp-2"])), ("cp-2", of("cp-2", WHOLE))];
    let facts = facts.map(|(name, facts)| (name.to_owned(), facts)).into();
    let changed = Survey::new(&cluster, Some(&identity("ours")), facts).unwrap();
    assert_eq!(word(&changed, "cp-2"), "a control plane of this cluster");
}

#[test]
fn another_address_is_no_reason_to_start_over() {
    let mut cluster = crate::steps::Context::sample(&[], &["cp-1", "cp-2", "cp-3", "w-1"]).cluster;
    for node in &mut cluster.nodes {
        node.internal = std::net::Ipv4Addr::from_bits(node.internal.to_bits() + 100);
    }
    let facts = [
        ("cp-1", Facts { member: Some("a1".into()), ..lives(ALL, &["cp-1", "cp-2"]) }),
        ("cp-2", of("cp-2", WHOLE)),
        ("w-1", of("w-1", WORKER)),
    ];
    let facts = facts.map(|(name, facts)| (name.to_owned(), facts)).into();
    let moved = Survey::new(&cluster, Some(&identity("ours")), facts).unwrap();
    assert_eq!(word(&moved, "cp-1"), "a member at https://10.0.0.1:2380");
    assert_eq!(word(&moved, "cp-2"), "a member at https://10.0.0.2:2380");
    assert_eq!(word(&moved, "w-1"), "a member at 10.0.0.4");
}

#[test]
fn a_bare_machine_takes_no_living_members_name() {
    let mut first = lives(ALL, &["cp-1", "cp-2"]);
    let nodes = first.api_nodes.as_mut().unwrap();
    nodes.get_mut("w-1").unwrap().internal = vec!["10.0.0.77".to_owned()];
    let elsewhere = survey(&[("cp-1", first.clone()), ("w-1", Facts::default())]);
    assert_eq!(word(&elsewhere, "w-1"), "taken by 10.0.0.77");
    assert_eq!(elsewhere.stale_node(&node("w-1")), None);
    first.etcd.as_mut().unwrap()[1].peers = vec!["https://10.0.0.78:2380".to_owned()];
    let elsewhere = survey(&[("cp-1", first), ("cp-2", Facts::default())]);
    assert_eq!(word(&elsewhere, "cp-2"), "taken by https://10.0.0.78:2380");
    // It says that it has the address of a node, and does not.
    let liar = Facts { addresses: vec![("eth0".into(), "10.0.0.9/24".into())], ..Facts::default() };
    let first = lives(ALL, &["cp-1", "cp-2"]);
    assert_eq!(word(&survey(&[("cp-1", first), ("w-1", liar)]), "w-1"), "taken by 10.0.0.4");
}

#[test]
fn what_runs_pods_or_still_votes_is_not_reset() {
    let ready = |name: &str, facts: Facts| {
        let mut first = lives(ALL, &["cp-1", "cp-2"]);
        first.api_nodes.as_mut().unwrap().get_mut(name).unwrap().ready = true;
        word(&survey(&[("cp-1", first), (name, facts)]), name)
    };
    let works = "refuse: the cluster has it as a Ready node, which may run pods";
    let without_ca = Facts { identity: Some(identity("ours")), ..facts(&["kubelet.conf"]) };
    assert_eq!(ready("w-1", without_ca), works);
    assert_eq!(ready("cp-2", without("etcd-data")), works);
    // Its files were deleted under its hands; the process lives.
    let deleted = Facts { member: Some("a2".into()), ..without("etcd-data") };
    assert_eq!(
        is("cp-2", deleted),
        "refuse: it is one of etcd's 2 voting members, of which 1 answer and 2 must"
    );
}

#[test]
fn members_that_the_inventory_leaves_out_are_known() {
    let mut first = lives(ALL, &["cp-1", "cp-2"]);
    let nodes = first.api_nodes.as_mut().unwrap();
    for (name, address, control_plane) in
        [("w-9", "10.0.0.9", false), ("cp-9", "10.0.0.8", true), ("bad name", "10.0.0.7", false)]
    {
        let about = Listed { internal: vec![address.into()], control_plane, ..listed("w-1") };
        nodes.insert(name.to_owned(), about);
    }
    let member = EtcdMember {
        name: "cp-9".into(),
        peers: vec!["https://10.0.0.8:2380".into()],
        ..etcd_member("cp-3", 9)
    };
    first.etcd.as_mut().unwrap().push(member);
    let found = survey(&[("cp-1", first), ("cp-2", of("cp-2", WHOLE))]).beyond;
    let found: Vec<_> =
        found.iter().map(|m| (m.name.as_str(), m.role, m.internal.to_string())).collect();
    assert_eq!(
        found,
        [
            ("cp-9", Role::ControlPlane, "10.0.0.8".to_owned()),
            ("w-9", Role::Worker, "10.0.0.9".to_owned())
        ]
    );
}
