//! `vagrant/Vagrantfile`, read by the real Vagrant with the real libvirt provider. VirtualBox is
//! not in Debian: a stand-in tells Vagrant its version, so that the settings for it are read, too.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use snapbox::cmd::{Command, OutputAssert};

/// Runs Vagrant on the machines of an inventory, with a home of its own.
fn vagrant(command: &str, provider: &str, inventory: &str) -> (tempfile::TempDir, OutputAssert) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let home = tempfile::tempdir().unwrap();
    let file = |path: &str| home.path().join(path);
    fs::create_dir(file(".ssh")).unwrap();
    fs::write(file(".ssh/id_ed25519.pub"), "ssh-ed25519 AAAA me@here\n").unwrap();
    fs::write(file("VBoxManage"), "#!/bin/sh\necho 7.0.10r158379\n").unwrap();
    fs::set_permissions(file("VBoxManage"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = std::env::var("PATH").unwrap();
    assert!(
        path.split(':').any(|dir| Path::new(dir).join("vagrant").exists()),
        "Vagrant is missing: apt-get install --no-install-recommends vagrant vagrant-libvirt"
    );
    let output = Command::new("vagrant")
        .arg(command)
        .current_dir(root.join("vagrant"))
        .env("HOME", home.path())
        .env("VAGRANT_HOME", file("vagrant"))
        .env("VAGRANT_DOTFILE_PATH", file("machines"))
        .env("VAGRANT_DEFAULT_PROVIDER", provider)
        .env("PATH", format!("{}:{path}", home.path().display()))
        .env("SLIPWAY_INVENTORY", root.join("inventories").join(inventory))
        .timeout(Duration::from_secs(120))
        .assert();
    (home, output)
}

fn is_valid(provider: &str, inventory: &str) {
    let (_home, output) = vagrant("validate", provider, inventory);
    output.success().stdout_eq("Vagrantfile validated successfully.\n");
}

#[test]
fn valid_for_libvirt() {
    is_valid("libvirt", "vagrant.yaml");
}

#[test]
fn valid_for_virtualbox() {
    is_valid("virtualbox", "vagrant.yaml");
}

#[test]
fn valid_for_an_inventory_with_every_key() {
    is_valid("libvirt", "all-keys.yaml");
}

#[test]
fn has_the_machines_of_the_inventory() {
    let (_home, output) = vagrant("status", "virtualbox", "vagrant.yaml");
    let names = ["cp-1", "cp-2", "cp-3", "w-1", "w-2"];
    let machines = names.map(|name| format!("{name:<25} not created (virtualbox)\n")).concat();
    output.success().stdout_eq(format!("Current machine states:\n\n{machines}\n...\n"));
}

#[test]
fn an_inventory_that_is_missing_is_an_error() {
    let (_home, output) = vagrant("validate", "libvirt", "missing.yaml");
    output.failure().stderr_eq("...\n[..]No such file or directory[..]missing.yaml[..]\n...\n");
}
