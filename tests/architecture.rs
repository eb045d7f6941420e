//! The source keeps its shape: imports point down the tables below, no files use each other in a circle,
//! some crates have one user, files stay short and say what they are.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use circles::Graph;

#[path = "architecture/circles.rs"]
mod circles;

/// A table of imports: every module and those that it may use; each line uses only modules of lines
/// below it.
type Imports = &'static [(&'static str, &'static [&'static str])];

/// The packages: the folder of their sources, their table of imports, and the module that everybody may
/// use, which has their error type.
const PACKAGES: &[(&str, Imports, &str)] =
    &[("src", IMPORTS, "diagnostic"), ("agent/src", AGENT_IMPORTS, "error")];

/// The modules of slipway.
const IMPORTS: Imports = &[
    (
        "fuzzing",
        &[
            "approver",
            "bundle",
            "cluster",
            "command",
            "engine",
            "host",
            "inventory",
            "pki",
            "preflight",
            "probe",
            "report",
            "resource",
            "secret",
            "session",
            "state",
            "steps",
            "survey",
        ],
    ),
    ("main", &["cli"]),
    (
        "cli",
        &[
            "approver",
            "bundle",
            "cluster",
            "engine",
            "event",
            "host",
            "hub",
            "inventory",
            "lab",
            "preflight",
            "report",
            "session",
            "state",
        ],
    ),
    (
        "session",
        &[
            "bundle",
            "cluster",
            "command",
            "engine",
            "event",
            "host",
            "hub",
            "inventory",
            "pki",
            "preflight",
            "probe",
            "resource",
            "secret",
            "state",
            "steps",
            "survey",
            "yaml",
        ],
    ),
    ("report", &["engine", "event", "preflight", "resource", "state"]),
    ("engine", &["command", "event", "host", "pause", "probe", "resource", "secret", "steps"]),
    (
        "steps",
        &[
            "approver",
            "bundle",
            "cluster",
            "command",
            "kubernetes",
            "pki",
            "resource",
            "secret",
            "survey",
            "template",
        ],
    ),
    ("preflight", &["cluster", "command", "etcd", "kubernetes", "survey", "yaml"]),
    ("survey", &["cluster", "command", "etcd", "pki", "yaml"]),
    ("hub", &["cluster", "resource", "secret"]),
    ("resource", &["approver", "cluster", "command", "etcd", "pki", "probe", "secret", "yaml"]),
    ("host", &["cluster", "command"]),
    ("inventory", &["bounded", "bundle", "cluster", "kubernetes"]),
    ("approver", &["bounded", "pause", "process"]),
    ("state", &["bounded", "pki", "secret"]),
    ("lab", &["bundle", "cache", "process"]),
    ("bundle", &["cache", "process", "yaml"]),
    ("pki", &["secret"]),
    ("probe", &["command"]),
    ("command", &["secret"]),
    ("etcd", &["cluster"]),
    ("cluster", &["kubernetes"]),
    ("kubernetes", &[]),
    ("template", &[]),
    ("yaml", &[]),
    ("bounded", &[]),
    ("pause", &[]),
    ("process", &[]),
    ("event", &[]),
    ("cache", &[]),
    ("secret", &[]),
    ("diagnostic", &[]),
];

/// The modules of slipway-agent.
const AGENT_IMPORTS: Imports = &[
    ("main", &[]),
    ("command", &["api", "credential", "hub", "install", "member"]),
    (
        "hub",
        &[
            "access",
            "adapter",
            "api",
            "apply",
            "backoff",
            "credential",
            "install",
            "registration",
            "serve",
        ],
    ),
    ("member", &["access", "api", "apply", "backoff", "credential", "install", "serve"]),
    ("registration", &["access", "adapter", "api", "apply", "credential", "install"]),
    ("adapter", &["access", "api", "credential", "install"]),
    ("install", &["access", "api", "apply", "credential"]),
    ("access", &["api", "apply"]),
    ("apply", &[]),
    ("backoff", &[]),
    ("credential", &[]),
    ("serve", &[]),
    ("error", &["api"]),
    ("api", &[]),
];

