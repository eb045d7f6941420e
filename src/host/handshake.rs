//! The SSH handshake: what is offered and accepted, who the machine must be, and why there is no
//! connection.

use std::time::Duration;

use russh::keys::PublicKeyOrCertificate;
use russh::{Names, Preferred, cipher, client, compression, kex};

use super::known_hosts::{HostKeys, UnknownKey, Verdict};
use crate::cluster::Ssh;
use crate::diagnostic::{Error, Kind, Result, printable};

/// Key exchange: none with SHA-1 or small groups. The last two are signals, not methods.
const KEX: &[kex::Name] = &[
    kex::MLKEM768X25519_SHA256,
    kex::CURVE25519,
    kex::CURVE25519_PRE_RFC_8731,
    kex::ECDH_SHA2_NISTP256,
    kex::ECDH_SHA2_NISTP384,
    kex::ECDH_SHA2_NISTP521,
    kex::DH_G16_SHA512,
    kex::DH_G18_SHA512,
    kex::EXTENSION_SUPPORT_AS_CLIENT,
    kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT,
];

/// Ciphers: authenticated ones only, the fastest first.
const CIPHERS: &[cipher::Name] =
    &[cipher::AES_256_GCM, cipher::AES_128_GCM, cipher::CHACHA20_POLY1305];

pub(super) fn config(keys: &HostKeys) -> client::Config {
    client::Config {
        preferred: Preferred {
            kex: KEX.into(),
            key: keys.algorithms().into(),
            cipher: CIPHERS.into(),
            compression: (&[compression::NONE]).into(),
            ..Preferred::DEFAULT
        },
        // No `inactivity_timeout`: it would end long commands that print nothing.
        keepalive_interval: Some(Duration::from_secs(2)),
        keepalive_max: 3,
        ..client::Config::default()
    }
}

/// Checks the node's key while russh shakes hands.
pub(super) struct Verifier(pub(super) HostKeys);

/// Why there is no connection.
pub(super) enum Refusal {
    Unreachable(String),
    Unknown(UnknownKey),
    Final(Error),
    Ssh(russh::Error),
}

impl From<russh::Error> for Refusal {
    fn from(e: russh::Error) -> Self {
        Self::Ssh(e)
    }
}

impl std::fmt::Debug for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Refusal")
    }
}

impl client::Handler for Verifier {
    type Error = Refusal;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Refusal> {
        match self.0.judge(&shown.public_key()) {
            Verdict::Trusted => Ok(true),
            Verdict::Unknown(question) => Err(Refusal::Unknown(question)),
            Verdict::Rejected(error) => Err(Refusal::Final(error)),
        }
    }

    /// chacha20-poly1305 is safe from prefix truncation (CVE-2023-48795) only with strict exchange.
    async fn kex_done(
        &mut self,
        _: Option<&[u8]>,
        names: &Names,
        _: &mut client::Session,
    ) -> Result<(), Refusal> {
        if names.cipher == cipher::CHACHA20_POLY1305 && !names.strict_kex() {
            return Err(russh::Error::NoCommonAlgo {
                kind: russh::AlgorithmKind::Cipher,
                ours: vec![cipher::AES_256_GCM.as_ref().to_owned()],
                theirs: vec![names.cipher.as_ref().to_owned()],
            }
            .into());
        }
        Ok(())
    }
}

impl Refusal {
    /// Whether the machine hung up before it said anything.
    pub(super) fn was_dropped(&self) -> bool {
        use std::io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
        match self {
            Self::Ssh(russh::Error::IO(e)) => {
                matches!(e.kind(), ConnectionReset | BrokenPipe | UnexpectedEof)
            }
            // The stream ended before a version line, which sshd does not send to those whom it turns away.
            Self::Ssh(russh::Error::HUP | russh::Error::Disconnect) => true,
            _ => false,
        }
    }

    pub(super) fn explain(self, ssh: &Ssh, node: &str) -> Error {
        let place = format!("`{node}` ({}@{}:{})", ssh.user, ssh.host, ssh.port);
        match self {
            Self::Unreachable(why) => {
                let message = format!("cannot connect to {place}: {why}");
                let hint =
                    format!("does `ssh -p {} {}@{}` work from here?", ssh.port, ssh.user, ssh.host);
                Error::new(Kind::Connection, message).passing().hint(hint)
            }
            Self::Ssh(e) => {
                let e = printable(&e.to_string());
                Error::new(Kind::Connection, format!("cannot connect to {place} by SSH: {e}"))
                    .passing()
            }
            Self::Final(error) => error,
            Self::Unknown(UnknownKey { host, key, fingerprint, note }) => {
                let message = format!("the host key of `{node}` ({host}) is unknown");
                let error = Error::new(Kind::Connection, message)
                    .note(format!("it shows {fingerprint}"))
                    .note(note.unwrap_or_default());
                error.hint(format!(
                    "compare it on the machine (`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub`), \
                     then pin it in the inventory: hostKey: {key}"
                ))
            }
        }
    }
}
