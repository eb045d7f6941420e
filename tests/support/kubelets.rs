//! Kubelets are believed only with a certificate that the cluster signed: by the API server for
//! `logs`, and by metrics-server.

use std::fs;

use super::bare::authority;
use super::kube::Kube;
use super::lab::Lab;
use super::pods::{NAMESPACE, Pod};
use super::{eventually, figure, run, secs, shown};

const CURRENT: &str = "/var/lib/kubelet/pki/kubelet-server-current.pem";

/// `kubectl top nodes` lists every node.
pub fn metrics(lab: &Lab, kube: &Kube) {
    let (_, took) = eventually("`kubectl top nodes` lists every node", secs(120), || {
        let top = kube.run(&["top", "nodes", "--no-headers"]).tried()?;
        let known = top.lines().filter(|line| !line.contains("<unknown>")).count();
        if known == lab.nodes.len() { Ok(()) } else { Err(top) }
    });
    figure(&format!("{}: `kubectl top nodes` lists all after another", lab.name), shown(took));
}

/// No flag or field anywhere turns verification off.
pub fn nothing_is_insecure(lab: &Lab, kube: &Kube, processes: &str) {
    const WORDS: [&str; 4] = [
        "insecure-skip-tls",
        "kubelet-insecure-tls",
        "insecureSkipTLSVerify: true",
        "insecure-skip-tls-verify",
    ];
    let kinds =
        "deployments,daemonsets,statefulsets,pods,configmaps,apiservices.apiregistration.k8s.io";
    let objects = kube.get(&["get", kinds, "--all-namespaces", "-o", "yaml"]);
    let files = lab
        .on_all(
            &lab.names(),
            "cat /etc/kubernetes/manifests/* /etc/kubernetes/*.conf /var/lib/kubelet/*.yaml \
             /var/lib/kubelet/*.env /etc/cni/net.d/* /etc/systemd/system/*.service 2>/dev/null; :",
            "",
        )
        .concat();
    assert!(files.contains("--kubelet-certificate-authority=/etc/kubernetes/pki/ca.crt"));
    assert!(processes.contains("--kubelet-certificate-authority"), "no API server was seen");
    for (place, text) in [("an object", &*objects), ("a file", &files), ("a process", processes)] {
        for word in WORDS {
            let line = text.lines().find(|line| line.contains(word));
            assert!(line.is_none(), "`{word}` in {place}: {line:?}");
        }
    }
}

/// Gives a worker's kubelet a certificate that is right in everything but who signed it.
pub fn a_foreign_certificate_is_refused(lab: &Lab, kube: &Kube, pods: &[Pod]) {
    let node = lab.workers().last().unwrap();
    let pod = pods.iter().find(|pod| pod.node == node.name).unwrap();
    let logs = || kube.run(&["-n", NAMESPACE, "logs", &pod.name]);
    let scraped = || {
        kube.run(&["get", "--raw", &format!("/apis/metrics.k8s.io/v1beta1/nodes/{}", node.name)])
    };
    logs().ok("logs before");
    scraped().ok("metrics before");

    let pem = foreign(lab, &node.name, &node.address);
    let put = format!(
        "cp -P {CURRENT} /root/kubelet-server-link && rm {CURRENT} && umask 077 && cat >{CURRENT} \
         && systemctl restart kubelet"
    );
    lab.on_with(&node.name, &put, &pem);
    let (why, _) =
        eventually("`kubectl logs` refuses the foreign certificate", secs(60), || match logs() {
            ran if ran.code != 0 && ran.stderr.contains("x509") => Ok(ran.stderr),
            ran => Err(ran.both()),
        });
    assert!(why.contains("unknown authority"), "{why}");
    eventually("metrics-server refuses the foreign certificate", secs(90), || {
        let said = kube.run(&["-n", "kube-system", "logs", "deploy/metrics-server", "--since=30s"]);
        let said = said.tried()?;
        let refused = |line: &&str| line.contains("unknown authority") && line.contains(&node.name);
        let line = said.lines().find(refused).ok_or_else(|| said.clone())?;
        match scraped() {
            ran if ran.code != 0 => Ok(line.to_owned()),
            ran => Err(format!("it still has metrics of {}:\n{}", node.name, ran.both())),
        }
    });

    let back = format!("rm {CURRENT} && mv /root/kubelet-server-link {CURRENT}");
    lab.on(&node.name, &format!("{back} && systemctl restart kubelet"));
    let (_, took) =
        eventually("logs work with the node's own certificate", secs(60), || logs().tried());
    figure(&format!("{}: logs work again after", lab.name), shown(took));
    eventually("metrics-server believes the node again", secs(90), || scraped().tried());
}

/// Certificate and key as the kubelet keeps them, by a CA of the same name as the cluster's.
fn foreign(lab: &Lab, node: &str, address: &str) -> String {
    authority(lab, "foreign");
    let at = |name: &str| lab.file(name).display().to_string();
    let (key, csr) = (at("kubelet.key"), at("kubelet.csr"));
    let (crt, extensions) = (at("kubelet.crt"), at("kubelet.ext"));
    let subject = format!("/O=system:nodes/CN=system:node:{node}");
    let request = [
        "req",
        "-new",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-subj",
        &subject,
        "-keyout",
        &key,
        "-out",
        &csr,
    ];
    run("openssl", &request, "").ok("openssl req");
    let text = format!(
        "keyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth\n\
         subjectAltName=DNS:{node},IP:{address}\n"
    );
    fs::write(&extensions, text).unwrap();
    let (ca, ca_key) = (at("foreign.crt"), at("foreign.key"));
    let sign = [
        "x509",
        "-req",
        "-in",
        &csr,
        "-CA",
        &ca,
        "-CAkey",
        &ca_key,
        "-CAcreateserial",
        "-days",
        "300",
        "-extfile",
        &extensions,
        "-out",
        &crt,
    ];
    run("openssl", &sign, "").ok("openssl x509");
    [crt, key].map(|path| fs::read_to_string(path).unwrap()).concat()
}
