//! Late packets: a line beside a node's cable, at whose end a process of ours keeps each frame for
//! a while.
//!
//! The kernel's own means, netem, is in few small kernels. This needs macvtap: a network device
//! whose frames are read from and written to a file.
//!
//! ```text
//! bridge ── cable ─┐ egress: to the line            ┌─▶ cable ── node
//!                  └─▶ line ═ end ─ tap ─▶ process ─┘ ingress of the line: marked, to the cable
//! ```

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::packets;
use crate::diagnostic::{Error, Kind, Result};
use crate::lab::run::own_program;
use crate::lab::spec::{Lab, Node};
use crate::lab::{files, network, store};
use crate::process::Process;

/// What the process says once it takes frames.
const READY: &str = "the delay line is open";

/// The largest frame, before the kernel cuts it into packets, and the header before it.
const FRAME: usize = 65_536 + 256;

/// Tells a frame that was on the line from one that shall go there.
const MARK: u32 = 0x736c_7761;

/// The three devices: the line, its other end, the tap on that.
fn devices(lab: &Lab, node: &Node) -> [String; 3] {
    let machine = lab.machine(node);
    ["vd", "ve", "vt"].map(|kind| format!("{kind}-{machine}"))
}

/// Delays all packets to a node.
pub(super) async fn make(lab: &Lab, node: &Node, time: Duration) -> Result<()> {
    end(lab, node).await?;
    let made = lay(lab, node, time).await;
    if made.is_err() {
        end(lab, node).await?;
    }
    made
}

async fn lay(lab: &Lab, node: &Node, time: Duration) -> Result<()> {
    let [line, far, tap] = devices(lab, node);
    for add in [
        vec!["add", "name", &line, "type", "veth", "peer", "name", &far],
        vec!["add", "name", &tap, "link", &far, "type", "macvtap", "mode", "passthru"],
    ] {
        Process::new("ip").arg("link").args(add).run().await.map_err(|error| {
            let what = "the kernel cannot delay packets; does it lack CONFIG_MACVTAP?";
            Error::new(Kind::Machine, what).note(error.to_string())
        })?;
    }
    for device in [&line, &far, &tap] {
        // No address: the kernel itself shall say nothing on the line.
        let up = ["link", "set", device, "addrgenmode", "none", "txqueuelen", "10000", "up"];
        Process::new("ip").args(up).run().await?;
    }
    let index = files::read(&Path::new("/sys/class/net").join(&tap).join("ifindex"))?;
    let file = format!("/dev/tap{}", index.unwrap_or_default().trim());
    let slipway = [&own_program()?, "lab", "delay-line", &file, &format!("{time:?}")];
    let log = store::node_dir(lab, node).join("delay.log");
    let group = super::group(lab, node, "delay");
    super::begin(&group, slipway.map(str::to_owned).into(), &log, READY).await?;
    let options = "CONFIG_NF_TABLES_NETDEV, CONFIG_NETFILTER_EGRESS or CONFIG_NFT_FWD_NETDEV";
    packets::load(rules(lab, node, time), options).await
}

fn rules(lab: &Lab, node: &Node, time: Duration) -> String {
    let table = packets::table(lab, node, "delay");
    let (cable, [line, ..]) = (lab.cable(node), devices(lab, node));
    format!(
        "table netdev {table}
delete table netdev {table}
table netdev {table} {{
  chain there {{
    type filter hook egress device \"{cable}\" priority 0;
    meta mark != {MARK} fwd to \"{line}\" comment \"delay {time:?}\"
  }}
  chain back {{
    type filter hook ingress device \"{line}\" priority 0;
    meta mark set {MARK} fwd to \"{cable}\"
  }}
}}
"
    )
}

/// Ends the line; the table that uses it is ended with the others.
pub(super) async fn end(lab: &Lab, node: &Node) -> Result<()> {
    super::group(lab, node, "delay").kill().await?;
    let [line, ..] = devices(lab, node);
    // The other end and the tap go with it.
    network::remove_link(&line).await
}

/// The line's process: gives each frame of `tap` back after `delay`, until the device is gone.
///
/// # Errors
/// [`Kind::Machine`] when the file cannot be opened.
pub async fn run(tap: &Path, delay: Duration, say: &dyn Fn(&str)) -> Result<()> {
    let failed = |e| Error::new(Kind::Machine, format!("{}: {e}", tap.display()));
    let mut out = File::options().read(true).write(true).open(tap).map_err(failed)?;
    let mut taken = out.try_clone().map_err(failed)?;
    let (put, mut frames) = mpsc::unbounded_channel();
    tokio::task::spawn_blocking(move || {
        let mut buffer = vec![0; FRAME];
        while let Ok(length) = taken.read(&mut buffer) {
            let frame = buffer.get(..length).unwrap_or_default().to_vec();
            if put.send((Instant::now() + delay, frame)).is_err() {
                break;
            }
        }
    });
    say(READY);
    while let Some((due, frame)) = frames.recv().await {
        sleep_until(due).await;
        // What the kernel does not take now is lost, as on any line.
        let _ = out.write(&frame);
    }
    Ok(())
}
