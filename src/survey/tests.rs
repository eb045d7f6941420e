//! Who is a member, what may be undone, and what of an earlier life is removed.

use super::*;

mod otherwise;

fn identity(of: &str) -> Identity {
    format!("sha256:{}", crate::resource::sha256(of.as_bytes())).parse().unwrap()
}

const WHOLE: &[&str] = &[
    "pki/ca.crt",
    "kubelet.conf",
    "admin.conf",
    "manifests/kube-apiserver.yaml",
    "manifests/etcd.yaml",
    "etcd-data",
];

const WORKER: &[&str] = &["pki/ca.crt", "kubelet.conf"];

/// A node of our cluster with these files and good credentials.
fn facts(files: &[&str]) -> Facts {
    Facts {
        files: files.iter().map(|f| (*f).to_owned()).collect(),
        identity: files.contains(&"pki/ca.crt").then(|| identity("ours")),
        credentials: Some(Credentials::Valid),
        ..Facts::default()
    }
}

fn without(file: &str) -> Facts {
    facts(&WHOLE.iter().copied().filter(|f| *f != file).collect::<Vec<_>>())
}

/// `name` votes; `name?` learns; `?name` has not started.
fn etcd_member(about: &str, number: usize) -> EtcdMember {
    let node = about.trim_matches('?');
    let last = ["cp-1", "cp-2", "cp-3"].iter().position(|name| *name == node).unwrap() + 1;
    EtcdMember {
        id: format!("a{number}"),
        name: if about.starts_with('?') { String::new() } else { node.to_owned() },
        peers: vec![format!("https://10.0.0.{last}:2380")],
        learner: about.ends_with('?'),
    }
}

/// A Node object whose kubelet is silent.
fn listed(name: &str) -> Listed {
    let names = ["cp-1", "cp-2", "cp-3", "w-1"];
    let last = names.iter().position(|other| *other == name).map_or(99, |at| at + 1);
    Listed {
        uid: format!("uid-{name}"),
        version: "v1.37.2".to_owned(),
        ready: false,
        internal: vec![format!("10.0.0.{last}")],
        control_plane: name != "w-1",
        labelled: false,
        cordoned: false,
    }
}

/// The first control plane, which lives and lists these nodes and etcd members.
fn lives(nodes: &[&str], etcd: &[&str]) -> Facts {
    Facts {
        api_nodes: Some(nodes.iter().map(|name| ((*name).to_owned(), listed(name))).collect()),
        etcd: Some(etcd.iter().zip(1..).map(|(about, n)| etcd_member(about, n)).collect()),
        configuration: Some("clusterName: sample".to_owned()),
        ..facts(WHOLE)
    }
}

fn survey(nodes: &[(&str, Facts)]) -> Survey {
    let names = ["cp-1", "cp-2", "cp-3", "w-1"];
    let cluster = crate::steps::Context::sample(&[], &names).cluster;
    // What a machine tells of itself, but where a test says otherwise.
    let own = |(name, facts): &(&str, Facts)| {
        let mut facts = facts.clone();
        let address = cluster.node(name).unwrap().internal;
        if facts.addresses.is_empty() {
            facts.addresses = vec![("eth0".to_owned(), format!("{address}/24"))];
        }
        if facts.has("manifests/etcd.yaml") && facts.etcd_pod.0.is_empty() {
            facts.etcd_pod = ((*name).to_owned(), format!("https://{address}:2380"));
        }
        if facts.credentials.is_some() && facts.node.is_none() {
            facts.node = Some((*name).to_owned());
        }
        ((*name).to_owned(), facts)
    };
    Survey::new(&cluster, Some(&identity("ours")), nodes.iter().map(own).collect()).unwrap()
}

fn node(name: &str) -> Node {
    let cluster = crate::steps::Context::sample(&[], &["cp-1", "cp-2", "cp-3", "w-1"]).cluster;
    cluster.node(name).unwrap().clone()
}

/// In a word: the state, and for an unfinished one the way out.
fn word(survey: &Survey, node: &str) -> String {
    match survey.membership(node).unwrap() {
        Membership::Absent => "absent".to_owned(),
        Membership::Member => "member".to_owned(),
        Membership::Foreign(_) => "foreign".to_owned(),
        Membership::Stale => "stale".to_owned(),
        Membership::Otherwise(is) => is.in_words(),
        Membership::Taken(address) => format!("taken by {address}"),
        Membership::Partial(Partial { missing, remedy }) => match remedy {
            Remedy::Reset => format!("reset: {missing}"),
            Remedy::Resume => format!("resume: {missing}"),
            Remedy::Refuse(why) => format!("refuse: {why}"),
        },
    }
}

