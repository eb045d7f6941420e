//! Who may speak VRRP with this control plane: a table of nftables of slipway's own.

use super::{Change, Drift, Resource, sha256};
use crate::command::{Cmd, Output};
use crate::diagnostic::Result;
use crate::probe::Probe;

/// The table in the kernel is the one of a file, and its unit loads it at each boot, before keepalived
/// runs. The unit notes what it loaded, and how nft shows that, so that a rule that somebody removed or
/// added is seen whatever nft's version writes.
pub struct VrrpFilter {
    digest: String,
}

/// The unit that loads the table.
const UNIT: &str = "slipway-vrrp.service";

impl VrrpFilter {
    /// Of the texts of the two files: the rules, and the unit.
    #[must_use]
    pub fn new(rules: &str, unit: &str) -> Self {
        Self { digest: sha256(format!("{rules}{unit}").as_bytes()) }
    }
}

const LOAD: &str =
    r#"systemctl daemon-reload && systemctl enable --quiet "$1" && systemctl restart "$1""#;

impl Resource for VrrpFilter {
    fn id(&self) -> String {
        "packet filter slipway_vrrp".to_owned()
    }

    fn probe(&self) -> Probe {
        Probe::vrrp_filter()
    }

    fn compare(&self, seen: &Output) -> Result<Drift> {
        let text = seen.text();
        let lines: Vec<&str> = text.lines().collect();
        let [enabled, loaded, then, now] = lines.as_slice() else {
            return Ok(Drift::differs("load"));
        };
        Ok(if *loaded != self.digest || then != now {
            Drift::differs("load")
        } else {
            Drift::unless(*enabled == "enabled", "enable")
        })
    }

    fn converge(&self, _seen: &Output) -> Vec<Change> {
        vec![Change::new("load the packet filter slipway_vrrp", Cmd::shell(LOAD).arg(UNIT))]
    }

    fn explain(&self, _seen: &Output) -> Option<String> {
        Some(format!("`journalctl -u {UNIT}` on the node says why"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        let (filter, digest) = (VrrpFilter::new("rules\n", "unit\n"), sha256(b"rules\nunit\n"));
        let summary = |text: String| {
            let seen = Output { stdout: text.into_bytes(), ..Output::default() };
            match filter.compare(&seen).unwrap() {
                Drift::None => String::new(),
                Drift::Differs(diff) => diff.summary,
            }
        };
        assert_eq!(summary(format!("enabled\n{digest}\nsame\nsame\n")), "");
        assert_eq!(summary(format!("disabled\n{digest}\nsame\nsame\n")), "enable");
        assert_eq!(summary(format!("enabled\n{digest}\nsame\nother\n")), "load", "by hand");
        assert_eq!(summary("enabled\nold\nsame\nsame\n".to_owned()), "load", "older rules");
        assert_eq!(summary("\n".to_owned()), "load", "nothing is there");
    }
}
