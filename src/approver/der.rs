//! Writes the certificate request of a kubelet again, in the one form that Go's
//! `x509.CreateCertificateRequest` gives it, so that it can be compared with what came.

use x509_parser::certification_request::X509CertificationRequestInfo;
use x509_parser::extensions::GeneralName;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

// Tags (X.690, §8).
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_ID: u8 = 0x06;
const OCTET_STRING: u8 = 0x04;
const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
/// `attributes [0]` of a request (RFC 2986, §4.1).
const ATTRIBUTES: u8 = 0xa0;
/// `dNSName [2]` and `iPAddress [7]` of a `GeneralName` (RFC 5280, §4.2.1.6).
const DNS_NAME: u8 = 0x82;
const IP_ADDRESS: u8 = 0x87;

/// `INTEGER 0`, a request's version.
const VERSION: [u8; 3] = [0x02, 0x01, 0x00];
/// 1.2.840.113549.1.9.14, `extensionRequest` (RFC 2985, §5.4.2).
const EXTENSION_REQUEST: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x0e];
/// 2.5.29.17, `subjectAltName`.
const ALTERNATIVE_NAMES: [u8; 3] = [0x55, 0x1d, 0x11];

/// `CertificationRequestInfo` of the same subject and key that asks for `names`, if there are any, and
/// for nothing else; `None` when a kubelet would not write these. The key is copied: nothing depends on its form.
pub(super) fn request_info(
    info: &X509CertificationRequestInfo<'_>,
    names: &[GeneralName<'_>],
) -> Option<Vec<u8>> {
    let wanted = if names.is_empty() { Vec::new() } else { alternative_names(names)? };
    let attributes = tlv(ATTRIBUTES, &wanted);
    let all =
        [VERSION.to_vec(), subject(&info.subject)?, info.subject_pki.raw.to_vec(), attributes];
    Some(tlv(SEQUENCE, &all.concat()))
}

/// The attribute that asks for `names`.
fn alternative_names(names: &[GeneralName<'_>]) -> Option<Vec<u8>> {
    let extension = [
        tlv(OBJECT_ID, &ALTERNATIVE_NAMES),
        tlv(OCTET_STRING, &tlv(SEQUENCE, &each(names.iter(), general_name)?)),
    ];
    let extensions = tlv(SEQUENCE, &tlv(SEQUENCE, &extension.concat()));
    let attribute = [tlv(OBJECT_ID, &EXTENSION_REQUEST), tlv(SET, &extensions)];
    Some(tlv(SEQUENCE, &attribute.concat()))
}

fn subject(name: &X509Name<'_>) -> Option<Vec<u8>> {
    Some(tlv(SEQUENCE, &each(name.iter_attributes(), attribute)?))
}

/// A part of a subject, in a set of its own.
fn attribute(attribute: &AttributeTypeAndValue<'_>) -> Option<Vec<u8>> {
    let value = attribute.attr_value();
    let tag = u8::try_from(value.tag().0).ok()?;
    if tag != PRINTABLE_STRING && tag != UTF8_STRING {
        return None;
    }
    let pair = [tlv(OBJECT_ID, attribute.attr_type().as_bytes()), tlv(tag, value.data)];
    Some(tlv(SET, &tlv(SEQUENCE, &pair.concat())))
}

fn general_name(name: &GeneralName<'_>) -> Option<Vec<u8>> {
    match name {
        GeneralName::DNSName(name) => Some(tlv(DNS_NAME, name.as_bytes())),
        GeneralName::IPAddress(bytes) => Some(tlv(IP_ADDRESS, bytes)),
        _ => None,
    }
}

fn each<T>(parts: impl Iterator<Item = T>, write: fn(T) -> Option<Vec<u8>>) -> Option<Vec<u8>> {
    parts.map(write).collect::<Option<Vec<_>>>().map(|parts| parts.concat())
}

/// Tag, length and value, the length in as few bytes as can be (X.690, §10.1).
pub(super) fn tlv(tag: u8, value: &[u8]) -> Vec<u8> {
    let length = value.len().to_be_bytes();
    let digits: Vec<u8> = length.into_iter().skip_while(|byte| *byte == 0).collect();
    let length = match digits.as_slice() {
        [] => vec![0],
        [short @ 0..=0x7f] => vec![*short],
        // At most 8 digits, so that the sum fits.
        digits => [&[0x80 | digits.len() as u8], digits].concat(),
    };
    [&[tag], length.as_slice(), value].concat()
}