/// What `cp-2` is with these facts, while `cp-1` lists these nodes and etcd members.
fn second(facts: Facts, nodes: &[&str], etcd: &[&str]) -> String {
    word(&survey(&[("cp-1", lives(nodes, etcd)), ("cp-2", facts)]), "cp-2")
}

#[test]
fn a_control_planes_part_is_judged_by_files_api_credentials_and_etcd() {
    let both: &[&str] = &["cp-1", "cp-2"];
    let alone: &[&str] = &["cp-1"];
    assert_eq!(second(Facts::default(), alone, alone), "absent");
    assert_eq!(second(facts(&["pki/ca.crt"]), alone, alone), "absent", "keys come before a join");
    assert_eq!(second(facts(WHOLE), both, both), "member");
    let foreign = Facts { identity: Some(identity("theirs")), ..facts(WHOLE) };
    assert_eq!(second(foreign, both, both), "foreign");

    assert_eq!(second(Facts::default(), both, alone), "stale");
    assert_eq!(second(Facts::default(), alone, both), "stale");
    assert_eq!(second(Facts::default(), alone, &["cp-1", "?cp-2?"]), "stale");
}

#[test]
fn an_aborted_join_is_undone_until_its_member_votes_and_finished_from_then_on() {
    let both: &[&str] = &["cp-1", "cp-2"];
    let alone: &[&str] = &["cp-1"];
    // kubeadm was killed before, while and after the new member learns (kubeadm#2095, #3269).
    let early = facts(&["pki/ca.crt", "admin.conf", "kubelet.conf"]);
    let missing = "reset: manifests/kube-apiserver.yaml, manifests/etcd.yaml, etcd-data missing";
    assert_eq!(second(early.clone(), alone, alone), missing);
    assert_eq!(second(early.clone(), alone, &["cp-1", "?cp-2?"]), missing);
    assert_eq!(
        second(facts(WHOLE), alone, &["cp-1", "cp-2?"]),
        "reset: no Node object in the cluster"
    );
    assert_eq!(second(facts(WHOLE), both, &["cp-1", "cp-2?"]), "reset: no voting etcd member");
    // It votes: now going on is the only safe way.
    let voting = Facts { credentials: None, ..facts(WHOLE) };
    assert_eq!(second(voting, alone, both), "resume: the kubelet has no certificate");
    assert_eq!(second(facts(WHOLE), alone, both), "resume: no Node object in the cluster");
    assert_eq!(second(without("kubelet.conf"), alone, both), "resume: kubelet.conf missing");
    let expired = Facts { credentials: Some(Credentials::Expired), ..facts(WHOLE) };
    assert_eq!(second(expired, both, both), "resume: the kubelet's certificate expired");
    let mut unmarked = lives(both, both);
    unmarked.api_nodes.as_mut().unwrap().get_mut("cp-2").unwrap().control_plane = false;
    let unmarked = survey(&[("cp-1", unmarked), ("cp-2", facts(WHOLE))]);
    assert_eq!(word(&unmarked, "cp-2"), "resume: not marked as a control plane");
    // It voted, and lost its data: it will never vote again.
    assert_eq!(second(without("etcd-data"), both, both), "reset: etcd-data missing");
    // It votes, and what it runs by was taken away.
    assert_eq!(
        second(without("manifests/etcd.yaml"), both, both),
        "refuse: it is one of etcd's 2 voting members, of which 1 answer and 2 must"
    );
}

#[test]
fn where_nobody_can_tell_nothing_is_undone() {
    let alone = survey(&[("cp-1", without("manifests/kube-apiserver.yaml"))]);
    let silent = "refuse: no control plane's API answers to say whether it is a member";
    assert_eq!(word(&alone, "cp-1"), silent);
    let whole = survey(&[("cp-1", facts(WHOLE))]);
    assert_eq!(word(&whole, "cp-1"), "member", "whole files are never a reason to start over");
    let unmarked = survey(&[("cp-1", facts(&["kubelet.conf", "etcd-data"]))]);
    assert!(word(&unmarked, "cp-1").starts_with("refuse: it has no CA certificate"));
    let left = facts(&["pki/ca.crt", "admin.conf", "etcd-data"]);
    assert_eq!(word(&survey(&[("cp-1", left)]), "cp-1"), silent);
    let mut first = lives(&["cp-1"], &[]);
    first.etcd = None;
    let unknown = survey(&[("cp-1", first), ("cp-2", without("etcd-data"))]);
    let silent = "refuse: no control plane's etcd answers to say whether it is a member";
    assert_eq!(word(&unknown, "cp-2"), silent);
}

