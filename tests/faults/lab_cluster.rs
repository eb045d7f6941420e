//! The lab that everything happens to, and how it is brought back.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use super::report::Ended;
use super::support::kube::{Kube, etcd_whole};
use super::support::lab::Lab;
use super::support::{KUBERNETES, eventually, secs};
use super::{Case, Start};

pub const INVENTORY: &str = "slipway.yaml";

/// What a reinstalled node must get again.
const TAINT: &str = "taints: [{key: example.com/own, effect: PreferNoSchedule}]";

pub struct LabCluster {
    pub lab: Lab,
    /// What it is now; `None` after a case has used it.
    is: Option<Start>,
    /// Whether there is a snapshot of a whole cluster, and the operator's files of then.
    kept: bool,
}

impl LabCluster {
    /// Machines with disks of their own.
    pub fn up(name: &str) -> Self {
        let lab = Lab::up(name, 3, 2, &["--disk", "8G"]);
        for node in ["cp-1", "w-1"] {
            let name = format!("name: {node}, ");
            lab.edit(&name, &format!("{name}labels: {{example.com/rack: r1}}, {TAINT}, "));
        }
        Self { lab, is: Some(Start::Bare), kept: false }
    }

    /// Keeps the machines as they are, to install them anew.
    pub fn keep_bare(&self) {
        self.lab.lab("snapshot", &["bare"]);
    }

    /// Makes the lab what a case begins with.
    fn be(&mut self, start: Start) {
        if self.is == Some(start) {
            return;
        }
        match start {
            Start::Bare => self.reset(),
            Start::Whole if self.kept => {
                self.lab.lab("restore", &["whole"]);
                self.whole();
            }
            Start::Whole => {
                if self.is.is_none() {
                    self.reset();
                }
                self.apply_whole("the apply that everything begins with");
                self.lab.lab("snapshot", &["whole"]);
                self.kept = true;
                self.whole();
            }
        }
        self.is = Some(start);
    }

    /// New machines, and an operator that knows nothing of them.
    fn reset(&self) {
        self.lab.lab("restore", &["bare"]);
        for name in [".slipway", "slipway.lock"] {
            let path = self.lab.file(name);
            let _ = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        }
    }

    /// Runs a case. One that leaves the lab as it found it says so by its start.
    pub fn attempt(&mut self, case: &Case) -> Ended {
        println!("{}", case.fault);
        let began = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(|| {
            self.be(case.start);
            (case.run)(self)
        }));
        let result = result.map_err(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
                .unwrap_or_default()
        });
        for node in self.lab.names() {
            self.lab.lab("start", &[node]);
            self.lab.lab("mend", &[node]);
        }
        // A case that worked on a whole cluster has looked that it is whole again; one that was
        // refused on bare machines changed nothing.
        self.is = match (result.is_ok(), case.start) {
            (false, _) => None,
            (true, Start::Bare) if !self.lab.state().exists() => Some(Start::Bare),
            (true, _) => Some(Start::Whole),
        };
        (result, began.elapsed().as_secs())
    }

    /// Applies, which must work and make the cluster whole; then again, which must change nothing.
    #[track_caller]
    pub fn apply_whole(&self, what: &str) {
        let run = self.lab.apply(INVENTORY);
        assert_eq!(run.ran.code, 0, "{what}:\n{}", run.ran.both());
        self.whole();
        self.lab.apply(INVENTORY).assert_nothing_to_do(what);
    }

    pub fn kube(&self) -> Kube {
        self.lab.kube(KUBERNETES)
    }

    /// Waits until the cluster is what an undisturbed apply makes: as many nodes, all Ready, every
    /// pod running, three voting members, one CA.
    #[track_caller]
    pub fn whole(&self) {
        self.kube().wait_whole(&self.lab, secs(240));
        for plane in self.lab.control_planes() {
            eventually("etcd is whole", secs(60), || etcd_whole(&self.lab, &plane.name));
        }
        super::support::secrets::authorities(&self.lab);
    }

    /// A node as it was when it was new, with the same name and host key: reinstalled.
    pub fn reinstall(&self, node: &str) {
        self.lab.lab("restore", &["bare", "--node", node]);
    }
}
