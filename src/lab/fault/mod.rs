//! Faults: what goes wrong with machines and networks, made to go wrong with one node.
//!
//! Which faults a node has is never written down: the rules, processes and files that make them are
//! looked for. A node starts without any, however it starts.

use std::path::Path;
use std::time::Duration;

use super::cgroup::Group;
use super::quantity::{Share, Size};
use super::run::detached;
use super::spec::{Lab, Node};
use super::wait::until;
use super::{container, files, store};
use crate::diagnostic::{Error, Kind, Result, last_lines};

mod delay;
mod fill;
mod hold;
mod packets;

pub use delay::run as delay_line;

/// How long a fault's own process may take to begin. apt-get may have to give its lock up first.
const BEGIN: Duration = Duration::from_secs(60);

/// Something that goes wrong.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// No packet reaches the node or leaves it, for this time or until it is mended.
    Cut(Option<Duration>),
    /// Packets reach the node this much later.
    Delay(Duration),
    /// This share of the packets to the node, and of those from it, is lost.
    Loss(Share),
    /// The node's disk is full, but for this much.
    Fill(Size),
    /// A process on the node holds the lock of apt and dpkg, for this time or until it is mended.
    Hold(Option<Duration>),
}

/// Brings a fault about; it replaces an older one of its sort.
///
/// # Errors
/// [`Kind::Usage`] when there is no such lab or node, or the node cannot have this fault;
/// [`Kind::Machine`] when this machine's kernel cannot do it.
pub async fn inject(name: &str, node: &str, fault: &Fault, say: &dyn Fn(&str)) -> Result<()> {
    let _lock = store::lock(say)?;
    let lab = store::require(name)?;
    let node = lab.node(node)?;
    let init = container::init(&lab, node)?;
    match fault {
        Fault::Cut(lasts) => packets::cut(&lab, node, *lasts).await,
        Fault::Delay(time) => delay::make(&lab, node, *time).await,
        Fault::Loss(share) => packets::lose(&lab, node, *share).await,
        Fault::Fill(leave) => fill::make(&lab, node, init, *leave),
        Fault::Hold(lasts) => hold::make(&lab, node, init, *lasts).await,
    }
}

/// Ends all faults of a node.
///
/// # Errors
/// [`Kind::Usage`] when there is no such lab or node; [`Kind::Command`] when the kernel refuses.
pub async fn mend(name: &str, node: &str, say: &dyn Fn(&str)) -> Result<()> {
    let _lock = store::lock(say)?;
    let lab = store::require(name)?;
    end(&lab, lab.node(node)?).await
}

/// Ends all faults of a node, on or off.
pub(super) async fn end(lab: &Lab, node: &Node) -> Result<()> {
    packets::end(lab, node).await?;
    delay::end(lab, node).await?;
    hold::end(lab, node).await?;
    fill::end(lab, node)
}

/// The faults that a node has, each as the words of the command that brings it about.
pub(super) async fn found(lab: &Lab, node: &Node) -> Result<Vec<String>> {
    let mut found = packets::found(lab, node).await?;
    found.extend(fill::found(lab, node).then(|| "fill".to_owned()));
    found.extend(hold::found(lab, node).then(|| "hold".to_owned()));
    Ok(found)
}

/// The control group of a fault's own process.
fn group(lab: &Lab, node: &Node, fault: &str) -> Group {
    Group::of(&lab.name, &format!("{}.{fault}", node.name))
}

/// Starts a fault's own process, and waits until it says `ready` on a line.
async fn begin(group: &Group, command: Vec<String>, log: &Path, ready: &str) -> Result<()> {
    let mut process = detached(group, command, log)?;
    let said = || files::read(log).ok().flatten().unwrap_or_default();
    let ended = async {
        // Until here the group may be empty because nothing has entered it yet.
        let _ = process.wait().await;
        until("it ends", BEGIN, async || !group.alive()).await
    };
    let begun = tokio::select! {
        begun = until(ready, BEGIN, async || said().lines().any(|line| line == ready)) => begun,
        Ok(()) = ended => Err(Error::new(Kind::Command, "the process of the fault has ended")),
    };
    if begun.is_err() {
        group.kill().await?;
    }
    begun.map_err(|error| error.note(last_lines(&said(), 8)))
}
