//! The member's agent and the hub's controller, `slipway-agent`: built with slipway, put into an
//! image here.

use std::fs;
use std::path::PathBuf;

use super::digest::sha256;
use super::layer::{Layer, Node};
use crate::diagnostic::{Error, Kind, Result};

/// The name of its component, image and layer.
pub(super) const NAME: &str = "slipway-agent";

/// The agent's version, which is slipway's.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The image's reference.
pub const AGENT_IMAGE: &str = concat!("slipway.dev/agent:v", env!("CARGO_PKG_VERSION"));

/// The program, as it goes into the image.
#[derive(Debug)]
pub(super) struct Agent(Vec<u8>);

impl Agent {
    /// Reads the program for `arch`: `slipway-agent-ARCH` beside slipway.
    ///
    /// # Errors
    /// [`Kind::Machine`] where it is not there, or would not run in an image without libraries.
    pub(super) fn read(arch: &str) -> Result<Self> {
        let path = place(arch);
        let hint = "build slipway with `make build`, which makes both";
        let failed = |why: String| {
            Error::new(Kind::Machine, format!("cannot use the agent `{}`: {why}", path.display()))
                .hint(hint)
        };
        let bytes = fs::read(&path).map_err(|e| failed(e.to_string()))?;
        if !is_static(&bytes) {
            return Err(failed("it is no static program for amd64".to_owned()));
        }
        Ok(Self(bytes))
    }

    /// What decides about the image, for recipes.
    pub(super) fn recipe(&self) -> String {
        sha256(&self.0)
    }

    /// The image's only layer.
    pub(super) fn layer(self) -> Layer {
        Layer::default().put("slipway-agent", Node::Data(self.0, 0o755))
    }
}

/// Beside the running program; cargo keeps test programs one directory deeper.
fn place(arch: &str) -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    let mut dir = program.parent().map(PathBuf::from).unwrap_or_default();
    if dir.ends_with("deps") {
        dir.pop();
    }
    dir.join(format!("slipway-agent-{arch}"))
}

/// Whether this is an ELF program for amd64 that asks for no interpreter (`PT_INTERP`; see elf(5)).
fn is_static(bytes: &[u8]) -> bool {
    const PT_INTERP: u64 = 3;
    const EM_X86_64: u64 = 62;
    let number = |at: usize, size: usize| -> Option<u64> {
        let field = bytes.get(at..at.checked_add(size)?)?;
        Some(field.iter().rev().fold(0, |sum, byte| (sum << 8) | u64::from(*byte)))
    };
    let interpreters = || {
        let (start, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
        (0..count).try_fold(0, |found, one| {
            let at = usize::try_from(start.checked_add(one * size)?).ok()?;
            Some(found + usize::from(number(at, 4)? == PT_INTERP))
        })
    };
    bytes.starts_with(b"\x7fELF\x02\x01")
        && number(18, 2) == Some(EM_X86_64)
        && interpreters() == Some(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_needs_a_loader_is_told() {
        let own = fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(!is_static(&own), "tests are built dynamically");
        assert!(!is_static(b"#!/bin/sh"));
        assert!(!is_static(&own[..60]));
        let mut none = own[..64].to_vec();
        none[56..58].fill(0);
        assert!(is_static(&none));
    }
}
