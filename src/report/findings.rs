//! What preflight found, as text: node by node, errors first.

use super::counted;
use crate::diagnostic::printable;
use crate::preflight::{Finding, Severity};

/// All findings, in their order, under their nodes' names; ends with how many there are, without a
/// last line break.
#[must_use]
pub fn findings_text(findings: &[Finding]) -> String {
    let mut lines = Vec::new();
    let mut shown: Option<Option<&String>> = None;
    for one in findings {
        if shown != Some(one.node.as_ref()) {
            lines.push(one.node.clone().unwrap_or_else(|| "cluster".to_owned()));
            shown = Some(one.node.as_ref());
        }
        lines.push(format!("  {:8} {}", one.severity.name(), printable(&one.what)));
        lines.push(format!("  {:8} → {}", "", printable(&one.todo)));
    }
    let count = |severity| findings.iter().filter(|one| one.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    lines.push(match findings.len() {
        0 => "no errors, no warnings".to_owned(),
        _ => format!("{}, {}", counted(errors, "error"), counted(warnings, "warning")),
    });
    lines.join("\n")
}
