//! Certificate requests: their form, and what both rules of approval demand of them.
//!
//! Whoever files a request chooses every byte of it, and two parsers, this one and the signer's,
//! might read it differently. So what was read is written again ([`der`]) and has to be the same:
//! a kubelet's requests have one simple form.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use x509_parser::certification_request::{X509CertificationRequest, X509CertificationRequestInfo};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

use super::der;

/// User names and group of kubelets (Kubernetes, *Using Node Authorization*).
pub(super) const USER_PREFIX: &str = "system:node:";
pub(super) const GROUP: &str = "system:nodes";

/// What a kubelet's key may be used for, beside the purpose of its certificate.
const KEY_USAGES: [&str; 2] = ["digital signature", "key encipherment"];

/// A `CertificateSigningRequest` of `certificates.k8s.io/v1`, as far as it matters here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Csr {
    /// Metadata.
    pub metadata: Metadata,
    /// What is requested, and by whom.
    pub spec: Spec,
    /// What was decided.
    pub status: Status,
}

/// Metadata of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Metadata {
    /// The object's name, chosen by who filed it.
    pub name: String,
}

/// What is requested. User and groups are set by the API server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Spec {
    /// The PKCS#10 request: PEM in base64.
    pub request: String,
    /// The signer.
    pub signer_name: String,
    /// Wanted key usages.
    pub usages: Vec<String>,
    /// Who filed it.
    pub username: String,
    /// That user's groups.
    pub groups: Vec<String>,
}

/// What was decided.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Status {
    /// Decisions.
    pub conditions: Vec<Condition>,
    /// The signed certificate.
    pub certificate: Option<String>,
}

/// One decision.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Condition {
    /// `Approved`, `Denied` or `Failed`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// Whether `usages` are a kubelet's: `purpose`, and what its key needs for that.
pub(super) fn check_usages(usages: &[String], purpose: &str) -> Result<(), String> {
    let needed = |usage: &&String| KEY_USAGES.contains(&usage.as_str()) || *usage == purpose;
    if let Some(other) = usages.iter().find(|usage| !needed(usage)) {
        return Err(format!("a kubelet does not need the usage `{other}`"));
    }
    if usages.iter().any(|usage| usage == purpose) {
        return Ok(());
    }
    Err(format!("the usage `{purpose}` is missing"))
}

/// One PEM block and nothing else, in base64. Not read by a PEM library: those skip what they do
/// not understand, each in its own way.
pub(super) fn decode(request: &str) -> Result<Vec<u8>, String> {
    let block = || {
        let pem = String::from_utf8(BASE64.decode(request).ok()?).ok()?;
        let body = pem
            .trim()
            .strip_prefix("-----BEGIN CERTIFICATE REQUEST-----\n")?
            .strip_suffix("\n-----END CERTIFICATE REQUEST-----")?;
        BASE64.decode(body.replace('\n', "")).ok()
    };
    block().ok_or_else(|| "it holds no PEM of one certificate request".to_owned())
}

/// Reads one PKCS#10 request that is signed by its own key.
pub(super) fn read(request: &[u8]) -> Result<X509CertificationRequest<'_>, String> {
    let (rest, request) = X509CertificationRequest::from_der(request)
        .map_err(|_| "its certificate request cannot be read".to_owned())?;
    if !rest.is_empty() {
        return Err("something follows its certificate request".to_owned());
    }
    request
        .verify_signature()
        .map_err(|_| "its certificate request is not signed by its own key".to_owned())?;
    Ok(request)
}

/// Whether the request is written as a kubelet would write it, asking for `names` and nothing else.
pub(super) fn check_form(
    info: &X509CertificationRequestInfo<'_>,
    names: &[GeneralName<'_>],
) -> Result<(), String> {
    if der::request_info(info, names).as_deref() != Some(info.raw) {
        return Err("its certificate request has another form than a kubelet's".to_owned());
    }
    Ok(())
}

/// Whether `subject` is the node whose user name this is, and says nothing else.
pub(super) fn check_subject(subject: &X509Name<'_>, username: &str) -> Result<(), String> {
    let only = |mut found: std::vec::IntoIter<&AttributeTypeAndValue<'_>>| match found.next() {
        Some(value) if found.next().is_none() => value.as_str().ok().map(str::to_owned),
        _ => None,
    };
    let names: Vec<_> = subject.iter_common_name().collect();
    let organizations: Vec<_> = subject.iter_organization().collect();
    if only(names.into_iter()).as_deref() != Some(username) {
        return Err(format!("its common name is not `{username}` alone"));
    }
    if only(organizations.into_iter()).as_deref() != Some(GROUP) {
        return Err(format!("its organization is not `{GROUP}`"));
    }
    if subject.iter_attributes().count() != 2 {
        return Err("its subject says more than name and organization".to_owned());
    }
    Ok(())
}
