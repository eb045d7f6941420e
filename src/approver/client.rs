//! The rule for a kubelet's first client certificate, which makes a machine a node.
//!
//! Kubernetes can be told to approve such a request of everybody who has a bootstrap token (kubeadm's
//! binding [`AUTO_APPROVAL`]); then whoever has seen the token can become any node, control planes
//! included. So that binding is removed, and a request is approved here only if it names a node of the
//! table that is joining now. The token's own object lists the joining nodes, so the list ends with the
//! token. A node that is a member has a kubelet that reports; no other machine can become that node.
//!
//! No rule can know which machine asks: until a joining node has its certificate, a holder of the token
//! can be faster. The node's own join fails then.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::Nodes;
use super::request::{Spec, USER_PREFIX, check_form, check_subject, check_usages, decode, read};

/// The signer of kubelets' client certificates.
pub(super) const SIGNER: &str = "kubernetes.io/kube-apiserver-client-kubelet";

/// The ClusterRoleBinding by which kube-controller-manager approves the request of everybody who has a
/// bootstrap token (kubeadm, phase `bootstrap-token`). It must not be there.
pub const AUTO_APPROVAL: &str = "kubeadm:node-autoapprove-bootstrap";

/// How the description of a bootstrap token of slipway's begins; names of nodes follow.
pub const JOINS_OF: &str = "slipway: joins of ";

/// User names of bootstrap tokens (Kubernetes, *Authenticating with Bootstrap Tokens*).
const TOKEN_PREFIX: &str = "system:bootstrap:";
/// The purpose of a client certificate.
const CLIENT_AUTH: &str = "client auth";

/// Who asks to become which node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Join {
    /// The node's name, one of the table.
    pub node: String,
    /// The id of the bootstrap token that it was asked with: six letters and digits.
    pub token: String,
}

/// Judges a request by itself: what it asks for, and by whose name. `None` for a node's renewal, which
/// Kubernetes approves.
pub(super) fn check(spec: &Spec, nodes: &Nodes) -> Result<Option<Join>, String> {
    let Spec { username, usages, request, .. } = spec;
    if username.starts_with(USER_PREFIX) {
        return Ok(None);
    }
    let token = username.strip_prefix(TOKEN_PREFIX).filter(|id| is_token_id(id));
    let token = token.ok_or_else(|| format!("`{username}` is no bootstrap token"))?;
    check_usages(usages, CLIENT_AUTH)?;
    let der = decode(request)?;
    let request = read(&der)?;
    let info = &request.certification_request_info;
    let name = info.subject.iter_common_name().next().and_then(|name| name.as_str().ok());
    let name = name.unwrap_or_default();
    let node = name.strip_prefix(USER_PREFIX).ok_or_else(|| format!("`{name}` is no node"))?;
    check_subject(&info.subject, name)?;
    check_form(info, &[])?;
    if !nodes.contains_key(node) {
        return Err(format!("`{node}` is not in the table of nodes"));
    }
    Ok(Some(Join { node: node.to_owned(), token: token.to_owned() }))
}

fn is_token_id(id: &str) -> bool {
    id.len() == 6 && id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

impl Join {
    /// Whether the token is slipway's own for joins of this node; `description` is what its Secret
    /// holds, in base64, or nothing.
    pub(super) fn is_expected(&self, description: &str) -> Result<(), String> {
        let text = BASE64.decode(description.trim()).ok().and_then(|b| String::from_utf8(b).ok());
        let text = text.unwrap_or_default();
        let Some(names) = text.strip_prefix(JOINS_OF) else {
            return Err(format!("the bootstrap token `{}` is none of slipway's", self.token));
        };
        if names.split(' ').any(|name| name == self.node) {
            return Ok(());
        }
        Err(format!("`{}` is not joining now", self.node))
    }

    /// Whether no kubelet lives under that name; `ready` is the status of the Node's condition
    /// `Ready`, or nothing.
    pub(super) fn is_free(&self, ready: &str) -> Result<(), String> {
        if ready.trim() == "True" {
            return Err(format!("`{}` is a member, and its kubelet reports", self.node));
        }
        Ok(())
    }
}
