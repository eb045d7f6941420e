//! The rules by which requests are approved: [`client`] has the one for a kubelet's
//! first client certificate, here is the one for its serving certificates.
//!
//! The signer's own rules (Kubernetes, *Certificates and Certificate Signing Requests*, "Kubernetes
//! signers", and `ValidateKubeletServingCSR` in `pkg/apis/certificates/helpers.go`) look at the
//! form only: a node could ask for another one's name and address. So beyond them a request must
//! come from the node that it names, and name nothing but that node's own name and addresses.

use std::net::IpAddr;

use x509_parser::certification_request::X509CertificationRequestInfo;
use x509_parser::cri_attributes::ParsedCriAttribute;
use x509_parser::extensions::{GeneralName, ParsedExtension};

use super::Nodes;
use super::client::{self, Join};
use super::request::{
    Csr, GROUP, Spec, USER_PREFIX, check_form, check_subject, check_usages, decode, read,
};

/// The signer of serving certificates.
const SIGNER: &str = "kubernetes.io/kubelet-serving";

/// The purpose of a serving certificate.
const SERVER_AUTH: &str = "server auth";

/// What to do about a request. Reasons quote the request, so they are shown by
/// [`crate::diagnostic::printable`] only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Approve it.
    Approve,
    /// Approve it, if the cluster says that this node is joining now.
    IfJoining(Join),
    /// Nothing: it is not for us, or was decided already.
    Ignore(String),
    /// Leave it for a person, who should hear of it.
    Refuse(String),
}

/// Judges a request by the table of nodes.
#[must_use]
pub fn judge(request: &Csr, nodes: &Nodes) -> Verdict {
    let signer = request.spec.signer_name.as_str();
    if signer != SIGNER && signer != client::SIGNER {
        return Verdict::Ignore(format!("it is for the signer `{signer}`"));
    }
    // The API knows no other conditions: Approved, Denied, Failed.
    if let Some(condition) = request.status.conditions.first() {
        return Verdict::Ignore(format!("it is {} already", condition.kind));
    }
    if request.status.certificate.as_ref().is_some_and(|certificate| !certificate.is_empty()) {
        return Verdict::Ignore("it is signed already".to_owned());
    }
    let verdict = if signer == client::SIGNER {
        client::check(&request.spec, nodes).map(|join| match join {
            Some(join) => Verdict::IfJoining(join),
            None => Verdict::Ignore("it is a node's renewal, which Kubernetes approves".to_owned()),
        })
    } else {
        check(&request.spec, nodes).map(|()| Verdict::Approve)
    };
    verdict.unwrap_or_else(Verdict::Refuse)
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
    check_usages(usages, SERVER_AUTH)?;
    check_pkcs10(&decode(request)?, username, node, addresses)
}

pub(crate) fn check_pkcs10(
    request: &[u8],
    username: &str,
    node: &str,
    addresses: &[IpAddr],
) -> Result<(), String> {
    check_info(&read(request)?.certification_request_info, username, node, addresses)
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
    check_form(info, names)
}

fn no_names() -> String {
    "it must ask for alternative names, and for nothing else".to_owned()
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
