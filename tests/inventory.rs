//! What `slipway validate` says: a whole transcript for every way in which an inventory is wrong.
//!
//! `tests/inventory/NAME.yaml` is the input, `NAME.stderr` what must come out. `make bless` writes the
//! transcripts anew.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use slipway::inventory::{KEYS, Presence};
use snapbox::cmd::{Command, OutputAssert};
use snapbox::{Assert, Data, Redactions};

/// The keys are as `ssh-keygen` makes them, cut after the first line of their bodies.
const PLAIN: &str =
    "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQ\n";
const LOCKED: &str =
    "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHIAAA\n";

const PUBLIC: &str = "ssh-ed25519 \
    AAAAC3NzaC1lZDI1NTE5AAAAIB6uSbT0hZmMFwEmO9BBFTiGwr8bVkHtOMpVn8P0T5ZN me@here\n";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A home directory with keys of every sort.
fn home() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    let ssh = home.path().join(".ssh");
    fs::create_dir(&ssh).unwrap();
    let files = [
        ("plain", PLAIN, 0o600),
        ("open", PLAIN, 0o640),
        ("locked", LOCKED, 0o600),
        ("plain.pub", PUBLIC, 0o644),
        ("cut.pub", "ssh-ed25519 AAAA me@here\n", 0o644),
        ("notes", "buy milk\n", 0o600),
    ];
    for (name, text, mode) in files {
        fs::write(ssh.join(name), text).unwrap();
        fs::set_permissions(ssh.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    home
}

fn validate(dir: &Path, file: impl AsRef<Path>) -> (tempfile::TempDir, OutputAssert) {
    let home = home();
    let mut redactions = Redactions::new();
    redactions.insert("[HOME]", home.path().to_owned()).unwrap();
    let command = Command::new(env!("CARGO_BIN_EXE_slipway"))
        .args(["validate", "--inventory"])
        .arg(file.as_ref())
        .env("HOME", home.path())
        .current_dir(dir)
        .with_assert(Assert::new().action_env("SNAPSHOTS").redact_with(redactions));
    let output = command.assert();
    (home, output)
}

/// One test for each transcript, and one for what lies in the directory beside them.
macro_rules! transcripts {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            let dir = root().join("tests/inventory");
            let name = stringify!($name);
            let (_home, output) = validate(&dir, format!("{name}.yaml"));
            let expected = Data::read_from(&dir.join(format!("{name}.stderr")), None);
            output.code(65).stdout_eq("").stderr_eq(expected);
        })*

        #[test]
        fn every_file_belongs_to_a_test() {
            let tests = [$(stringify!($name)),*];
            for file in files("tests/inventory").iter().filter(|file| file.is_file()) {
                let name = file.file_stem().unwrap().to_str().unwrap();
                assert!(tests.contains(&name), "{} belongs to no test", file.display());
            }
        }
    };
}

transcripts! {
    addresses
    alias
    architecture
    arguments_of_ours
    arguments_wrong
    capital_letters
    cert_sans
    cluster_name
    default_network_holds_a_node
    dns_domain
    duplicate_addresses
    duplicate_internal_addresses
    duplicate_key
    duplicate_names
    empty
    endpoint_address
    endpoint_address_ipv6
    endpoint_is_a_control_plane
    endpoint_keys_without_vip
    endpoint_of_both_sorts
    endpoint_of_no_sort
    endpoint_unreachable
    endpoint_url
    even_control_planes
    everything_at_once
    fractions
    host_name_without_internal_address
    key_missing
    key_public_that_is_cut
    key_that_is_a_directory
    key_that_is_none
    key_too_open
    key_with_a_passphrase
    kubelet_field_of_another_version
    kubelet_settings_of_ours
    kubelet_static_cpus
    kubelet_unknown_fields
    kubelet_wrong_types
    kubelet_wrong_values
    labels
    labels_of_kubernetes
    loopback_as_internal_address
    missing_keys
    network_dual_stack
    network_holds_nodes
    network_ipv6
    network_overlaps_the_default
    network_sizes
    network_too_small_for_the_nodes
    network_with_host_bits
    networks_overlap
    no_control_plane
    no_endpoint
    no_nodes
    node_names
    not_an_inventory
    not_yaml
    registration
    registration_document
    registration_document_name_too_long
    registration_document_without_a_hub
    registration_half_by_hand
    registration_hub_in_pod_network
    registration_hub_of_this_machine
    registration_name_too_long
    registration_without_a_hub
    reserved_names
    role
    router_id
    second_document
    ssh
    tag
    taints
    time_servers
    unknown_key
    unknown_key_without_a_near_miss
    variables
    version
    vip_in_pod_network
    vip_ipv6
    vip_is_a_node
    vip_unreachable
    wrong_types
}

