//! The keys that every control plane of a cluster shares, and what is signed with them here.
//!
//! kubeadm makes what is missing under `/etc/kubernetes/pki`; a cluster needs eight files to be the
//! same on all control planes: three certificate authorities and the key of service accounts
//! (kubeadm, `cmd/kubeadm/app/phases/certs/certs.go`, `SharedCertificateExists`). slipway makes
//! these eight, and kubeadm every certificate below them, since those differ between nodes.
//!
//! Where keys rest is [`crate::state`]'s business, and how they reach a node the steps'.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use rcgen::{ExtendedKeyUsagePurpose, SanType};

use crate::diagnostic::{Error, Kind, Result};
use crate::secret::Secret;

mod check;
mod identity;
mod issue;
mod kubeconfig;
#[cfg(test)]
mod tests;

pub use identity::Identity;
pub use issue::Leaf;

/// The shared files, relative to `/etc/kubernetes/pki`: the public one of a pair, then its key.
/// Names from kubeadm's `app/constants/constants.go`.
const CA: Names = Names { public: "ca.crt", private: "ca.key" };
const FRONT_PROXY: Names = Names { public: "front-proxy-ca.crt", private: "front-proxy-ca.key" };
const ETCD: Names = Names { public: "etcd/ca.crt", private: "etcd/ca.key" };
const SERVICE_ACCOUNT: Names = Names { public: "sa.pub", private: "sa.key" };

/// Names of all eight files, relative to `/etc/kubernetes/pki`.
pub const FILES: [&str; 8] = [
    CA.public,
    CA.private,
    FRONT_PROXY.public,
    FRONT_PROXY.private,
    ETCD.public,
    ETCD.private,
    SERVICE_ACCOUNT.public,
    SERVICE_ACCOUNT.private,
];

/// No file of these is larger; what is, was not made by anyone's PKI.
const MAX_BYTES: usize = 64 * 1024;

/// The keys of a cluster: whoever has them is its administrator.
#[derive(Debug, Clone)]
pub struct Pki {
    ca: Pair,
    front_proxy: Pair,
    etcd: Pair,
    service_account: Pair,
    identity: Identity,
}

/// One of the shared files.
#[derive(Debug, Clone)]
pub struct PkiFile {
    /// Where it belongs, relative to `/etc/kubernetes/pki`.
    pub name: &'static str,
    /// What is in it.
    pub content: Content,
}

/// What is in a shared file: PEM, byte for byte as it was made.
#[derive(Clone)]
pub enum Content {
    /// A certificate or public key.
    Public(Vec<u8>),
    /// A private key.
    Secret(Secret<Vec<u8>>),
}

/// A certificate or public key, and its private key; both PEM.
#[derive(Clone)]
struct Pair {
    public: Vec<u8>,
    private: Secret<Vec<u8>>,
}

struct Names {
    public: &'static str,
    private: &'static str,
}

impl Pki {
    /// New keys for a new cluster.
    ///
    /// # Errors
    /// [`Kind::Bug`]; only a machine without random numbers would see it.
    pub fn generate() -> Result<Self> {
        // Names as in kubeadm's `app/phases/certs/certlist.go`.
        Self::new(
            issue::authority("kubernetes")?,
            issue::authority("front-proxy-ca")?,
            issue::authority("etcd-ca")?,
            issue::service_account()?,
        )
    }

    /// Keys made earlier, here or elsewhere: `get` gives each file of [`FILES`]. They may come from
    /// a node and are not trusted: everything is checked that kubeadm would trip over, or would
    /// not notice although the cluster breaks by it.
    ///
    /// # Errors
    /// [`Kind::Preflight`] when a file is missing, is no usable certificate or key, or has expired,
    /// or when the files of a pair do not belong together.
    pub fn from_files(get: impl Fn(&str) -> Option<Vec<u8>>) -> Result<Self> {
        let mut missing = Vec::new();
        let mut take = |name| {
            get(name).unwrap_or_else(|| {
                missing.push(format!("`{name}`"));
                Vec::new()
            })
        };
        let mut pair = |names: &Names| Pair {
            public: take(names.public),
            private: Secret::new(take(names.private)),
        };
        let (ca, front_proxy, etcd, service_account) =
            (pair(&CA), pair(&FRONT_PROXY), pair(&ETCD), pair(&SERVICE_ACCOUNT));
        if !missing.is_empty() {
            let names = missing.join(", ");
            return Err(Error::new(
                Kind::Preflight,
                format!("the cluster's keys are incomplete: {names} missing"),
            ));
        }
        for (names, authority) in [(&CA, &ca), (&FRONT_PROXY, &front_proxy), (&ETCD, &etcd)] {
            check::authority(names, authority)?;
        }
        check::service_account(&SERVICE_ACCOUNT, &service_account)?;
        Self::new(ca, front_proxy, etcd, service_account)
    }

