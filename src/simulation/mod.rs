//! The proof in memory: the real steps, with the real survey, plan and apply, on simulated machines.
//!
//! Commands and probes arrive as they would at a node. [`commands`] and [`probes`] recognise each by
//! the shell text of the resource or probe that made it; an unknown one fails the test ([`unmodelled`]). [`effects`] and
//! [`answers`] carry it out on a model ([`world`], [`machine`]). kubeadm goes through its phases one by
//! one ([`kubeadm`], [`joining`]), and kubelets, etcd and the pod network do their part without slipway
//! ([`controllers`]). After each event the world is checked ([`world::World::check`]) and can be copied:
//! such a copy is what a kill leaves behind ([`recovery`]).
//!
//! Proven are: that an apply may be killed after any change ([`kills`]), from any state ([`states`]),
//! that an inventory may be edited at will without harm to what lives ([`edits`]), and that a plan
//! announces exactly what apply changes ([`plans`]). Seeds decide everything, on a clock that jumps.

mod answers;
mod checks;
mod commands;
mod controllers;
mod drifts;
mod edits;
mod effects;
mod health;
mod hub;
mod joining;
mod kills;
mod kubeadm;
mod machine;
mod maintenance;
mod plans;
mod pod;
mod probes;
mod reaching;
mod reads;
mod recovery;
mod removals;
mod rng;
mod run;
mod stage;
mod states;
mod survey;
mod upgrades;
mod world;
mod written;

/// The label and taint of control planes.
const MARK: &str = "node-role.kubernetes.io/control-plane";

/// Fails the test: slipway said something to a node that the simulation does not model. `teach` names the
/// files to edit, so that who adds a probe or a command need not look for them.
#[track_caller]
fn unmodelled(what: &str, teach: &str, said: impl std::fmt::Display) -> ! {
    panic!("the simulation does not know this {what}: {teach}\n\n{said}\n")
}