fn files(dir: &str) -> Vec<PathBuf> {
    let files = fs::read_dir(root().join(dir)).unwrap();
    files.map(|file| file.unwrap().path()).collect()
}

#[test]
fn examples_are_valid() {
    let summaries = [
        (
            "minimal",
            "minimal: Kubernetes 1.37.2, 1 control plane, 1 worker, endpoint 10.77.0.11:6443",
        ),
        (
            "three-masters",
            "prod: Kubernetes 1.37.2, 3 control planes, 2 workers, endpoint 10.77.0.100:6443",
        ),
        (
            "single-node",
            "single: Kubernetes 1.37.2, 1 control plane, 0 workers, endpoint 10.77.0.11:6443",
        ),
        (
            "external-endpoint",
            "prod: Kubernetes 1.37.2, 3 control planes, 1 worker, endpoint k8s.example.com:6443",
        ),
        (
            "all-keys",
            "everything: Kubernetes 1.37.2, 1 control plane, 1 worker, endpoint 10.77.0.100:6443",
        ),
        (
            "registration",
            "east-1: Kubernetes 1.37.2, 1 control plane, 0 workers, endpoint 10.77.0.11:6443",
        ),
        (
            "vagrant",
            "vagrant: Kubernetes 1.37.2, 3 control planes, 2 workers, endpoint 192.168.56.10:6443",
        ),
    ];
    assert_eq!(files("inventories").len(), summaries.len());
    for (name, summary) in summaries {
        let (_home, output) = validate(root(), format!("inventories/{name}.yaml"));
        output.success().stderr_eq("").stdout_eq(format!("ok: {summary}\n"));
    }
}

#[test]
fn three_masters_take_at_most_twenty_lines() {
    let text = fs::read_to_string(root().join("inventories/three-masters.yaml")).unwrap();
    assert!(text.lines().count() <= 20);
}

#[test]
fn a_public_key_file_may_be_named() {
    let dir = tempfile::tempdir().unwrap();
    let minimal = fs::read_to_string(root().join("inventories/minimal.yaml")).unwrap();
    let named = minimal.replacen("spec:\n", "spec:\n  ssh: {identityFile: ~/.ssh/plain.pub}\n", 1);
    assert!(named != minimal);
    fs::write(dir.path().join("slipway.yaml"), named).unwrap();
    let (_home, output) = validate(dir.path(), "slipway.yaml");
    output.success().stderr_eq("");
}

#[test]
fn slipway_yaml_here_is_the_default() {
    let dir = tempfile::tempdir().unwrap();
    let example = root().join("inventories/minimal.yaml");
    fs::copy(example, dir.path().join("slipway.yaml")).unwrap();
    let command = Command::new(env!("CARGO_BIN_EXE_slipway")).arg("validate");
    command.current_dir(dir.path()).assert().success();
}

#[test]
fn files_that_cannot_be_inventories() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("binary"), b"\xff\xfe").unwrap();
    fs::write(dir.path().join("large"), " ".repeat((1 << 20) + 1)).unwrap();
    let cases = [
        ("binary", "error: binary is not UTF-8 text\n"),
        ("large", "error: large is larger than 1 MiB\n"),
        (
            "missing",
            "error: cannot read the inventory missing: No such file or directory (os error 2)\n\
             hint: name it with `-i FILE`; docs/inventory.md says how to write one\n",
        ),
    ];
    for (name, stderr) in cases {
        let (_home, output) = validate(dir.path(), name);
        output.code(65).stdout_eq("").stderr_eq(stderr);
    }
}

/// The cluster's keys are kept beside its inventory: it must be a file that stays.
#[test]
fn an_inventory_cannot_come_from_a_pipe() {
    let dir = tempfile::tempdir().unwrap();
    let example = root().join("inventories/minimal.yaml");
    fs::copy(&example, dir.path().join("slipway.yaml")).unwrap();
    let pipe = dir.path().join("pipe");
    Command::new("mkfifo").arg(&pipe).assert().success();
    for name in ["-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0", "pipe", "/dev/null"] {
        for command in ["validate", "kubeconfig"] {
            let output = Command::new(env!("CARGO_BIN_EXE_slipway"))
                .args([command, "--inventory", name])
                .stdin(fs::read(&example).unwrap())
                .current_dir(dir.path())
                .assert();
            output.code(65).stdout_eq("").stderr_eq(format!(
                "error: the inventory must be a file that stays, and {name} is not\n\
                 hint: write it to a file first: the cluster's keys are kept beside it, in `.slipway`\n"
            ));
        }
    }
    assert!(!Path::new("/dev/.slipway").exists());
    // A link to a file is as good as the file.
    std::os::unix::fs::symlink("slipway.yaml", dir.path().join("link.yaml")).unwrap();
    validate(dir.path(), "link.yaml").1.success();
}