    fn new(ca: Pair, front_proxy: Pair, etcd: Pair, service_account: Pair) -> Result<Self> {
        let identity = identity_of(&ca.public)?;
        Ok(Self { ca, front_proxy, etcd, service_account, identity })
    }

    /// The eight files, in the order of [`FILES`].
    #[must_use]
    pub fn files(&self) -> Vec<PkiFile> {
        let pairs = [
            (CA, &self.ca),
            (FRONT_PROXY, &self.front_proxy),
            (ETCD, &self.etcd),
            (SERVICE_ACCOUNT, &self.service_account),
        ];
        pairs.into_iter().flat_map(|(names, pair)| pair.files(&names)).collect()
    }

    /// Which cluster these keys belong to.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.identity.clone()
    }

    /// The certificate of the cluster's CA, PEM.
    #[must_use]
    pub fn ca_pem(&self) -> &[u8] {
        &self.ca.public
    }

    /// A kubeconfig for the cluster's administrator, with a new key: the same rights as kubeadm's
    /// `admin.conf`. `cluster` names its cluster, user and context; `server` is the API's URL,
    /// `https://host:port`.
    ///
    /// # Errors
    /// [`Kind::Preflight`] when the CA, made elsewhere, cannot sign.
    pub fn kubeconfig(&self, cluster: &str, server: &str) -> Result<Secret<String>> {
        let admin = issue::leaf(
            &self.ca,
            &issue::Profile {
                // kubeadm's `app/phases/kubeconfig/kubeconfig.go` and `app/constants`.
                common_name: "kubernetes-admin",
                organization: Some("kubeadm:cluster-admins"),
                alternative_names: Vec::new(),
                purpose: ExtendedKeyUsagePurpose::ClientAuth,
            },
        )?;
        kubeconfig::render(cluster, server, &self.ca.public, &admin)
    }

    /// A server certificate for something that runs in the cluster, which clients that trust the
    /// cluster's CA will believe. The first name becomes the common name.
    ///
    /// # Errors
    /// [`Kind::Bug`] when there is no name or one is not ASCII; [`Kind::Preflight`] when the CA,
    /// made elsewhere, cannot sign.
    pub fn serving_certificate(&self, names: &[String], ips: &[IpAddr]) -> Result<Leaf> {
        let common_name = names
            .first()
            .ok_or_else(|| Error::new(Kind::Bug, "a server certificate needs a name"))?;
        let dns = names.iter().map(|name| Ok(SanType::DnsName(name.as_str().try_into()?)));
        let ips = ips.iter().map(|ip| Ok(SanType::IpAddress(*ip)));
        let alternative_names =
            dns.chain(ips).collect::<Result<_, rcgen::Error>>().map_err(issue::failed)?;
        issue::leaf(
            &self.ca,
            &issue::Profile {
                common_name,
                organization: None,
                alternative_names,
                purpose: ExtendedKeyUsagePurpose::ServerAuth,
            },
        )
    }
}

/// The identity of the cluster whose CA certificate this is; read from a node, say, so whatever it
/// is. Expiry does not matter: an expired cluster keeps its name.
///
/// # Errors
/// [`Kind::Preflight`] when it is no CA certificate.
pub fn identity_of(ca_pem: &[u8]) -> Result<Identity> {
    check::public_key_of(ca_pem)
        .map(|spki| Identity::of(&spki))
        .map_err(|e| e.context(format!("`{}`", CA.public)))
}

/// When a certificate ends, in seconds since the epoch: the first one of a PEM file, or one in DER.
/// Nothing where it is none.
#[must_use]
pub fn end_of(certificate: &[u8]) -> Option<i64> {
    check::end_of(certificate)
}

/// Whom the first certificate of a PEM file names: host names, in small letters, and addresses. Nothing where
/// it is none, or names nobody.
#[must_use]
pub fn names_of(pem: &[u8]) -> BTreeSet<String> {
    check::names_of(pem).unwrap_or_default()
}

impl Pair {
    fn files(&self, names: &Names) -> [PkiFile; 2] {
        [
            PkiFile { name: names.public, content: Content::Public(self.public.clone()) },
            PkiFile { name: names.private, content: Content::Secret(self.private.clone()) },
        ]
    }
}

impl Content {
    /// The bytes, secret or not: for a file, never for a message.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        match self {
            Self::Public(bytes) => bytes,
            Self::Secret(bytes) => bytes.expose(),
        }
    }

    /// The file's permissions, as kubeadm sets them.
    #[must_use]
    pub fn mode(&self) -> u32 {
        match self {
            Self::Public(_) => 0o644,
            Self::Secret(_) => 0o600,
        }
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Public(bytes) => write!(f, "{} public bytes", bytes.len()),
            Self::Secret(_) => f.write_str("***"),
        }
    }
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
