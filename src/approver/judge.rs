//! The rule by which a request is approved.
//!
//! The signer's own rules (Kubernetes, *Certificates and Certificate Signing Requests*, "Kubernetes
//! signers", and `ValidateKubeletServingCSR` in `pkg/apis/certificates/helpers.go`) look at the
//! form only: a node could ask for another one's name and address. So beyond them a request must
//! come from the node that it names, and name nothing but that node's own name and addresses.
//!
//! Whoever files a request chooses every byte of it, and two parsers, this one and the signer's,
//! might read it differently. So what was read is written again ([`der`]) and has to be the same:
//! a kubelet's requests have one simple form.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use x509_parser::certification_request::{X509CertificationRequest, X509CertificationRequestInfo};
use x509_parser::cri_attributes::ParsedCriAttribute;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

use super::{Nodes, der};

/// The signer whose requests are judged.
pub(super) const SIGNER: &str = "kubernetes.io/kubelet-serving";

/// User names and group of kubelets (Kubernetes, *Using Node Authorization*).
const USER_PREFIX: &str = "system:node:";
const GROUP: &str = "system:nodes";

/// What a serving certificate may be used for; the last is required.
const USAGES: [&str; 3] = ["digital signature", "key encipherment", SERVER_AUTH];
const SERVER_AUTH: &str = "server auth";

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
    /// Who shall sign it.
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

/// What to do about a request. Reasons quote the request, so they are shown by
/// [`crate::diagnostic::printable`] only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Approve it.
    Approve,
    /// Nothing: it is not for us, or was decided already.
    Ignore(String),
    /// Leave it for a person, who should hear of it.
    Refuse(String),
}

/// Judges a request by the table of nodes.
#[must_use]
pub fn judge(request: &Csr, nodes: &Nodes) -> Verdict {
    if request.spec.signer_name != SIGNER {
        return Verdict::Ignore(format!("it is for the signer `{}`", request.spec.signer_name));
    }
    // The API knows no other conditions: Approved, Denied, Failed.
    if let Some(condition) = request.status.conditions.first() {
        return Verdict::Ignore(format!("it is {} already", condition.kind));
    }
    if request.status.certificate.as_ref().is_some_and(|certificate| !certificate.is_empty()) {
        return Verdict::Ignore("it is signed already".to_owned());
    }
    match check(&request.spec, nodes) {
        Ok(()) => Verdict::Approve,
        Err(why) => Verdict::Refuse(why),
    }
}

fn check(spec: &Spec, nodes: &Nodes) -> Result<(), String> {
    let Spec { username, groups, usages, request, .. } = spec;
    let Some(node) = username.strip_prefix(USER_PREFIX) else {
        return Err(format!("`{username}` is no node"));
    };
    if !groups.iter().any(|group| group == GROUP) {
        return Err(format!("`{username}` is not in the group `{GROUP}`"));
    }
    let Some(addresses) = nodes.get(node) else {
        return Err(format!("`{node}` is not in the table of nodes"));
    };
    if let Some(other) = usages.iter().find(|usage| !USAGES.contains(&usage.as_str())) {
        return Err(format!("a kubelet does not need the usage `{other}`"));
    }
    if !usages.iter().any(|usage| usage == SERVER_AUTH) {
        return Err(format!("the usage `{SERVER_AUTH}` is missing"));
    }
    let der = decode(request).ok_or("it holds no PEM of one certificate request")?;
    check_pkcs10(&der, username, node, addresses)
}

/// One PEM block and nothing else, in base64. Not read by a PEM library: those skip what they do
/// not understand, each in its own way.
fn decode(request: &str) -> Option<Vec<u8>> {
    let pem = String::from_utf8(BASE64.decode(request).ok()?).ok()?;
    let body = pem
        .trim()
        .strip_prefix("-----BEGIN CERTIFICATE REQUEST-----\n")?
        .strip_suffix("\n-----END CERTIFICATE REQUEST-----")?;
    BASE64.decode(body.replace('\n', "")).ok()
}

pub(crate) fn check_pkcs10(
    request: &[u8],
    username: &str,
    node: &str,
    addresses: &[IpAddr],
) -> Result<(), String> {
    let (rest, request) = X509CertificationRequest::from_der(request)
        .map_err(|_| "its certificate request cannot be read".to_owned())?;
    if !rest.is_empty() {
        return Err("something follows its certificate request".to_owned());
    }
    request
        .verify_signature()
        .map_err(|_| "its certificate request is not signed by its own key".to_owned())?;
    check_info(&request.certification_request_info, username, node, addresses)
}

/// Checks what is signed.
pub(crate) fn check_info(
    info: &X509CertificationRequestInfo<'_>,
    username: &str,
    node: &str,
    addresses: &[IpAddr],
) -> Result<(), String> {
    check_subject(&info.subject, username)?;
    let [attribute] = info.attributes() else { return Err(no_names()) };
    let ParsedCriAttribute::ExtensionRequest(wanted) = attribute.parsed_attribute() else {
        return Err(no_names());
    };
    let [extension] = wanted.extensions.as_slice() else { return Err(no_names()) };
    let ParsedExtension::SubjectAlternativeName(names) = extension.parsed_extension() else {
        return Err(no_names());
    };
    let names = &names.general_names;
    if names.is_empty() {
        return Err(no_names());
    }
    names.iter().try_for_each(|name| check_name(name, node, addresses))?;
    if der::request_info(info, names).as_deref() != Some(info.raw) {
        return Err("its certificate request has another form than a kubelet's".to_owned());
    }
    Ok(())
}

fn no_names() -> String {
    "it must ask for alternative names, and for nothing else".to_owned()
}

fn check_subject(subject: &X509Name<'_>, username: &str) -> Result<(), String> {
    let only = |mut found: std::vec::IntoIter<&AttributeTypeAndValue<'_>>| match found.next() {
        Some(value) if found.next().is_none() => value.as_str().ok().map(str::to_owned),
        _ => None,
    };
    let names: Vec<_> = subject.iter_common_name().collect();
    let organizations: Vec<_> = subject.iter_organization().collect();
    if only(names.into_iter()).as_deref() != Some(username) {
        return Err(format!("its common name is not that of who filed it, `{username}`"));
    }
    if only(organizations.into_iter()).as_deref() != Some(GROUP) {
        return Err(format!("its organization is not `{GROUP}`"));
    }
    if subject.iter_attributes().count() != 2 {
        return Err("its subject says more than name and organization".to_owned());
    }
    Ok(())
}

fn check_name(name: &GeneralName<'_>, node: &str, addresses: &[IpAddr]) -> Result<(), String> {
    match name {
        GeneralName::DNSName(dns) if *dns == node => Ok(()),
        GeneralName::DNSName(dns) => Err(format!("`{dns}` is not the name of `{node}`")),
        GeneralName::IPAddress(bytes) => {
            let address = <[u8; 4]>::try_from(*bytes)
                .map(IpAddr::from)
                .or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from))
                .map_err(|_| "an address in it has no valid length".to_owned())?;
            if addresses.contains(&address) {
                Ok(())
            } else {
                Err(format!("{address} is not an address of `{node}`"))
            }
        }
        _ => Err("it names something else than hosts and addresses".to_owned()),
    }
}