/// What is taken though it looks strange.
#[test]
fn what_users_and_networks_call_things_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let text = "apiVersion: slipway.dev/v1\nkind: Cluster\nmetadata: {name: prod}\nspec:\n  \
        ssh: {user: ops@corp.example.com}\n  \
        endpoint: {certSANs: [203.0.113.7, API.Example.com, '*.example.com']}\n  \
        kubelet: {imageMinimumGCAge: 120s, systemReserved: {cpu: 1, memory: 1.5Gi}}\n  \
        nodes:\n    - {name: cp-1, role: control-plane, address: CP-1.Example.COM, internalAddress: 10.77.0.11}\n    \
        - {name: w-1, role: worker, address: 10.77.0.21, labels: {node-role.kubernetes.io/worker: ''}}\n";
    fs::write(dir.path().join("a.yaml"), text).unwrap();
    let ok = "ok: prod: Kubernetes 1.37.2, 1 control plane, 1 worker, endpoint 10.77.0.11:6443\n";
    validate(dir.path(), "a.yaml").1.success().stderr_eq("").stdout_eq(ok);
    // Another endpoint than a control plane's API server: a load balancer there, at a port of its own.
    let nodes: String = (1..=3)
        .map(|n| format!("    - {{name: cp-{n}, role: control-plane, address: 10.77.0.1{n}}}\n"))
        .collect();
    let head = text.split("  ssh").next().unwrap();
    let balanced = format!("{head}  endpoint: {{address: '10.77.0.11:8443'}}\n  nodes:\n{nodes}");
    fs::write(dir.path().join("b.yaml"), balanced).unwrap();
    validate(dir.path(), "b.yaml").1.success();
}

#[test]
fn the_example_with_every_key_has_every_key() {
    let name = |path: &'static str| path.rsplit('.').next().unwrap();
    // A second document takes the place of keys of the first.
    for (example, second) in [("all-keys", false), ("registration", true)] {
        let text = fs::read_to_string(root().join(format!("inventories/{example}.yaml"))).unwrap();
        let text = format!(" {}", text.rsplit("---\n").next().unwrap()).replace(['\n', '{'], " ");
        let keys =
            || KEYS.iter().filter(|key| key.path.starts_with("ClusterRegistration") == second);
        for key in keys() {
            let wanted = keys().filter(|other| name(other.path) == name(key.path)).count();
            let found = text.matches(&format!(" {}:", name(key.path))).count();
            assert!(found >= wanted || !key.path.contains('.'), "{} is missing", key.path);
        }
    }
}

/// The table is generated; `make bless` writes it anew.
#[test]
fn the_documentation_has_every_key() {
    let (begin, end) = ("<!-- keys: generated -->\n", "<!-- keys: end -->\n");
    let file = root().join("docs/inventory.md");
    let text = fs::read_to_string(&file).unwrap();
    let (before, rest) = text.split_once(begin).unwrap();
    let (_, after) = rest.split_once(end).unwrap();
    let rows = KEYS.iter().map(|key| {
        let default = match key.presence {
            Presence::Required => "**required**".to_owned(),
            Presence::Optional => "–".to_owned(),
            Presence::Default(value) => format!("`{value}`"),
            Presence::DefaultBy(values) => {
                let values: Vec<_> =
                    values.iter().map(|(word, value)| format!("`{word}`: `{value}`")).collect();
                values.join(", ")
            }
        };
        format!("| `{}` | {} | {default} | {} |\n", key.path, key.kind(), key.about)
    });
    let table: String = rows.collect();
    let head = "| Key | Type | Default | Meaning |\n|---|---|---|---|\n";
    let expected = format!("{before}{begin}{head}{table}{end}{after}");
    if std::env::var_os("SNAPSHOTS").is_some_and(|action| action == "overwrite") {
        fs::write(&file, expected).unwrap();
    } else {
        assert_eq!(text, expected);
    }
}
