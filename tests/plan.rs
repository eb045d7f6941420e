//! What `slipway apply FILE` says of files that hold no plan of its own, and what `plan` and `apply`
//! say of themselves. Nothing here reaches a machine: such a file stops a run before it begins.

#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::path::Path;

use snapbox::cmd::{Command, OutputAssert};
use snapbox::str;

const DAMAGED: i32 = 65;
const MACHINE: i32 = 71;

fn slipway(dir: &Path, args: &[&str]) -> OutputAssert {
    Command::new(env!("CARGO_BIN_EXE_slipway")).args(args).current_dir(dir).assert()
}

/// `slipway apply plan.json`, where that file holds `text`.
fn apply(text: &str) -> OutputAssert {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("plan.json"), text).unwrap();
    slipway(dir.path(), &["apply", "plan.json"]).code(DAMAGED).stdout_eq("")
}

#[test]
fn a_missing_plan() {
    let dir = tempfile::tempdir().unwrap();
    let said = slipway(dir.path(), &["apply", "plan.json"]).code(MACHINE);
    said.stderr_eq(str![[r#"
error: plan.json: No such file or directory (os error 2)

"#]]);
}

#[test]
fn an_inventory_is_no_plan() {
    apply("apiVersion: slipway.dev/v1\n").stderr_eq(str![[r#"
error: plan.json: no saved plan: expected value at line 1 column 1
hint: `slipway plan --out FILE` saves one; an inventory is named with `-i FILE`

"#]]);
}

#[test]
fn another_programs_file_is_no_plan() {
    apply(r#"{"schema": 1, "planned_values": {}}"#).stderr_eq(str![[r#"
error: plan.json: no saved plan: unknown field `planned_values`, expected one of `schema`, `made`, `basis`, `changes` at line 1 column 30
hint: `slipway plan --out FILE` saves one; an inventory is named with `-i FILE`

"#]]);
}

#[test]
fn a_newer_slipways_plan() {
    apply(r#"{"schema": 2, "something": "new"}"#).stderr_eq(str![[r#"
error: plan.json: a plan of schema 2; this slipway reads 1
hint: use the slipway that saved it, or plan again with this one

"#]]);
}

#[test]
fn a_plan_that_is_cut_short() {
    apply(r#"{"schema": 1, "made": "2026-11-21T17:00:00Z", "#).stderr_eq(str![[r#"
error: plan.json: no saved plan: EOF while parsing a value at line 1 column 46
hint: `slipway plan --out FILE` saves one; an inventory is named with `-i FILE`

"#]]);
}

#[test]
fn a_huge_file_is_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let file = File::create(dir.path().join("plan.json")).unwrap();
    file.set_len(1 << 30).unwrap();
    let said = slipway(dir.path(), &["apply", "plan.json"]).code(DAMAGED);
    said.stderr_eq(str![[r#"
error: plan.json: no saved plan: larger than 16 MiB
hint: `slipway plan --out FILE` saves one; an inventory is named with `-i FILE`

"#]]);
}

#[test]
fn help_says_how_plans_are_saved_and_applied() {
    let help = |verb: &str| {
        let said = slipway(Path::new("."), &[verb, "--help"]).success();
        let text = String::from_utf8(said.get_output().stdout.clone()).unwrap();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let plan = help("plan");
    for words in [
        "--out <FILE> Save the plan in this file (0600), for `slipway apply FILE`",
        "--exit-code Exit with 2 when there are changes, with 0 when there are none",
    ] {
        assert!(plan.contains(words), "{plan}");
    }
    let apply = help("apply");
    for words in [
        "slipway apply [OPTIONS] [FILE]",
        "A plan saved by `slipway plan --out`: carry out exactly that plan, without asking",
    ] {
        assert!(apply.contains(words), "{apply}");
    }
}
