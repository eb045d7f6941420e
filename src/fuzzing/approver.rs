//! Requests for certificates.

use x509_parser::certification_request::X509CertificationRequestInfo;
use x509_parser::prelude::FromDer as _;

use super::bounded;
use crate::approver::judge::{check_info, check_pkcs10};
use crate::approver::objects::{MAX_OBJECT, Object, Objects};
use crate::approver::{Nodes, Verdict, judge};

/// What kubectl prints of certificate requests; a PKCS#10 request; what of it is signed.
pub(super) fn csr(data: &[u8]) {
    let address = [10, 77, 0, 21].into();
    let nodes = Nodes::from([("w-1".to_owned(), vec![address])]);
    let mut objects = Objects::default();
    let whole = objects.push(data);
    let mut objects = Objects::default();
    let pieces: Vec<Object> = data.chunks(7).flat_map(|chunk| objects.push(chunk)).collect();
    assert_eq!(whole, pieces);
    for object in whole {
        let Object::Text(text) = object else { continue };
        assert!(text.len() <= MAX_OBJECT);
        let Ok(request) = serde_json::from_slice(&text) else { continue };
        if let Verdict::Refuse(why) = judge(&request, &nodes) {
            bounded(why.len(), data.len());
        }
    }
    let (user, node) = ("system:node:w-1", "w-1");
    let refused = check_pkcs10(data, user, node, &[address]).err();
    bounded(refused.unwrap_or_default().len(), data.len());
    if let Ok((_, info)) = X509CertificationRequestInfo::from_der(data) {
        let refused = check_info(&info, user, node, &[address]).err();
        bounded(refused.unwrap_or_default().len(), data.len());
    }
}
