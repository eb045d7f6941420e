//! Reading certificates and keys that may come from anywhere.
//!
//! kubeadm checks neither that a key belongs to its certificate nor what the key may be used for
//! (`app/phases/certs/certs.go`), and a cluster that was started so is broken in ways that are hard
//! to read; hence it is checked here.

use std::collections::BTreeSet;
use std::net::IpAddr;

use jiff::Timestamp;
use rcgen::{KeyPair, PublicKeyData as _};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, SubjectPublicKeyInfoDer};
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::{MAX_BYTES, Names, Pair};
use crate::diagnostic::{Error, Kind, Result};
use crate::secret::Secret;

/// A CA certificate, read.
pub(super) struct Authority {
    pub(super) der: CertificateDer<'static>,
    /// The name, as DER.
    pub(super) subject: Vec<u8>,
    pub(super) not_after: OffsetDateTime,
    not_before: OffsetDateTime,
    spki: Vec<u8>,
}

/// Whether an authority can be used now: a valid CA certificate, and the key that belongs to it.
pub(super) fn authority(names: &Names, pair: &Pair) -> Result<()> {
    let found = Authority::parse(&pair.public)
        .and_then(|authority| authority.at(OffsetDateTime::now_utc()))
        .map_err(|e| e.context(format!("`{}`", names.public)))?;
    same_key(names, &found.spki, pair)
}

/// Whether the public key of service accounts belongs to the private one.
pub(super) fn service_account(names: &Names, pair: &Pair) -> Result<()> {
    let public = sized(&pair.public)
        .and_then(|pem| {
            SubjectPublicKeyInfoDer::from_pem_slice(pem)
                .map_err(|_| refused("it is no public key in PEM"))
        })
        .map_err(|e| e.context(format!("`{}`", names.public)))?;
    same_key(names, &public, pair)
}

fn same_key(names: &Names, spki: &[u8], pair: &Pair) -> Result<()> {
    let key = private_key(pair.private.expose())
        .map_err(|e| e.context(format!("`{}`", names.private)))?;
    if key.expose().subject_public_key_info() == spki {
        return Ok(());
    }
    let Names { public, private } = names;
    Err(refused(format!("`{private}` is not the key of `{public}`")))
}

/// When a certificate ends, in PEM or DER.
pub(super) fn end_of(certificate: &[u8]) -> Option<i64> {
    let pem = CertificateDer::from_pem_slice(certificate);
    let der = pem.as_ref().map_or(certificate, AsRef::as_ref);
    let (_, read) = X509Certificate::from_der(der).ok()?;
    Some(read.validity().not_after.timestamp())
}

/// Whom the first certificate of a PEM file names: host names, in small letters, and addresses.
pub(super) fn names_of(pem: &[u8]) -> Option<BTreeSet<String>> {
    let der = CertificateDer::from_pem_slice(pem).ok()?;
    let (_, read) = X509Certificate::from_der(&der).ok()?;
    let names = read.subject_alternative_name().ok()??;
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some(name.to_lowercase()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => Some(IpAddr::from(<[u8; 4]>::try_from(*bytes).ok()?).to_string()),
            _ => Some(IpAddr::from(<[u8; 16]>::try_from(*bytes).ok()?).to_string()),
        },
        _ => None,
    };
    Some(names.value.general_names.iter().filter_map(name).collect())
}

/// The public key of a CA certificate, valid now or not.
pub(super) fn public_key_of(pem: &[u8]) -> Result<Vec<u8>> {
    Authority::parse(pem).map(|authority| authority.spki)
}

impl Authority {
    /// Reads the first certificate of a PEM file; kubeadm takes the first too.
    pub(super) fn parse(pem: &[u8]) -> Result<Self> {
        let der = CertificateDer::from_pem_slice(sized(pem)?)
            .map_err(|_| refused("it is no certificate in PEM"))?;
        let (rest, certificate) = X509Certificate::from_der(&der)
            .map_err(|_| refused("it is no certificate that can be read"))?;
        if !rest.is_empty() {
            return Err(refused("something follows the certificate"));
        }
        let may_sign = match certificate.key_usage() {
            Ok(usage) => usage.is_none_or(|usage| usage.value.key_cert_sign()),
            Err(_) => false,
        };
        if !certificate.is_ca() || !may_sign {
            return Err(refused("it is no CA's certificate"));
        }
        // Names of another form exist, but rcgen cannot write them as an issuer.
        if certificate.subject().iter_rdn().any(|part| part.iter().count() != 1) {
            return Err(refused("its subject has a form that is not supported"));
        }
        let subject = certificate.subject().as_raw().to_vec();
        let spki = certificate.public_key().raw.to_vec();
        let not_after = certificate.validity().not_after.to_datetime();
        let not_before = certificate.validity().not_before.to_datetime();
        Ok(Self { der, subject, not_after, not_before, spki })
    }

    /// Whether it is valid at `time`.
    pub(super) fn at(self, time: OffsetDateTime) -> Result<Self> {
        if self.not_after < time {
            return Err(refused(format!("it has expired: {}", date(self.not_after))));
        }
        if time < self.not_before {
            return Err(refused(format!("it is not valid before {}", date(self.not_before)))
                .hint("check this machine's clock"));
        }
        Ok(self)
    }
}

/// Reads the first private key of a PEM file. RSA from 2048 bits and ECDSA on P-256 or P-384 are
/// what kubeadm takes (`app/util/pkiutil/pki_helpers.go`, `TryLoadKeyFromDisk`).
pub(super) fn private_key(pem: &[u8]) -> Result<Secret<KeyPair>> {
    let der = PrivateKeyDer::from_pem_slice(sized(pem)?)
        .map_err(|_| refused("it is no private key in PEM"))?;
    // Go trusts the label, aws-lc the content: they have to agree.
    let content = PrivateKeyDer::try_from(der.secret_der()).map_err(|_| unreadable())?;
    if std::mem::discriminant(&content) != std::mem::discriminant(&der) {
        return Err(refused("the key has another format than its PEM label says"));
    }
    let key = Secret::new(KeyPair::try_from(&der).map_err(|_| unreadable())?);
    let accepted =
        [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_RSA_SHA256];
    if accepted.contains(&key.expose().algorithm()) { Ok(key) } else { Err(unreadable()) }
}

/// The issuer's name in a certificate, as DER.
pub(super) fn issuer(der: &[u8]) -> Result<Vec<u8>> {
    let (_, certificate) = X509Certificate::from_der(der)
        .map_err(|_| Error::new(Kind::Bug, "a certificate made here cannot be read"))?;
    Ok(certificate.issuer().as_raw().to_vec())
}

fn sized(pem: &[u8]) -> Result<&[u8]> {
    if pem.len() <= MAX_BYTES { Ok(pem) } else { Err(refused("it is too large")) }
}

fn unreadable() -> Error {
    refused("it is no key that kubeadm accepts")
        .hint("RSA from 2048 bits, or ECDSA on P-256 or P-384, not encrypted")
}

fn refused(why: impl Into<String>) -> Error {
    Error::new(Kind::Preflight, why)
}

fn date(time: OffsetDateTime) -> String {
    Timestamp::from_second(time.unix_timestamp())
        .map_or_else(|_| "a date out of range".to_owned(), |time| time.to_string())
}
