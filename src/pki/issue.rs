//! Making keys and certificates: ECDSA P-256, PKCS#8, which kubeadm and every Go client read.
//!
//! rcgen's defaults would be wrong here (validity from 1975 to 4096, a serial number that is the
//! same whenever the key is), so everything is set.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use time::{Duration, OffsetDateTime};

use super::{Pair, check};
use crate::diagnostic::{Error, Kind, Result};
use crate::secret::Secret;

/// How long an authority lasts: 87600 h, as kubeadm's `CACertificateValidityPeriod`.
const AUTHORITY_LASTS: Duration = Duration::days(3650);

/// How long a certificate lasts: 8760 h, as kubeadm's `CertificateValidityPeriod`.
const LEAF_LASTS: Duration = Duration::days(365);

/// How far certificates are dated back, for nodes whose clock is behind. kubeadm takes 5 minutes;
/// here keys may be made before time is set on any node.
const BACKDATED: Duration = Duration::hours(1);

/// A certificate that an authority of the cluster signed, with its key; both PEM.
#[derive(Debug, Clone)]
pub struct Leaf {
    /// The certificate.
    pub certificate: Vec<u8>,
    /// Its private key, PKCS#8.
    pub key: Secret<Vec<u8>>,
}

/// What a certificate is for.
pub(super) struct Profile<'a> {
    pub(super) common_name: &'a str,
    pub(super) organization: Option<&'a str>,
    pub(super) alternative_names: Vec<SanType>,
    pub(super) purpose: ExtendedKeyUsagePurpose,
}

/// A new authority. Its name is also its DNS alternative name, as client-go's
/// `NewSelfSignedCACert` has it.
pub(super) fn authority(common_name: &str) -> Result<Pair> {
    let key = Secret::new(KeyPair::generate().map_err(failed)?);
    let mut params = params(common_name, None, AUTHORITY_LASTS);
    params.subject_alt_names = vec![SanType::DnsName(common_name.try_into().map_err(failed)?)];
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyEncipherment,
        KeyUsagePurpose::KeyCertSign,
    ];
    let certificate = params.self_signed(key.expose()).map_err(failed)?;
    Ok(Pair { public: certificate.pem().into_bytes(), private: pem(&key) })
}

/// The key that service account tokens are signed with; it has no certificate.
pub(super) fn service_account() -> Result<Pair> {
    let key = Secret::new(KeyPair::generate().map_err(failed)?);
    Ok(Pair { public: key.expose().public_key_pem().into_bytes(), private: pem(&key) })
}

/// A certificate signed by `ca`, with a new key. It never outlives its authority.
pub(super) fn leaf(ca: &Pair, profile: &Profile<'_>) -> Result<Leaf> {
    let authority = check::Authority::parse(&ca.public)?;
    let ca_key = check::private_key(ca.private.expose())?;
    let issuer = Issuer::from_ca_cert_der(&authority.der, ca_key.expose()).map_err(cannot_sign)?;
    let key = Secret::new(KeyPair::generate().map_err(failed)?);
    let mut params = params(profile.common_name, profile.organization, LEAF_LASTS);
    params.not_after = params.not_after.min(authority.not_after);
    params.subject_alt_names.clone_from(&profile.alternative_names);
    params.is_ca = IsCa::ExplicitNoCa;
    params.use_authority_key_identifier_extension = true;
    // No key encipherment: an ECDSA key cannot.
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![profile.purpose.clone()];
    let certificate = params.signed_by(key.expose(), &issuer).map_err(cannot_sign)?;
    // The issuer's name was written anew: with an unusual one from elsewhere it might not match.
    if check::issuer(certificate.der())? != authority.subject {
        return Err(cannot_sign("its subject has a form that cannot be reproduced"));
    }
    Ok(Leaf { certificate: certificate.pem().into_bytes(), key: pem(&key) })
}

fn params(common_name: &str, organization: Option<&str>, lasts: Duration) -> CertificateParams {
    let mut name = DistinguishedName::new();
    if let Some(organization) = organization {
        name.push(DnType::OrganizationName, organization);
    }
    name.push(DnType::CommonName, common_name);
    let now = OffsetDateTime::now_utc();
    let mut params = CertificateParams::default();
    params.distinguished_name = name;
    params.not_before = now - BACKDATED;
    params.not_after = now + lasts;
    params.serial_number = Some(serial());
    params
}

/// Random, positive, and always 16 bytes long.
fn serial() -> SerialNumber {
    let number: u128 = (rand::random::<u128>() >> 1) | (1 << 126);
    SerialNumber::from(number.to_be_bytes().to_vec())
}

fn pem(key: &Secret<KeyPair>) -> Secret<Vec<u8>> {
    Secret::new(key.expose().serialize_pem().into_bytes())
}

pub(super) fn failed(e: rcgen::Error) -> Error {
    Error::new(Kind::Bug, format!("cannot make a certificate: {e}"))
}

fn cannot_sign(e: impl std::fmt::Display) -> Error {
    Error::new(Kind::Preflight, format!("the cluster's CA cannot sign: {e}"))
}
