//! Whether a certificate request was made by its cluster itself, and is allowed now.

use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::ResourceExt as _;

use crate::access::{self, MEMBERS, ParsedRequest, SIGNER};
use crate::api::{BOOTSTRAP_USED, ClusterRegistration};

/// How a request is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Approved: the cluster's first request, which uses up its bootstrap credential.
    First,
    /// Approved: a member renews its certificate.
    Renewal,
    /// Denied, for this reason.
    Deny(String),
}

/// The longest certificate, in seconds: a year.
const LONGEST_SECONDS: i32 = 31_536_000;

/// Judges a request that has the name of a request of `registration`.
#[must_use]
pub fn judge(request: &CertificateSigningRequest, registration: &ClusterRegistration) -> Verdict {
    match refusal(request, registration) {
        Some(why) => Verdict::Deny(why),
        None if request.name_any() == access::request_name(&registration.name_any(), true) => {
            Verdict::Renewal
        }
        None => Verdict::First,
    }
}

fn refusal(
    request: &CertificateSigningRequest,
    registration: &ClusterRegistration,
) -> Option<String> {
    let (cluster, spec) = (registration.name_any(), &request.spec);
    let user = spec.username.as_deref().unwrap_or_default();
    let renewal = request.name_any() == access::request_name(&cluster, true);
    let users = if renewal {
        vec![access::member_user(&cluster), access::token_user(&cluster)]
    } else {
        vec![access::bootstrap_user(&cluster)]
    };
    if !users.iter().any(|one| one == user) {
        return Some(format!("asked by {user:?}, not by {}", users.join(" or ")));
    }
    if registration.is_being_deleted() {
        return Some("the registration is being deleted".to_owned());
    }
    if !registration.spec.accepted {
        return Some("the registration is not accepted".to_owned());
    }
    let used = registration.annotations().get(BOOTSTRAP_USED);
    if !renewal && used.is_some_and(|used| Some(used) != request.metadata.uid.as_ref()) {
        return Some("the bootstrap credential has been used already".to_owned());
    }
    if spec.signer_name != SIGNER {
        return Some(format!("the signer is {:?}, not {SIGNER}", spec.signer_name));
    }
    if spec.usages.as_deref() != Some(&["client auth".to_owned()]) {
        return Some("usages are not `client auth` alone".to_owned());
    }
    if !spec.expiration_seconds.is_some_and(|seconds| (600..=LONGEST_SECONDS).contains(&seconds)) {
        return Some("expirationSeconds is not from 600 to 31536000".to_owned());
    }
    let parsed = match ParsedRequest::parse(&spec.request.0) {
        Ok(parsed) => parsed,
        Err(error) => return Some(error.to_string()),
    };
    let own = ParsedRequest {
        common_names: vec![access::member_user(&cluster)],
        organizations: vec![MEMBERS.to_owned()],
        extras: false,
    };
    (parsed != own).then(|| {
        format!("its subject is not O={MEMBERS}, CN={} alone", access::member_user(&cluster))
    })
}

#[cfg(test)]
mod tests;
