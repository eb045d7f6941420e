//! What a correct inventory means: the cluster that comes of it, and what else it can be asked.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use slipway::cluster::{Hub, Registration};
use slipway::inventory::{self, KEYS, Presence};
use snapbox::{Assert, Data};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every value as written, every default filled in.
#[test]
fn an_inventory_means_a_cluster() {
    for name in ["all-keys", "minimal", "registration"] {
        let mut inventory =
            inventory::load(&root().join(format!("inventories/{name}.yaml"))).unwrap();
        let home = std::env::home_dir().unwrap();
        let hide = |path: &mut PathBuf| {
            *path = Path::new("[HOME]").join(path.strip_prefix(&home).unwrap());
        };
        for node in &mut inventory.cluster.nodes {
            hide(&mut node.ssh.known_hosts);
        }
        if let Some(Registration { hub: Hub::Kubeconfig(path), .. }) =
            &mut inventory.cluster.registration
        {
            hide(path);
        }
        let expected = root().join(format!("tests/inventory/meaning/{name}.txt"));
        let meaning = format!("{:#?}\n", inventory.cluster);
        Assert::new().action_env("SNAPSHOTS").eq(meaning, Data::read_from(&expected, None));
    }
}

/// Without any key that has a default, and with all mappings of those that belong together.
fn without_defaults() -> Value {
    let volume = json!({"name": "own", "hostPath": "/own", "mountPath": "/own"});
    let program = json!({"extraVolumes": [volume]});
    json!({
        "apiVersion": "slipway.dev/v1",
        "kind": "Cluster",
        "metadata": {"name": "defaults"},
        "spec": {
            "endpoint": {"vip": "10.77.0.100"},
            "registration": {"hub": {"kubeconfig": "hub.yaml"}},
            "controlPlane": {
                "apiServer": program, "controllerManager": program, "scheduler": program,
            },
            "nodes": [{
                "name": "cp-1",
                "role": "control-plane",
                "address": "10.77.0.11",
                "taints": [{"key": "example.com/own", "effect": "NoSchedule"}],
            }],
        },
    })
}

/// The place of the key at that path of the table; of a list its first item.
fn place<'a>(inventory: &'a mut Value, path: &str) -> &'a mut Value {
    path.split('.').fold(inventory, |at, part| match part.strip_suffix("[]") {
        Some(list) => &mut at[list][0],
        None => &mut at[part],
    })
}

#[test]
fn a_missing_key_means_its_default() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("slipway.yaml");
    let meaning = |inventory: &Value| {
        fs::write(&file, inventory.to_string()).unwrap();
        format!("{:#?}", inventory::load(&file).unwrap().cluster)
    };
    let same = |inventory: &Value, path: &str, default: &str| {
        let mut said = inventory.clone();
        let place = place(&mut said, path);
        assert_eq!(*place, Value::Null, "{path} has a default, and is said");
        *place = serde_yaml::from_str(default).unwrap();
        assert_eq!(meaning(inventory), meaning(&said), "{path}: {default}");
    };
    for key in KEYS {
        match key.presence {
            Presence::Required | Presence::Optional => {}
            Presence::Default(default) => same(&without_defaults(), key.path, default),
            // Only the mode of a cluster decides a default.
            Presence::DefaultBy(defaults) => {
                for (mode, default) in defaults {
                    let mut inventory = without_defaults();
                    *place(&mut inventory, "spec.registration.mode") = json!(mode);
                    same(&inventory, key.path, default);
                }
            }
        }
    }
}

#[test]
fn paths_start_at_home_or_at_the_inventory() {
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("key");
    let key_text = "-----BEGIN EC PRIVATE KEY-----\nMHcC\n";
    fs::write(&key, key_text).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let example = fs::read_to_string(root().join("inventories/minimal.yaml")).unwrap();
    let file = dir.path().join("slipway.yaml");
    fs::write(&file, example.replace("spec:", "spec:\n  ssh: {identityFile: key}")).unwrap();
    let inventory = inventory::load(&file).unwrap();
    let ssh = &inventory.cluster.nodes[0].ssh;
    assert_eq!(ssh.identity, Some(key));
    assert_eq!(ssh.known_hosts, std::env::home_dir().unwrap().join(".ssh/known_hosts"));
    assert_eq!(inventory.state_dir(), dir.path().join(".slipway/minimal"));
}

#[test]
fn an_existing_cluster_may_have_an_even_number_of_control_planes() {
    let file = root().join("tests/inventory/even_control_planes.yaml");
    let inventory = inventory::load(&file).unwrap();
    assert!(inventory.check_new().is_err());
}

#[test]
fn an_excerpt_points_at_a_node() {
    let inventory = inventory::load(&root().join("inventories/minimal.yaml")).unwrap();
    let excerpt = inventory.excerpt("w-1", "step join failed").unwrap();
    let mut lines = excerpt.lines();
    assert!(lines.next().unwrap().ends_with("minimal.yaml:8:14"), "{excerpt}");
    assert!(lines.next_back().unwrap().ends_with("━━━ step join failed"), "{excerpt}");
    assert_eq!(inventory.excerpt("w-2", ""), None);
}
