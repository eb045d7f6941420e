//! Who is a member, and what may be undone.

use super::*;

fn identity(of: &str) -> Identity {
    format!("sha256:{}", crate::resource::sha256(of.as_bytes())).parse().unwrap()
}

fn facts(files: &[&str], cluster: Option<&str>) -> Facts {
    Facts {
        files: files.iter().map(|f| (*f).to_owned()).collect(),
        identity: cluster.map(identity),
        ..Facts::default()
    }
}

const WHOLE: &[&str] = &[
    "pki/ca.crt",
    "kubelet.conf",
    "admin.conf",
    "manifests/kube-apiserver.yaml",
    "manifests/etcd.yaml",
    "etcd-data",
];

fn judge(facts: &Facts, listed: Option<bool>, votes: Option<bool>) -> Membership {
    let names = |there: bool| if there { vec!["n"] } else { vec![] };
    let view = listed.map(|there| Facts {
        api_nodes: Some(names(there).into_iter().map(|n| (n.to_owned(), String::new())).collect()),
        ..Facts::default()
    });
    let voters = votes.map(|there| names(there).into_iter().map(str::to_owned).collect());
    let own = identity("ours");
    membership("n", Role::ControlPlane, facts, Some(&own), view.as_ref(), voters.as_ref())
}

#[test]
fn membership_is_judged_by_all_of_files_api_and_etcd() {
    let ours = Some("ours");
    let bare = facts(&[], None);
    assert_eq!(judge(&bare, None, None), Membership::Absent);
    assert_eq!(judge(&facts(&["pki/ca.crt"], ours), Some(false), None), Membership::Absent);
    assert_eq!(judge(&bare, Some(true), Some(false)), Membership::Stale);
    assert_eq!(judge(&bare, Some(false), Some(true)), Membership::Stale);
    assert_eq!(judge(&facts(WHOLE, ours), Some(true), Some(true)), Membership::Member);
    assert_eq!(judge(&facts(WHOLE, ours), None, None), Membership::Member);
    assert!(matches!(judge(&facts(WHOLE, ours), Some(true), Some(false)), Membership::Partial(_)));
    assert!(matches!(judge(&facts(WHOLE, ours), Some(false), None), Membership::Partial(_)));
    assert!(matches!(judge(&facts(&WHOLE[..3], ours), None, None), Membership::Partial(_)));
    assert!(matches!(judge(&facts(WHOLE, Some("x")), None, None), Membership::Foreign(_)));
}

fn survey(nodes: &[(&str, Facts)]) -> Survey {
    let names: Vec<&str> = nodes.iter().map(|(name, _)| *name).collect();
    let cluster = crate::steps::Context::sample(&[], &names).cluster;
    let facts = nodes.iter().map(|(name, facts)| ((*name).to_owned(), facts.clone())).collect();
    Survey::new(&cluster, Some(&identity("ours")), facts).unwrap()
}

fn lives(mut facts: Facts, nodes: &[&str], voters: &[&str]) -> Facts {
    let uid = |name: &&str| ((*name).to_owned(), "uid".to_owned());
    facts.api_nodes = Some(nodes.iter().map(uid).collect());
    facts.etcd_voters = Some(voters.iter().map(|v| (*v).to_owned()).collect());
    facts.configuration = Some("clusterName: sample".to_owned());
    facts
}

#[test]
fn a_control_plane_whose_api_was_stopped_is_never_reset() {
    let stopped: Vec<&str> =
        WHOLE.iter().copied().filter(|f| *f != "manifests/kube-apiserver.yaml").collect();
    let mut stopped = facts(&stopped, Some("ours"));
    let silent = survey(&[("cp-1", stopped.clone()), ("cp-2", Facts::default())]);
    assert!(silent.forbids_reset("cp-1").unwrap().contains("no control plane's API"));
    stopped.etcd_voters = Some(vec!["cp-1".to_owned()]);
    let votes = survey(&[("cp-1", stopped), ("cp-2", Facts::default())]);
    assert!(votes.forbids_reset("cp-1").unwrap().contains("voting"));
}

#[test]
fn a_voter_without_its_node_object_is_never_reset() {
    let first = lives(facts(WHOLE, Some("ours")), &["cp-1"], &["cp-1", "cp-2"]);
    let survey = survey(&[("cp-1", first), ("cp-2", facts(WHOLE, Some("ours")))]);
    assert!(matches!(survey.membership("cp-2"), Some(Membership::Partial(_))));
    assert!(survey.forbids_reset("cp-2").unwrap().contains("2 voting members"));
}

#[test]
fn an_unfinished_join_or_init_may_be_undone() {
    let first = lives(facts(WHOLE, Some("ours")), &["cp-1"], &["cp-1"]);
    let joining = facts(&["pki/ca.crt", "kubelet.conf"], Some("ours"));
    let worker = facts(&["pki/ca.crt", "bootstrap-kubelet.conf"], Some("ours"));
    let join = survey(&[("cp-1", first), ("cp-2", joining), ("w-1", worker)]);
    for node in ["cp-2", "w-1"] {
        assert!(matches!(join.membership(node), Some(Membership::Partial(_))), "{node}");
        assert_eq!(join.forbids_reset(node), None);
    }
    let begun = facts(&[WHOLE, &["super-admin.conf"]].concat(), Some("ours"));
    let init = survey(&[("cp-1", begun), ("cp-2", Facts::default())]);
    assert!(matches!(init.membership("cp-1"), Some(Membership::Partial(_))));
    assert_eq!(init.forbids_reset("cp-1"), None);
    assert!(!init.any_member());
}

#[test]
fn what_has_no_ca_of_ours_is_never_reset() {
    let survey = survey(&[("cp-1", facts(&["kubelet.conf", "etcd-data"], None))]);
    assert!(survey.forbids_reset("cp-1").unwrap().contains("whose they are"));
}
