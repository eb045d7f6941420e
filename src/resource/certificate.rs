//! The API server's certificate: whom it names.

use std::collections::BTreeSet;
use std::net::SocketAddrV4;
use std::time::Duration;

use super::{Change, Diff, Drift, Resource};
use crate::command::{Cmd, Input, Output};
use crate::diagnostic::Result;
use crate::pki::names_of;
use crate::probe::Probe;

/// The certificate, where kubeadm puts it.
const CERTIFICATE: &str = "/etc/kubernetes/pki/apiserver.crt";

/// The API server's certificate on a control plane names those host names and addresses, and no others.
/// kubeadm issues it anew where it does not.
pub struct ApiServerCertificate {
    /// The names and addresses.
    pub names: BTreeSet<String>,
    /// Where that API server listens.
    pub address: SocketAddrV4,
    /// What kubeadm reads (`InitConfiguration`, `ClusterConfiguration`), with [`Self::WORK`] as the directory of
    /// certificates. Nothing of it is secret.
    pub configuration: String,
}

/// Issues the certificate (configuration on the input) in the directory `$1`, which lies in memory and holds the
/// CA's key meanwhile, puts it in its place, and waits until the API server at `$2` serves it: it reads the pair
/// again once in a minute, without a restart (apiserver's `dynamiccertificates`).
const ISSUE: &str = include_str!("certificate.sh");

impl ApiServerCertificate {
    /// Where kubeadm issues it.
    pub const WORK: &str = "/run/slipway/certificate";
}

impl Resource for ApiServerCertificate {
    fn id(&self) -> String {
        "API server's certificate".to_owned()
    }

    fn probe(&self) -> Probe {
        Probe::certificate(CERTIFICATE)
    }

    fn compare(&self, seen: &Output) -> Result<Drift> {
        let now = names_of(&seen.stdout);
        let list = |sign: &str, some: &BTreeSet<String>, others: &BTreeSet<String>| {
            let more = some.difference(others).map(|name| format!("{sign}{name}"));
            more.collect::<Vec<_>>()
        };
        let changes = [list("+", &self.names, &now), list("-", &now, &self.names)].concat();
        Ok(Drift::unless(changes.is_empty(), Diff::update(changes.join(", "))))
    }

    fn converge(&self, _seen: &Output) -> Vec<Change> {
        let cmd = Cmd::shell(ISSUE)
            .args([Self::WORK.to_owned(), self.address.to_string()])
            .stdin(Input::Bytes(self.configuration.clone().into_bytes()))
            .within(Duration::from_secs(180));
        vec![Change::new("issue the API server's certificate, and wait until it serves it", cmd)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::Pki;

    #[test]
    fn other_names_are_a_drift() {
        let pki = Pki::generate().unwrap();
        let hosts = ["API.prod", "cp-1"].map(str::to_owned);
        let leaf = pki.serving_certificate(&hosts, &["10.0.0.1".parse().unwrap()]).unwrap();
        let seen = Output { stdout: leaf.certificate, ..Output::default() };
        let names = |names: &[&str]| ApiServerCertificate {
            names: names.iter().map(|&name| name.to_owned()).collect(),
            address: SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 6443),
            configuration: String::new(),
        };
        let drift = |wanted: &[&str]| names(wanted).compare(&seen).unwrap();
        assert_eq!(drift(&["api.prod", "cp-1", "10.0.0.1"]), Drift::None);
        assert_eq!(
            drift(&["api.prod", "cp-1", "10.0.0.2"]),
            Drift::differs("+10.0.0.2, -10.0.0.1")
        );
        let gone = Output { code: 1, ..Output::default() };
        assert_eq!(names(&["a"]).compare(&gone).unwrap(), Drift::differs("+a"));
    }
}
