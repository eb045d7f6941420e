//! What runs take as given: a bundle of tiny files, inventories as a person writes them, keys.

use std::fmt::Write as _;
use std::sync::{Arc, OnceLock};

use super::hub::Known;
use super::world::World;
use crate::bundle::{Bundle, LATEST, VERSIONS};
use crate::inventory::{self, Inventory};
use crate::pki::Pki;
use crate::steps::Program;

/// What every run works with.
pub(super) struct Stage {
    pub(super) bundle: Arc<Bundle>,
    pub(super) program: Program,
    pub(super) pki: Pki,
    _folder: tempfile::TempDir,
}

/// How manifests call the image of that short name, in the newest version.
pub(super) fn reference(name: &str) -> String {
    stage().bundle.image(name).unwrap().reference.clone()
}

/// How they call it in every version.
pub(super) fn references(name: &str) -> impl Iterator<Item = String> {
    let image =
        move |version: &&str| Bundle::sample_of(version).image(name).unwrap().reference.clone();
    VERSIONS.iter().map(image)
}

/// The version that a program is of: what it says, or the newest.
pub(super) fn version_of(program: &str) -> &str {
    program.split_once(' ').map_or(LATEST, |(_, version)| version)
}

/// The one stage of all tests.
pub(super) fn stage() -> &'static Stage {
    static STAGE: OnceLock<Stage> = OnceLock::new();
    STAGE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("slipway");
        std::fs::write(&program, "this program").unwrap();
        Stage {
            bundle: Bundle::sample(),
            program: Program::read(&program).unwrap(),
            pki: Pki::generate().unwrap(),
            _folder: folder,
        }
    })
}

/// What an inventory says, as far as steps differ by it.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    pub(super) control_planes: usize,
    pub(super) workers: usize,
    pub(super) virtual_ip: bool,
    pub(super) calico: bool,
    pub(super) metrics: bool,
    pub(super) time_server: bool,
    pub(super) kubelet: bool,
    /// Bit by bit: which nodes have labels of their own.
    pub(super) labels: u16,
    /// Bit by bit: which nodes have taints of their own, and which of these an empty list.
    pub(super) taints: (u16, u16),
    pub(super) hub: bool,
}

impl Shape {
    /// Three control planes, two workers, everything on.
    pub(super) fn whole() -> Self {
        Self {
            control_planes: 3,
            workers: 2,
            virtual_ip: true,
            calico: true,
            metrics: true,
            time_server: true,
            kubelet: true,
            labels: 0b01001,
            taints: (0b10010, 0b00010),
            hub: true,
        }
    }

    /// The inventory.
    pub(super) fn yaml(&self) -> String {
        let mut text =
            "apiVersion: slipway.dev/v1\nkind: Cluster\nmetadata: {name: proof}\nspec:\n"
                .to_owned();
        writeln!(text, "  kubernetes: {{version: {LATEST}}}").unwrap();
        if self.virtual_ip {
            text += "  endpoint: {vip: 10.77.0.100}\n";
        } else if self.control_planes > 1 {
            text += "  endpoint: {address: \"api.example.com:7443\"}\n";
        }
        if self.time_server {
            text += "  time: {servers: [10.77.0.250]}\n";
        }
        if self.kubelet {
            text += "  kubelet: {maxPods: 150}\n";
        }
        writeln!(text, "  addons: {{calico: {}, metricsServer: {}}}", self.calico, self.metrics)
            .unwrap();
        text += "  nodes:\n";
        for at in 0..self.control_planes + self.workers {
            let worker = at.checked_sub(self.control_planes);
            let (name, role) = match worker {
                None => (format!("cp-{}", at + 1), "control-plane"),
                Some(number) => (format!("w-{}", number + 1), "worker"),
            };
            let has = |bits: u16| bits >> at & 1 == 1;
            write!(text, "    - {{name: {name}, role: {role}, address: 10.77.0.{}", at + 11)
                .unwrap();
            if has(self.labels) {
                text += ", labels: {example.com/disk: ssd}";
            }
            text += match (has(self.taints.0), has(self.taints.1)) {
                (false, _) => "",
                (true, true) => ", taints: []",
                (true, false) => ", taints: [{key: example.com/own, value: x, effect: NoSchedule}]",
            };
            text += "}\n";
        }
        text
    }

    /// Bare machines, and the hub, if it has one.
    pub(super) fn world(&self) -> World {
        let mut world = World::new(self.inventory());
        world.hub = self.hub.then(Known::default);
        world
    }

    /// As slipway reads it.
    pub(super) fn inventory(&self) -> Arc<Inventory> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), self.yaml()).unwrap();
        let inventory = inventory::load(file.path());
        Arc::new(inventory.unwrap_or_else(|e| panic!("{e}\n{}", self.yaml())))
    }
}
