//! Files of ours on nodes, rendered from `templates/`. The tree there mirrors the node's, one
//! folder a step. Templates make files only, never commands; Kubernetes' own configuration is
//! built from data, not from text.

use serde::Serialize;
use tera::{Context, Tera};

use crate::diagnostic::{Error, Kind, Result};

macro_rules! templates {
    ($($name:ident = $path:literal;)*) => {
        $(
            #[doc = concat!("`", $path, "`")]
            pub const $name: Template =
                Template { path: $path, text: include_str!(concat!("../templates/", $path)) };
        )*
        /// All of them.
        #[cfg(test)]
        const ALL: &[Template] = &[$($name),*];
    };
}

templates! {
    CHRONY = "time/etc/chrony/chrony.conf";
    CONTAINERD = "containerd/etc/containerd/config.toml";
    CONTAINERD_UNIT = "containerd/etc/systemd/system/containerd.service";
    HAPROXY = "endpoint/etc/haproxy/haproxy.cfg";
    KEEPALIVED = "endpoint/etc/keepalived/keepalived.conf";
    KUBELET_UNIT = "kubernetes/etc/systemd/system/kubelet.service";
    MODULES = "os/etc/modules-load.d/slipway.conf";
    SYSCTLS = "os/etc/sysctl.d/90-slipway.conf";
    VRRP_RULES = "endpoint/etc/slipway/vrrp.nft";
    VRRP_UNIT = "endpoint/etc/systemd/system/slipway-vrrp.service";
    APPROVER_UNIT = "approver/etc/systemd/system/slipway-approver.service";
}

/// A template, part of the program: a missing file does not compile.
#[derive(Debug, Clone, Copy)]
pub struct Template {
    path: &'static str,
    text: &'static str,
}

impl Template {
    /// Where the file belongs on a node.
    #[must_use]
    pub fn target(&self) -> &'static str {
        self.path.find('/').and_then(|slash| self.path.get(slash..)).unwrap_or(self.path)
    }

    /// The file's text, with `values` (a struct or a JSON object) filled in.
    ///
    /// # Errors
    /// [`Kind::Bug`] when the template asks for a value that is not there.
    pub fn render(&self, values: &impl Serialize) -> Result<String> {
        let bug = |e: tera::Error| {
            Error::new(Kind::Bug, format!("template {}: {}", self.path, e.to_string().trim()))
        };
        let mut tera = Tera::default();
        tera.autoescape_on(Vec::<&str>::new());
        tera.register_filter("quote", quote);
        tera.add_raw_template(self.path, self.text).map_err(bug)?;
        let context = Context::from_serialize(values).map_err(bug)?;
        let wanted = tera.get_template_variables(self.path).map_err(bug)?;
        // In a condition, Tera takes an unknown name for false.
        if let Some(unknown) = wanted.iter().find(|name| !context.contains_key(name)) {
            let message = format!("template {}: no value for `{unknown}`", self.path);
            return Err(Error::new(Kind::Bug, message));
        }
        tera.render(self.path, &context).map_err(bug)
    }
}

/// `text` as a quoted string, with the escapes that JSON, YAML and TOML share.
fn quote(text: &str, _: tera::Kwargs, _: &tera::State<'_>) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_and_files_are_the_same_set() {
        let mut files = Vec::new();
        let mut folders = vec![std::path::PathBuf::from("templates")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { folders.push(path) } else { files.push(path) }
            }
        }
        let mut found: Vec<String> = files
            .iter()
            .map(|path| path.strip_prefix("templates").unwrap().display().to_string())
            .collect();
        let mut known: Vec<String> = ALL.iter().map(|t| t.path.to_owned()).collect();
        found.sort();
        known.sort();
        assert_eq!(found, known);
    }

    #[test]
    fn a_missing_value_is_an_error_even_in_a_condition() {
        let template = Template { path: "x/y", text: "{% if typo %}a{% endif %}" };
        assert!(template.render(&serde_json::json!({})).is_err());
    }

    #[test]
    fn containerd_config_reads_back() {
        let values = serde_json::json!({
            "sandbox_image": "registry.k8s.io/pause:3.10.2\" x",
            "restrict_oom_score_adj": true,
        });
        let text = CONTAINERD.render(&values).unwrap();
        let config: toml::Table = text.parse().unwrap();
        let pinned = &config["plugins"]["io.containerd.cri.v1.images"]["pinned_images"]["sandbox"];
        assert_eq!(pinned.as_str(), Some("registry.k8s.io/pause:3.10.2\" x"));
    }
}
