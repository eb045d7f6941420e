//! Certificate requests: those that a member makes, and the parsing of those that anybody made.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{
    CertificateSigningRequest, CertificateSigningRequestSpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::{AttributeTypeAndValue, FromDer as _};

use super::{MEMBERS, SIGNER, member_user, request_name};
use crate::error::{Error, Result};

/// The longest request that is parsed, in bytes; a member's is far shorter.
const SIZE_LIMIT: usize = 16 * 1024;

/// The request for a certificate of `cluster` for `key`, as PEM.
///
/// # Errors
/// If the key cannot sign.
pub fn signing_request(cluster: &str, key: &KeyPair) -> Result<String> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, MEMBERS);
    params.distinguished_name.push(DnType::CommonName, member_user(cluster));
    let request = params.serialize_request(key).and_then(|request| request.pem());
    request.map_err(|error| Error::Invalid(format!("signing a certificate request: {error}")))
}

/// The object that carries a request of `cluster` to the hub.
#[must_use]
pub fn request(
    cluster: &str,
    renewal: bool,
    pem: String,
    lifetime: Duration,
) -> CertificateSigningRequest {
    CertificateSigningRequest {
        metadata: ObjectMeta {
            name: Some(request_name(cluster, renewal)),
            ..ObjectMeta::default()
        },
        spec: CertificateSigningRequestSpec {
            expiration_seconds: Some(i32::try_from(lifetime.as_secs()).unwrap_or(i32::MAX)),
            request: ByteString(pem.into_bytes()),
            signer_name: SIGNER.to_owned(),
            usages: Some(vec!["client auth".to_owned()]),
            ..CertificateSigningRequestSpec::default()
        },
        status: None,
    }
}

/// What a request asks for; its signature has proved that whoever made it has the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParsedRequest {
    /// The common names.
    pub common_names: Vec<String>,
    /// The organisations.
    pub organizations: Vec<String>,
    /// Whether it asks for anything else: other names, addresses, extensions.
    pub extras: bool,
}

impl ParsedRequest {
    /// Parses a request as PEM, which anybody may have written.
    ///
    /// # Errors
    /// If it is no request, too long, or not signed by the key that it names.
    pub fn parse(pem: &[u8]) -> Result<Self> {
        with_request(pem, |request| {
            request
                .verify_signature()
                .map_err(|_| invalid("its signature does not fit its key"))?;
            let info = &request.certification_request_info;
            let texts = |all: Vec<&AttributeTypeAndValue<'_>>| {
                let texts = all.into_iter().map(|one| one.as_str().map(str::to_owned));
                texts.collect::<Result<Vec<_>, _>>()
            };
            let common_names = texts(info.subject.iter_common_name().collect());
            let organizations = texts(info.subject.iter_organization().collect());
            let (Ok(common_names), Ok(organizations)) = (common_names, organizations) else {
                return Err(invalid("its subject is not text"));
            };
            let names = common_names.len().saturating_add(organizations.len());
            let extensions =
                request.requested_extensions().is_some_and(|mut all| all.next().is_some());
            let extras = extensions || info.subject.iter_attributes().count() != names;
            Ok(Self { common_names, organizations, extras })
        })
    }
}

/// The public key that a request is for, as DER.
///
/// # Errors
/// If it is no request.
pub fn key_of(pem: &[u8]) -> Result<Vec<u8>> {
    with_request(pem, |request| Ok(request.certification_request_info.subject_pki.raw.to_vec()))
}

fn with_request<T>(
    pem: &[u8],
    read: impl FnOnce(&X509CertificationRequest<'_>) -> Result<T>,
) -> Result<T> {
    if pem.len() > SIZE_LIMIT {
        return Err(invalid("it is too long"));
    }
    let der = block(pem).ok_or_else(|| invalid("it is not one PEM block and nothing else"))?;
    let (rest, request) = X509CertificationRequest::from_der(&der)
        .map_err(|_| invalid("it is no certificate request"))?;
    if !rest.is_empty() {
        return Err(invalid("something follows it"));
    }
    read(&request)
}

/// The content of a text that is one PEM block and nothing else. Not parsed by a PEM library: libraries
/// skip what they do not understand, each in its own way, and the signer uses another library.
fn block(pem: &[u8]) -> Option<Vec<u8>> {
    let body = std::str::from_utf8(pem)
        .ok()?
        .strip_prefix("-----BEGIN CERTIFICATE REQUEST-----\n")?
        .strip_suffix("\n-----END CERTIFICATE REQUEST-----\n")?;
    BASE64.decode(body.replace('\n', "")).ok()
}

fn invalid(why: &str) -> Error {
    Error::Invalid(format!("the certificate request cannot be read: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> KeyPair {
        KeyPair::generate().unwrap()
    }

    #[test]
    fn a_members_request_is_read_as_it_was_meant() {
        let key = key();
        let pem = signing_request("east-1", &key).unwrap();
        let parsed = ParsedRequest::parse(pem.as_bytes()).unwrap();
        assert_eq!(parsed.common_names, ["mcp:cluster:east-1:agent"]);
        assert_eq!(parsed.organizations, ["mcp:clusters"]);
        assert!(!parsed.extras);
        use rcgen::PublicKeyData as _;
        assert_eq!(key_of(pem.as_bytes()).unwrap(), key.subject_public_key_info());
    }

    #[test]
    fn a_second_block_for_another_reader_is_refused() {
        let (own, other) = (signing_request("east-1", &key()), signing_request("west", &key()));
        let (own, other) = (own.unwrap(), other.unwrap());
        let label = "CERTIFICATE REQUEST";
        // Whoever asks that labels agree skips the first block; whoever does not takes it.
        let odd_end = own.replace(&format!("END {label}"), "END X");
        let odd_begin = own.replace(&format!("BEGIN {label}"), "BEGIN X");
        let header = own.replacen("-----\n", "-----\nKey: value\n\n", 1);
        for pem in [
            format!("{own}{other}"),
            format!("{odd_end}{other}"),
            format!("{odd_begin}{other}"),
            format!("{other}{odd_end}"),
            format!("before\n{own}"),
            format!("{own}after\n"),
            header,
        ] {
            assert!(ParsedRequest::parse(pem.as_bytes()).is_err(), "{pem}");
            assert!(key_of(pem.as_bytes()).is_err(), "{pem}");
        }
        assert!(ParsedRequest::parse(own.as_bytes()).is_ok());
    }

    #[test]
    fn more_than_a_name_is_seen() {
        let mut params = CertificateParams::new(vec!["api.example.com".to_owned()]).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "system:masters");
        params.distinguished_name.push(DnType::CommonName, "x");
        params.distinguished_name.push(DnType::LocalityName, "y");
        let pem = params.serialize_request(&key()).unwrap().pem().unwrap();
        let parsed = ParsedRequest::parse(pem.as_bytes()).unwrap();
        assert!(parsed.extras);
        assert_eq!(parsed.organizations, ["system:masters"]);
    }

    #[test]
    fn names_of_requests_lead_back_to_their_cluster() {
        use crate::access::request_cluster;
        for name in ["a", "a-bootstrap", "renewal"] {
            assert_eq!(request_cluster(&request_name(name, false)), Some(name));
            assert_eq!(request_cluster(&request_name(name, true)), Some(name));
        }
        assert_eq!(request_cluster("csr-abc"), None);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>, text: String) {
            let _ = ParsedRequest::parse(&bytes);
            let _ = ParsedRequest::parse(text.as_bytes());
            let pem = format!("-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n",
                base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &bytes));
            let _ = ParsedRequest::parse(pem.as_bytes());
        }
    }
}