#[test]
fn an_init_that_did_not_finish_begins_again() {
    let begun = |facts: Facts| Facts { begun: true, ..facts };
    let again = |facts: Facts| {
        let init = survey(&[("cp-1", facts), ("cp-2", Facts::default())]);
        // Nothing of it is a cluster, even what its API and its etcd say.
        assert!(!init.any_member() && init.configuration.is_none() && init.etcd.is_none());
        assert_eq!((init.leader.as_str(), init.stale_member(&node("cp-1"))), ("cp-1", None));
        word(&init, "cp-1")
    };
    let reset = "reset: `kubeadm init` did not finish";
    assert_eq!(again(begun(facts(WHOLE))), reset);
    assert_eq!(again(begun(lives(&["cp-1"], &["cp-1"]))), reset);
    let early = again(facts(&["pki/ca.crt", "admin.conf"]));
    assert!(early.starts_with("reset: kubelet.conf"), "{early}");

    // It finished, or others have joined it, or nobody can tell: it stays.
    let super_admin = facts(&[WHOLE, &["super-admin.conf"]].concat());
    assert_eq!(word(&survey(&[("cp-1", super_admin)]), "cp-1"), "member");
    let joined = survey(&[("cp-1", begun(lives(&["cp-1"], &["cp-1"]))), ("w-1", facts(WHOLE))]);
    assert_eq!(word(&joined, "cp-1"), "member");
    let joined = survey(&[("cp-1", begun(lives(&["cp-1", "other"], &["cp-1"])))]);
    assert_eq!(word(&joined, "cp-1"), "member");
    let elsewhere = survey(&[("cp-2", begun(facts(WHOLE)))]);
    assert_eq!(elsewhere.leader, "cp-2");
}

#[test]
fn a_workers_part_is_judged_by_files_api_and_credentials() {
    let worker = |facts: Facts, nodes: &[&str]| {
        word(&survey(&[("cp-1", lives(nodes, &["cp-1"])), ("w-1", facts)]), "w-1")
    };
    let whole = || facts(&["pki/ca.crt", "kubelet.conf"]);
    assert_eq!(worker(whole(), &["cp-1", "w-1"]), "member");
    assert_eq!(worker(whole(), &["cp-1"]), "reset: no Node object in the cluster");
    let asking = Facts { credentials: None, ..whole() };
    assert_eq!(worker(asking, &["cp-1"]), "reset: the kubelet has no certificate");
    let begun = facts(&["pki/ca.crt", "bootstrap-kubelet.conf"]);
    assert_eq!(worker(begun, &["cp-1"]), "reset: kubelet.conf missing");
    assert_eq!(worker(Facts::default(), &["cp-1", "w-1"]), "stale");
}

#[test]
fn only_what_is_provably_dead_is_removed() {
    let both: &[&str] = &["cp-1", "cp-2"];
    let stale = |facts: Facts, nodes: &[&str], etcd: &[&str]| {
        let survey = survey(&[("cp-1", lives(nodes, etcd)), ("cp-2", facts)]);
        let (member, uid) = (survey.stale_member(&node("cp-2")), survey.stale_node(&node("cp-2")));
        (member.map(|m| m.id.clone()), uid.map(str::to_owned))
    };
    let (a2, uid) = (Some("a2".to_owned()), Some("uid-cp-2".to_owned()));
    assert_eq!(stale(Facts::default(), both, both), (a2.clone(), uid.clone()), "reinstalled");
    assert_eq!(stale(Facts::default(), both, &["cp-1"]), (None, uid.clone()));
    assert_eq!(stale(facts(WHOLE), &["cp-1"], &["cp-1", "?cp-2?"]), (a2.clone(), None));
    assert_eq!(stale(without("etcd-data"), both, both), (a2, uid), "it is reset");
    assert_eq!(stale(facts(WHOLE), both, both), (None, None), "a member");
    assert_eq!(stale(facts(WHOLE), &["cp-1"], both), (None, None), "it votes");
    // Another machine's member: same name, another address; or the address, another name.
    let mut other = etcd_member("cp-3", 9);
    other.name = "cp-2".to_owned();
    assert!(!other.is_of(&node("cp-2")));
    assert!(!etcd_member("cp-3", 9).is_of(&node("cp-2")));
}
