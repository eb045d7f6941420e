//! Saved plans: kept, compared, refused.

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use proptest::prelude::*;

fn basis() -> Basis {
    Basis {
        cluster: "prod".to_owned(),
        identity: Basis::NEW.to_owned(),
        inventory: "1".repeat(64),
        bundle: "2".repeat(64),
        slipway: "0.1.0".to_owned(),
        program: "3".repeat(64),
    }
}

fn change(node: &str, resource: &str, summary: &str) -> Announced {
    Announced {
        node: node.to_owned(),
        step: "os".to_owned(),
        resource: resource.to_owned(),
        summary: summary.to_owned(),
        diff: None,
        wait_only: false,
    }
}

fn plan(changes: &[Announced]) -> Saved {
    let mut plan = Saved::now(basis(), changes.to_vec());
    plan.made = "2026-11-21T17:00:00Z".to_owned();
    plan
}

fn example() -> Saved {
    let hosts = Announced { diff: Some("4".repeat(64)), ..change("cp-1", "file /x", "content") };
    plan(&[hosts, change("cp-1", "swap", "off"), change("w-1", "hostname", "a → w-1")])
}

#[test]
fn a_plan_is_kept_whole_and_for_its_owner_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("plan.json");
    std::fs::write(&path, "old").unwrap();
    example().write(&path).unwrap();
    assert_eq!(Saved::read(&path).unwrap(), example());
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file stays");

    let link = dir.path().join("link");
    std::os::unix::fs::symlink("/dev/null", &link).unwrap();
    let error = example().write(&link).unwrap_err();
    assert!(error.message().contains("no regular file"), "{error}");
}

#[test]
fn what_is_done_already_or_only_waited_for_is_fine() {
    let saved = example();
    assert_eq!(saved.check(&example()).unwrap(), 0);
    assert_eq!(saved.check(&plan(&saved.changes[1..])).unwrap(), 1);
    assert_eq!(saved.check(&plan(&[])).unwrap(), 3);
    let wait = Announced { wait_only: true, ..change("cp-1", "cluster health", "Ready") };
    assert_eq!(saved.check(&plan(&[wait])).unwrap(), 3);
}

#[test]
fn a_plan_that_does_not_hold_is_refused_with_every_difference() {
    let mut now = plan(&[
        Announced { diff: Some("5".repeat(64)), ..example().changes[0].clone() },
        change("cp-1", "swap", "off, and \n\u{1b}[2J"),
        change("w-2", "hostname", "b → w-2"),
    ]);
    now.basis.identity = format!("sha256:{}", "6".repeat(64));
    now.basis.inventory = "7".repeat(64);
    let error = example().check(&now).unwrap_err();
    assert_eq!(error.kind(), Kind::Outdated);
    assert_eq!(
        error.to_string(),
        "error: the plan of 2026-11-21T17:00:00Z is out of date; nothing was changed
  identity: new when planned, sha256:666666666666… now
  inventory: sha256:111111111111… when planned, sha256:777777777777… now
  + cp-1, os: file /x  content (announced with another difference)
  + cp-1, os: swap  off, and \\n\\u{1b}[2J (announced: off)
  + w-2, os: hostname  b → w-2
  no longer needed: w-1, os: hostname  a → w-1
hint: `slipway plan --out FILE` makes a new one to review"
    );
}

#[test]
fn each_part_of_the_basis_counts() {
    let parts: [fn(&mut Basis); 6] = [
        |b| b.cluster.push('x'),
        |b| b.identity = "sha256:x".to_owned(),
        |b| b.inventory.push('x'),
        |b| b.bundle.push('x'),
        |b| b.slipway.push('x'),
        |b| b.program.push('x'),
    ];
    for change in parts {
        let mut now = plan(&[]);
        change(&mut now.basis);
        assert!(example().check(&now).is_err(), "{:?}", now.basis);
    }
}

#[test]
fn many_changes_are_counted() {
    let many: Vec<Announced> =
        (0..50).map(|n| change("w-1", &format!("file /{n}"), "new")).collect();
    let error = plan(&[]).check(&plan(&many)).unwrap_err().to_string();
    assert!(error.contains("file /19  new\n  and 30 more\nhint"), "{error}");
}

proptest! {
    #[test]
    fn damaged_plans_do_not_panic(bytes: Vec<u8>, at in 0_usize..1500, byte: u8, cut: bool) {
        let _ = Saved::parse(&bytes);
        let mut text = serde_json::to_vec(&example()).unwrap();
        if let Some(place) = text.get_mut(at) {
            *place = byte;
        }
        if cut {
            text.truncate(at);
        }
        if let Ok(saved) = Saved::parse(&text) {
            let _ = (saved.check(&example()), example().check(&saved));
        }
    }
}
