//! Which images a bundle has, and what is in them.

use std::path::Path;

use serde_json::json;

use super::agent;
use super::archive::MANIFEST_TYPE;
use super::digest::sha256;
use super::files::data;
use super::go::Built;
use super::layer::{LAYER_TYPE, Layer, Node, Written};
use super::recipe::{CALICO, COREDNS, METRICS_SERVER, PAUSE, Release};
use super::{Blob, Image};
use crate::diagnostic::{Error, Kind, Result};

const PATH: &str = "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/opt/cni/bin";

/// CNI plugins that the image of Calico's CNI plugin brings along, as upstream's does.
const CNI_PLUGINS: [&str; 5] = ["bandwidth", "host-local", "loopback", "portmap", "tuning"];

/// An image to be made.
#[derive(Debug)]
pub(super) struct Spec {
    pub(super) name: &'static str,
    pub(super) reference: String,
    /// Names of its layers, from the bottom.
    layers: &'static [&'static str],
    /// The program that runs where a pod names no command.
    entrypoint: &'static str,
    env: &'static [&'static str],
}

/// All images of a release. The references are those that kubeadm and the add-ons ask for.
pub(super) fn specs(release: &Release) -> Vec<Spec> {
    let kubernetes = |name, layers| Spec {
        name,
        reference: format!("registry.k8s.io/{name}:v{}", release.kubernetes),
        layers,
        // Images with the same layers would be one image if they did not differ in this.
        entrypoint: name,
        env: &[],
    };
    let other = |name, reference: String, layers, entrypoint| Spec {
        name,
        reference,
        layers,
        entrypoint,
        env: &[],
    };
    let etcd = release.components().find(|c| c.name == "etcd").map_or("", |c| c.version);
    vec![
        kubernetes("kube-apiserver", &["kubernetes"]),
        kubernetes("kube-controller-manager", &["kubernetes"]),
        kubernetes("kube-scheduler", &["kubernetes"]),
        kubernetes("kube-proxy", &["base", "kubernetes"]),
        other("etcd", format!("registry.k8s.io/etcd:{etcd}-0"), &["etcd"], "etcd"),
        other(
            "coredns",
            format!("registry.k8s.io/coredns/coredns:v{COREDNS}"),
            &["coredns"],
            "/coredns",
        ),
        other("pause", format!("registry.k8s.io/pause:{PAUSE}"), &["pause"], "/pause"),
        other(
            "metrics-server",
            format!("registry.k8s.io/metrics-server/metrics-server:v{METRICS_SERVER}"),
            &["metrics-server"],
            "/metrics-server",
        ),
        Spec {
            env: &["SVDIR=/etc/service/enabled"],
            ..other(
                "calico-node",
                format!("quay.io/calico/node:v{CALICO}"),
                &["base", "calico-node"],
                "start_runit",
            )
        },
        other(
            "calico-cni",
            format!("quay.io/calico/cni:v{CALICO}"),
            &["calico-cni"],
            "/opt/cni/bin/install",
        ),
        other(
            "calico-kube-controllers",
            format!("quay.io/calico/kube-controllers:v{CALICO}"),
            &["calico-kube-controllers"],
            "/usr/bin/kube-controllers",
        ),
        other(agent::NAME, agent::AGENT_IMAGE.to_owned(), &[agent::NAME], "/slipway-agent"),
    ]
}

/// What the images are made from besides the components, for recipes.
pub(super) fn recipe(release: &Release) -> String {
    // Counted up when the content of a layer changes.
    const FORM: u32 = 1;
    format!("{FORM} {} {CNI_PLUGINS:?} {:?}", super::layer::recipe(), specs(release))
}