/// What may be named in one place only: the name, and where.
const ONE_USER: &[(&str, &str)] = &[
    ("indicatif::", "src/report/fancy.rs"),
    ("kube::", "src/hub/"),
    ("russh::", "src/host/"),
    ("rcgen::", "src/pki/"),
    ("process::Command", "src/process.rs"),
    ("serde_yaml::from_str", "src/yaml.rs"),
];

/// Files and folders that are compiled for tests only.
const TEST_FILES: &[&str] = &["bench", "fake", "sample", "simulation", "tests"];

/// Longer files are two files.
const LONGEST: usize = 350;

/// All files of Rust below a folder, their paths relative to the repository.
fn sources(folder: &str) -> Vec<(String, String)> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    walk(&root.join(folder), &mut paths);
    paths.sort();
    let name = |path: &Path| path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
    paths.iter().map(|path| (name(path), fs::read_to_string(path).unwrap())).collect()
}

/// Lines of code, numbered, without comments and tests: those may ask a real shell, or look around.
fn code<'a>(file: &str, text: &'a str) -> impl Iterator<Item = (usize, &'a str)> {
    let parts: Vec<&str> = file.trim_end_matches(".rs").split('/').collect();
    let test = parts.iter().any(|part| TEST_FILES.contains(part));
    let text = text.split("#[cfg(test)]\npub(super) mod tests {").next().unwrap();
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let lines = (1..).zip(text.lines());
    lines.filter(move |(_, line)| !test && !line.trim_start().starts_with("//"))
}

/// The top-level module of a file, whose package has its sources in `folder`.
fn module<'a>(folder: &str, file: &'a str) -> &'a str {
    let below = below(folder, file);
    below.split('/').next().unwrap().trim_end_matches(".rs")
}

/// The path of a file below `folder`.
fn below<'a>(folder: &str, file: &'a str) -> &'a str {
    file.strip_prefix(folder).unwrap().trim_start_matches('/')
}

