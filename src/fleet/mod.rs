//! The proof on a fleet in memory: the real steps, with the real survey, plan and apply, on machines
//! that are data.
//!
//! Commands and probes arrive as they would at a node. Each is recognised by the shell text of the
//! resource or probe that made it and carried out on a model ([`world`], [`machine`]): an unknown
//! one fails the test. kubeadm goes through its phases one by one ([`kubeadm`], [`joining`]), and
//! what follows by itself, follows ([`nature`]). After each event the world is checked
//! ([`world::World::check`]) and can be copied; such a copy is what a kill leaves behind ([`heal`]).
//!
//! Proven are: that an apply may be killed after any change ([`kills`]), from any state ([`states`]),
//! that an inventory may be edited in any way without harm to what lives ([`edits`]), and that plans
//! tell the truth ([`plans`]). Everything follows from seeds, on a clock that jumps.

mod answers;
mod asked;
mod checks;
mod deeds;
mod dice;
mod drifts;
mod edits;
mod effects;
mod heal;
mod health;
mod joining;
mod kills;
mod kubeadm;
mod machine;
mod nature;
mod plans;
mod pod;
mod run;
mod stage;
mod states;
mod survey;
mod world;
mod written;

/// The label and taint of control planes.
const MARK: &str = "node-role.kubernetes.io/control-plane";
