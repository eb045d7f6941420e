//! All nodes reached and looked at, and what preflight finds; nothing is planned yet.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::connect::{all_of, connect, holder};
use super::{Network, Purpose, look};
use crate::cluster::Role;
use crate::diagnostic::{Error, Result, printable};
use crate::engine::{self, Node};
use crate::event::{Event, Sink};
use crate::host::Transport;
use crate::inventory::{self, Inventory};
use crate::pki::Pki;
use crate::preflight::{self, Finding};
use crate::probe::Probe;
use crate::secret::Secret;
use crate::state::State;
use crate::steps::Program;
use crate::survey::{Membership, Survey};

/// What the operator's machine gives to a run.
pub struct Given {
    /// The inventory.
    pub inventory: Inventory,
    /// The cluster's keys, where they are kept.
    pub kept: Option<Pki>,
    /// slipway itself, which stays on control planes.
    pub program: Program,
}

impl Given {
    /// Reads the inventory at `path`, and the keys that are kept beside it.
    ///
    /// # Errors
    /// When the inventory is wrong, or the keys cannot be used.
    pub fn read(path: &Path) -> Result<Self> {
        let inventory = inventory::load(path)?;
        let kept = State::at(inventory.state_dir()).load()?;
        Ok(Self { inventory, kept, program: Program::running()? })
    }
}

/// All nodes, reached and looked at.
pub struct Reached<T> {
    /// What preflight found.
    pub findings: Vec<Finding>,
    /// Workers that cannot be reached, and why.
    pub unreachable: BTreeMap<String, Error>,
    pub(super) given: Given,
    pub(super) nodes: BTreeMap<String, Node<T>>,
    pub(super) survey: Survey,
}

impl<T: Transport + 'static> Reached<T> {
    /// Connects to all nodes, and judges what they say. Whatever they print, `masked` is not shown.
    ///
    /// # Errors
    /// When a node cannot be reached or does not answer; findings are no errors here.
    pub async fn begin<N: Network<Host = T>>(
        given: Given,
        purpose: Purpose,
        network: &Arc<N>,
        masked: &Arc<[Secret<String>]>,
        events: &Arc<dyn Sink>,
    ) -> Result<Self> {
        let cluster = &given.inventory.cluster;
        let names = cluster.machines().map(|node| node.name.clone()).collect();
        let (run, name) = (purpose.name, cluster.name.clone());
        events.take(Event::RunStarted { run, cluster: name, nodes: names });
        let (nodes, unreachable) = connect(cluster, network, masked).await?;
        if purpose.changes {
            engine::take_leases(&nodes, &holder()).await?;
        }
        let own = given.kept.as_ref().map(Pki::identity);
        let survey = look::survey(cluster, own.as_ref(), &nodes, events.as_ref()).await?;
        if !survey.any_member() {
            // What a new cluster is to be, all of its nodes must say.
            all_of(unreachable.clone(), cluster.nodes.len(), "connect to")?;
        }
        for (name, surveyed) in &survey.nodes {
            let system = printable(&surveyed.facts.os_name);
            let part = surveyed.membership.in_words();
            let node = name.clone();
            events.take(Event::Connected { node, about: format!("{system}, {part}") });
        }
        let findings = preflight::findings(cluster, &survey, given.program.glibc());
        Ok(Self { findings, unreachable, given, nodes, survey })
    }

    /// Measures the disks of control planes that are bare, and adds what is found.
    ///
    /// # Errors
    /// When a node does not answer.
    pub async fn time_disks(&mut self) -> Result<()> {
        let bare = |node: &&crate::cluster::Node| {
            self.survey.membership(&node.name) == Some(&Membership::Absent)
        };
        let control_planes =
            self.given.inventory.cluster.with_role(Role::ControlPlane).filter(bare);
        let probes = control_planes.map(|node| (node.name.clone(), Probe::synced_writes()));
        let answers = look::ask(&self.nodes, probes.collect(), |answer| Ok(answer.output)).await?;
        let found = answers.iter().filter_map(|(name, output)| preflight::synced(name, output));
        self.findings.extend(found);
        preflight::sort(&mut self.findings, &self.given.inventory.cluster);
        Ok(())
    }

    /// Tells all findings as events.
    pub fn tell(&self, events: &dyn Sink) {
        for one in &self.findings {
            events.take(Event::Finding {
                node: one.node.clone(),
                check: one.check,
                severity: one.severity.name(),
                what: one.what.clone(),
                todo: one.todo.clone(),
            });
        }
    }
}