/// Top-level modules that a line names, by `crate::x` or `crate::{x, y::z}`.
fn named(line: &str) -> Vec<&str> {
    fn word(text: &str) -> &str {
        let end = text.find(|c: char| !(c.is_ascii_lowercase() || c == '_'));
        text.get(..end.unwrap_or(text.len())).unwrap()
    }
    let mut names = Vec::new();
    for rest in line.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            Some(list) => names.extend(list.split(',').map(|item| word(item.trim_start()))),
            None => names.push(word(rest)),
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

fn report(found: &[String]) {
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn imports_point_down() {
    let mut wrong = Vec::new();
    for (folder, imports, errors) in PACKAGES {
        for (file, text) in sources(folder) {
            let own = module(folder, &file);
            if own == "lib" || TEST_FILES.contains(&own) {
                continue;
            }
            let allowed = imports.iter().find(|(name, _)| *name == own);
            let Some((_, allowed)) = allowed else {
                wrong.push(format!("{file}: `{own}` is not in the table"));
                continue;
            };
            for (number, line) in code(&file, &text) {
                for name in named(line) {
                    if name != own && name != *errors && !allowed.contains(&name) {
                        wrong.push(format!("{file}:{number}: `{own}` may not use `{name}`"));
                    }
                }
            }
        }
    }
    report(&wrong);
}

#[test]
fn the_tables_themselves_point_down_and_hold_nothing_unused() {
    let mut wrong = Vec::new();
    for (folder, imports, _) in PACKAGES {
        let sources = sources(folder);
        for (position, (name, allowed)) in imports.iter().enumerate() {
            let below: Vec<&str> =
                imports.iter().skip(position + 1).map(|(name, _)| *name).collect();
            let files = sources.iter().filter(|(file, _)| module(folder, file) == *name);
            let used: BTreeSet<&str> = files
                .flat_map(|(file, text)| code(file, text).flat_map(|(_, line)| named(line)))
                .collect();
            for import in *allowed {
                if !below.contains(import) {
                    wrong.push(format!("{folder}: `{name}` → `{import}` does not point down"));
                }
                if *name != "main" && !used.contains(import) {
                    wrong.push(format!("{folder}: `{name}` → `{import}` is not used"));
                }
            }
        }
    }
    report(&wrong);
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    let mut wrong = Vec::new();
    for (folder, ..) in PACKAGES {
        let files = sources(folder).into_iter().filter(|(file, _)| file != "src/main.rs");
        let files: Vec<_> = files
            .map(|(file, text)| {
                let code: Vec<&str> = code(&file, &text).map(|(_, line)| line).collect();
                (below(folder, &file).to_owned(), code.join("\n"))
            })
            .collect();
        wrong.extend(
            Graph::of(&files).circles().into_iter().map(|circle| format!("{folder}: {circle}")),
        );
    }
    report(&wrong);
}

#[test]
fn some_crates_have_one_user() {
    let mut wrong = Vec::new();
    for (file, text) in sources("src") {
        for (name, home) in ONE_USER {
            for (number, line) in code(&file, &text) {
                if line.contains(name) && !file.starts_with(home) {
                    wrong.push(format!("{file}:{number}: `{name}` belongs to {home}"));
                }
            }
        }
    }
    report(&wrong);
}

#[test]
fn files_are_short_and_say_what_they_are() {
    let mut wrong = Vec::new();
    for (file, text) in sources("src").into_iter().chain(sources("agent/src")) {
        if !text.starts_with("//! ") {
            wrong.push(format!("{file}: no `//!` on top"));
        }
        let length = text.lines().count();
        if length > LONGEST {
            wrong.push(format!("{file}: {length} lines"));
        }
    }
    report(&wrong);
}

/// Folders of this repository whose files documents and comments name.
const FOLDERS: &[&str] = &[
    "agent/",
    "bench/",
    "bundle/",
    "docs/",
    "inventories/",
    "scripts/",
    "src/",
    "templates/",
    "tests/",
];

/// The files and folders that a text names; words in capitals stand for something else.
fn files_named(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || "/._-".contains(c)));
    let words = words.map(|word| word.trim_end_matches(['.', '-']));
    let ours = |word: &&str| FOLDERS.iter().any(|folder| word.starts_with(folder));
    let is_path = |word: &&str| word.ends_with('/') || Path::new(word).extension().is_some();
    words.filter(ours).filter(is_path).filter(|word| *word == word.to_lowercase())
}

#[test]
fn files_that_texts_name_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let documents = ["", "docs", "docs/decisions", "bundle"].into_iter().flat_map(|folder| {
        let files = fs::read_dir(root.join(folder)).unwrap().map(|file| file.unwrap().path());
        files.filter(|file| file.extension().is_some_and(|extension| extension == "md"))
    });
    // What a release brought may be gone.
    let documents = documents.filter(|file| !file.ends_with("CHANGELOG.md"));
    let documents =
        documents.map(|file| (file.display().to_string(), fs::read_to_string(&file).unwrap()));
    let mut wrong = Vec::new();
    for (file, text) in documents.chain(sources("src")) {
        for name in files_named(&text).filter(|name| !root.join(name).exists()) {
            wrong.push(format!("{file}: there is no {name}"));
        }
    }
    report(&wrong);
}

#[test]
fn names_of_files_are_recognised() {
    let text =
        "see `src/lib.rs`, [docs](docs/security.md). Not /src/x.rs, src/NAME.rs; tests/steps/*.txt";
    let named: Vec<&str> = files_named(text).collect();
    assert_eq!(named, ["src/lib.rs", "docs/security.md", "tests/steps/"]);
}

#[test]
fn imports_are_recognised() {
    assert_eq!(named("use crate::cluster::{Cluster, Node};"), ["cluster"]);
    assert_eq!(named("use crate::{cache, secret::Secret};"), ["cache", "secret"]);
    assert_eq!(named("let x = crate::pki::y(crate::state::z);"), ["pki", "state"]);
}