/// The layers made from Go components, by name. `built` finds a component.
pub(super) fn layers<'a>(
    built: impl Fn(&str) -> Result<&'a Built>,
) -> Result<Vec<(&'static str, Layer)>> {
    let single = |name: &str, path: &str, program: &str| -> Result<Layer> {
        Ok(small().program(path, built(name)?, program))
    };
    let mut kubernetes = single("kubernetes", "usr/local/bin/kubernetes", "kubernetes")?;
    for name in ["kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler"] {
        let path = format!("usr/local/bin/{name}");
        kubernetes = kubernetes.put(path, Node::Symlink("kubernetes".to_owned()));
    }
    let calico = built("calico")?;
    let plugins = built("cni-plugins")?;
    let mut cni = small()
        .program("opt/cni/bin/calico", calico, "calico")
        .put("opt/cni/bin/calico-ipam", Node::Link("opt/cni/bin/calico".to_owned()))
        .put("opt/cni/bin/install", Node::Link("opt/cni/bin/calico".to_owned()));
    for name in CNI_PLUGINS {
        cni = cni.program(&format!("opt/cni/bin/{name}"), plugins, name);
    }
    let mut node = Layer::default().program("usr/bin/calico-node", calico, "calico-node");
    for path in calico.below("tree/") {
        let to = path.trim_start_matches("tree/");
        let to = if to.starts_with("sbin/") { format!("usr/{to}") } else { to.to_owned() };
        // The module archive keeps no modes; the scripts among these files must be executable.
        node = node.put(to, Node::Built(calico.clone(), path.to_owned(), 0o755));
    }
    let controllers = small()
        .program("usr/bin/kube-controllers", calico, "kube-controllers")
        .program("usr/bin/check-status", calico, "check-status")
        .put("status", Node::Dir(0o1777))
        .put("profiles", Node::Dir(0o1777));
    Ok(vec![
        ("kubernetes", kubernetes),
        ("calico-node", node),
        ("calico-cni", cni),
        ("calico-kube-controllers", controllers),
        ("coredns", single("coredns", "coredns", "coredns")?),
        ("metrics-server", single("metrics-server", "metrics-server", "metrics-server")?),
        ("etcd", single("etcd", "usr/local/bin/etcd", "server")?),
        ("pause", single("pause", "pause", "pause")?),
    ])
}

/// What even a static program may expect.
fn small() -> Layer {
    Layer::default().put("tmp", Node::Dir(0o1777))
}

impl Spec {
    /// Writes configuration and manifest below `dir`, over layers that are there already.
    pub(super) fn write(
        &self,
        dir: &Path,
        arch: &str,
        written: impl Fn(&str) -> Option<Written>,
    ) -> Result<Image> {
        let layers: Vec<Written> = self
            .layers
            .iter()
            .map(|name| {
                written(name).ok_or_else(|| Error::new(Kind::Bug, format!("no layer `{name}`")))
            })
            .collect::<Result<_>>()?;
        let env: Vec<&str> = [PATH].into_iter().chain(self.env.iter().copied()).collect();
        let diff_ids: Vec<&str> = layers.iter().map(|layer| layer.diff_id.as_str()).collect();
        let config = json!({
            "architecture": arch,
            "os": "linux",
            "config": {"Env": env, "Entrypoint": [self.entrypoint], "WorkingDir": "/"},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let config = blob(dir, &config)?;
        let descriptor = |kind: &str, blob: &Blob| json!({"mediaType": kind, "digest": blob.digest, "size": blob.size});
        let manifest = blob(
            dir,
            &json!({
                "schemaVersion": 2,
                "mediaType": MANIFEST_TYPE,
                "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
                "layers": layers.iter().map(|l| descriptor(LAYER_TYPE, &l.blob)).collect::<Vec<_>>(),
            }),
        )?;
        let (digest, size) = (manifest.digest.clone(), manifest.size);
        let blobs = [manifest, config].into_iter().chain(layers.into_iter().map(|l| l.blob));
        let (name, reference) = (self.name.to_owned(), self.reference.clone());
        Ok(Image { name, reference, digest, size, blobs: blobs.collect() })
    }
}

fn blob(dir: &Path, value: &serde_json::Value) -> Result<Blob> {
    let text = value.to_string();
    let path = format!("blobs/sha256/{}", sha256(text.as_bytes()));
    let entry = data(dir, path, "", "", text.as_bytes())?;
    Ok(Blob { digest: format!("sha256:{}", entry.sha256), size: entry.size })
}
