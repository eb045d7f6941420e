//! `slipway approve-certificates` as systemd runs it.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::time::Duration;

use slipway::process::Process;

#[tokio::test]
async fn sigterm_ends_it_at_once_and_a_missing_table_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let nodes = dir.path().join("nodes.json");
    let slipway = || {
        Process::at(Path::new(env!("CARGO_BIN_EXE_slipway")))
            .args(["approve-certificates", "--kubectl", "/nonexistent/kubectl", "--nodes"])
            .arg(&nodes)
    };
    let done = slipway().output().await.unwrap();
    assert_eq!(done.code, 71);
    assert!(String::from_utf8_lossy(&done.stderr).contains("nodes.json"));

    std::fs::write(&nodes, "{}").unwrap();
    let mut child = slipway().into_inner().spawn().unwrap();
    // Its first line says that signals are waited for.
    let mut stderr = child.stderr.take().unwrap();
    let mut line = [0; 16];
    tokio::io::AsyncReadExt::read_exact(&mut stderr, &mut line).await.unwrap();
    let pid = child.id().unwrap().to_string();
    Process::new("kill").arg(pid).run().await.unwrap();
    let status = tokio::time::timeout(Duration::from_secs(5), child.wait()).await.unwrap().unwrap();
    assert_eq!((status.code(), status.signal()), (Some(0), None));
}
