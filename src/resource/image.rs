//! Container images, imported from the bundle and pinned.

use std::sync::Arc;
use std::time::Duration;

use super::{Change, Drift, Resource};
use crate::command::{Cmd, Input, Output, Stream};
use crate::diagnostic::Result;
use crate::probe::Probe;

/// An image as the bundle holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Its short name in the bundle.
    pub name: String,
    /// Its reference, as manifests ask for it.
    pub reference: String,
    /// Its digest, `sha256:…`.
    pub digest: String,
}

/// Makes the archive (an OCI layout) of the named images.
pub type Archive = Arc<dyn Fn(&[String]) -> Arc<dyn Stream> + Send + Sync>;

/// These images are in containerd, each with exactly its digest, and pinned: the kubelet's garbage
/// collection may not remove what a node cannot fetch again.
pub struct Images {
    group: &'static str,
    want: Vec<Image>,
    archive: Archive,
}

impl Images {
    /// `want`, taken from `archive` where missing; `group` names them in plans.
    #[must_use]
    pub fn new(group: &'static str, want: Vec<Image>, archive: Archive) -> Self {
        Self { group, want, archive }
    }

    fn missing(&self, seen: &Output) -> Vec<String> {
        let text = seen.text();
        let there = |image: &Image| {
            text.lines().any(|line| {
                let mut words = line.split(' ');
                words.next() == Some(&image.reference)
                    && words.next() == Some(&image.digest)
                    && words.next().is_some_and(|l| l.contains("io.cri-containerd.pinned=pinned"))
            })
        };
        self.want.iter().filter(|i| !there(i)).map(|i| i.name.clone()).collect()
    }
}

const IMPORT: &str =
    "ctr -n k8s.io images import --label io.cri-containerd.pinned=pinned - >/dev/null";

impl Resource for Images {
    fn id(&self) -> String {
        format!("images {}", self.group)
    }

    fn probe(&self) -> Probe {
        Probe::images()
    }

    fn compare(&self, seen: &Output) -> Result<Drift> {
        let missing = self.missing(seen);
        Ok(Drift::unless(missing.is_empty(), format!("import {}", missing.join(", "))))
    }

    fn converge(&self, seen: &Output) -> Vec<Change> {
        let missing = self.missing(seen);
        let cmd = Cmd::shell(IMPORT)
            .stdin(Input::Stream((self.archive)(&missing)))
            .within(Duration::from_secs(900));
        vec![Change::new(format!("import {} images", missing.len()), cmd)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_counts_only_with_its_digest_and_pin() {
        let image = |name: &str| Image {
            name: name.into(),
            reference: format!("r/{name}:1"),
            digest: "sha256:a".into(),
        };
        let want = vec![image("good"), image("other"), image("loose")];
        let images = Images::new("test", want, Arc::new(|_| Arc::new(Vec::new())));
        let seen = "r/good:1 sha256:a io.cri-containerd.image=managed,io.cri-containerd.pinned=pinned\n\
                    r/other:1 sha256:b io.cri-containerd.pinned=pinned\n\
                    r/loose:1 sha256:a io.cri-containerd.image=managed\n";
        let seen = Output { stdout: seen.into(), ..Output::default() };
        assert_eq!(images.compare(&seen).unwrap(), Drift::differs("import other, loose"));
    }
}
