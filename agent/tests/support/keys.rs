//! The keys of one control plane, made for one test run, and tokens made from them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as URL;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SigningKey as _,
};
use serde_json::{Value, json};

pub struct Keys {
    pub ca: String,
    pub ca_key: String,
    pub server: (String, String),
    pub admin: (String, String),
    /// Signs ServiceAccount tokens.
    pub accounts: KeyPair,
}

impl Keys {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "test-ca");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let ca = params.self_signed(&key).unwrap().pem();
        let ca_key = key.serialize_pem();
        let issuer = Issuer::new(params, key);
        let issue = |name: &str, organization: Option<&str>, hosts: &[&str], usage| {
            let key = KeyPair::generate().unwrap();
            let hosts = hosts.iter().map(|host| (*host).to_owned()).collect::<Vec<_>>();
            let mut params = CertificateParams::new(hosts).unwrap();
            params.distinguished_name.push(DnType::CommonName, name);
            if let Some(organization) = organization {
                params.distinguished_name.push(DnType::OrganizationName, organization);
            }
            params.extended_key_usages = vec![usage];
            params.not_after = rcgen::date_time_ymd(2040, 1, 1);
            (params.signed_by(&key, &issuer).unwrap().pem(), key.serialize_pem())
        };
        Self {
            server: issue(
                "kube-apiserver",
                None,
                &["127.0.0.1", "localhost"],
                ExtendedKeyUsagePurpose::ServerAuth,
            ),
            admin: issue("admin", Some("system:masters"), &[], ExtendedKeyUsagePurpose::ClientAuth),
            accounts: KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap(),
            ca,
            ca_key,
        }
    }

    /// A ServiceAccount's token, as the API server itself would have signed it.
    pub fn token(&self, claims: &Value) -> String {
        let head = json!({ "alg": "RS256", "typ": "JWT" });
        let text = format!("{}.{}", URL.encode(head.to_string()), URL.encode(claims.to_string()));
        let signature = self.accounts.sign(text.as_bytes()).unwrap();
        format!("{text}.{}", URL.encode(signature))
    }
}

/// The claims of a token.
pub fn claims(token: &str) -> Value {
    let body = token.split('.').nth(1).expect("a token has three parts");
    serde_json::from_slice(&URL.decode(body).expect("base64")).expect("JSON")
}
