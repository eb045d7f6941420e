//! What a plan disturbs, and how long the last apply took, as text and as JSON.

use std::time::Duration;

use serde_json::{Value, json};

use super::{counted, names, short};
use crate::engine::{Etcd, Plan};
use crate::state::LastApply;

/// The units that restart and the nodes that are drained, as they end a plan's summary; empty where there are none.
pub(super) fn disturbed(plan: &Plan) -> String {
    let radius = plan.radius();
    let on = |(unit, nodes): &(&str, Vec<&str>)| format!("{unit} on {}", names(plan, nodes));
    let units: Vec<String> = radius.restarts.iter().map(on).collect();
    let mut text = String::new();
    if !units.is_empty() {
        text += &format!(", restarts: {}", units.join("; "));
    }
    if !radius.drains.is_empty() {
        text += &format!(", drains: {}", names(plan, &radius.drains));
    }
    text
}

/// How many failures etcd tolerates meanwhile, and the last apply if it is known: a line each.
pub(super) fn lines(plan: &Plan, last: Option<&LastApply>) -> Vec<String> {
    let etcd = plan.radius().etcd;
    let bears = match etcd {
        None => "no member answers, so how many may fail is unknown".to_owned(),
        Some(Etcd { may_fail: 0, voters: 0..3, then: 3.. }) => {
            "no member may fail until the third votes".to_owned()
        }
        Some(Etcd { may_fail: 0, .. }) => "no member may fail".to_owned(),
        Some(Etcd { may_fail, .. }) => {
            format!("{} may fail at the worst moment", counted(may_fail, "member"))
        }
    };
    let last = last.and_then(|last| {
        let (changes, took) = (counted(last.changed, "change"), took(last));
        Some(format!("last apply: {changes} in {took}, on {}", last.day()?))
    });
    [format!("etcd: {bears}")].into_iter().chain(last).collect()
}

fn took(last: &LastApply) -> String {
    short(Duration::from_millis(last.millis))
}

/// The blast radius for programs.
pub(super) fn json(plan: &Plan) -> Value {
    let radius = plan.radius();
    let unit = |(unit, nodes): &(&str, Vec<&str>)| json!({"unit": unit, "nodes": nodes});
    let etcd = radius.etcd.map(
        |etcd| json!({"voters": etcd.voters, "voters_then": etcd.then, "may_fail": etcd.may_fail}),
    );
    json!({
        "restarts": radius.restarts.iter().map(unit).collect::<Vec<_>>(),
        "drains": radius.drains,
        "etcd": etcd,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Planned, Voters};
    use crate::report::plan::tests::{plan, planned};
    use crate::report::{View, plan_json, plan_text};
    use crate::resource::Disruption;

    fn disrupts(id: &str, disruption: Disruption) -> Planned {
        Planned { disruption: Some(disruption), ..planned(id, "new", None) }
    }

    fn last() -> LastApply {
        let steps = [("os", Duration::from_secs(30)), ("containerd", Duration::from_secs(58))];
        let mut last = LastApply::now(143, Duration::from_secs(88), &steps);
        last.finished = "2026-11-21T17:00:00Z".to_owned();
        last
    }

    /// Two units restart, and a fourth control plane joins.
    fn restarting() -> Plan {
        let restart =
            |unit: &str| disrupts(&format!("unit {unit}"), Disruption::Restart(unit.to_owned()));
        let step = || vec![("containerd", vec![restart("containerd.service")])];
        let kubelet = [("kubernetes", vec![restart("kubelet.service")])];
        let join = disrupts("kubeadm join", Disruption::Voter);
        plan(vec![
            ("cp-1", step()),
            ("cp-4", vec![("control-plane/etcd", vec![join])]),
            ("w-1", step().into_iter().chain(kubelet).collect()),
        ])
    }

    #[test]
    fn a_plan_ends_with_what_it_disturbs() {
        let text = plan_text(&restarting(), Some(&last()), View::default());
        assert_eq!(
            text.split("\n\n").last().unwrap(),
            "3 nodes, 4 changes, restarts: containerd.service on cp-1, w-1; kubelet.service on w-1
etcd: 1 member may fail at the worst moment
last apply: 143 changes in 1 min 28 s, on 2026-11-21"
        );
    }

    #[test]
    fn what_etcd_bears_is_said_in_words() {
        let voting = |voters: Option<usize>| {
            let mut plan = restarting();
            plan.voters = voters.map(|count| Voters { count, answering: count });
            lines(&plan, None)
        };
        for (voters, words) in [
            (None, "etcd: no member answers, so how many may fail is unknown"),
            (Some(0), "etcd: no member may fail"),
            (Some(2), "etcd: no member may fail until the third votes"),
            (Some(5), "etcd: 2 members may fail at the worst moment"),
        ] {
            assert_eq!(voting(voters), [words]);
        }
    }

    #[test]
    fn a_dead_member_does_not_count() {
        let leaves =
            disrupts("etcd without the member of cp-2", Disruption::VoterLeaves { alive: false });
        let mut plan = plan(vec![("cp-1", vec![("control-plane/init", vec![leaves])])]);
        plan.voters = Some(Voters { count: 3, answering: 2 });
        assert_eq!(json(&plan)["etcd"], json!({"voters": 3, "voters_then": 2, "may_fail": 0}));
        assert_eq!(lines(&plan, None), ["etcd: no member may fail"]);
    }

    #[test]
    fn programs_get_it_too() {
        let plan = plan_json(&restarting(), Some(&last()));
        assert_eq!(
            plan["blast_radius"],
            json!({
                "restarts": [
                    {"unit": "containerd.service", "nodes": ["cp-1", "w-1"]},
                    {"unit": "kubelet.service", "nodes": ["w-1"]},
                ],
                "drains": [],
                "etcd": {"voters": 3, "voters_then": 4, "may_fail": 1},
            })
        );
        assert_eq!(
            plan["last_apply"],
            json!({
                "schema": 1, "finished": "2026-11-21T17:00:00Z", "changed": 143, "millis": 88_000,
                "steps": [
                    {"step": "os", "millis": 30_000},
                    {"step": "containerd", "millis": 58_000},
                ],
            })
        );
    }
}
