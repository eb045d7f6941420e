//! Packages on a node of the lab, by Debian's own tools: what is there is never installed in an older
//! version, and nothing is removed. Needs root.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::path::Path;
use std::sync::Arc;

use slipway::command::{Cmd, Input, Stream};
use slipway::process::{Finished, Process};
use slipway::resource::{Package, Packages, Resource};

const LAB: &str = "t-packages";

/// Name, version, what it depends on.
type Deb = (&'static str, &'static str, &'static str);

fn lab(args: &[&str]) -> Process {
    Process::at(Path::new(env!("CARGO_BIN_EXE_slipway"))).args(["lab"]).args(args)
}

async fn on(command: &str, input: Vec<u8>) -> Finished {
    lab(&["ssh", "--name", LAB, "cp-1", "--", command]).stdin(input).output().await.unwrap()
}

/// A package with nothing in it.
async fn built((name, version, depends): Deb) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let control = dir.path().join("deb/DEBIAN/control");
    std::fs::create_dir_all(control.parent().unwrap()).unwrap();
    let depends = if depends.is_empty() { String::new() } else { format!("Depends: {depends}\n") };
    let text = format!(
        "Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: nobody <nobody@localhost>\n\
         {depends}Description: of a test\n"
    );
    std::fs::write(control, text).unwrap();
    let deb = dir.path().join("it.deb");
    let build = Process::new("dpkg-deb").args(["--root-owner-group", "--build"]);
    build.arg(dir.path().join("deb")).arg(&deb).run().await.unwrap();
    std::fs::read(deb).unwrap()
}

/// What is on the node already.
async fn there(debs: &[Deb]) {
    let purge = "dpkg --purge slw-dev slw-tool slw-lib 2>/dev/null; mkdir -p /root/debs; rm -f /root/debs/*";
    on(purge, Vec::new()).await;
    for deb in debs {
        let file = format!("/root/debs/{}.deb", deb.0);
        let put = format!("cat >{file} && dpkg -i {file}");
        assert_eq!(on(&put, built(*deb).await).await.code, 0);
    }
}

/// Looks at the node and brings the packages about, of which the first is wanted. What was said,
/// if it was refused.
async fn bring(debs: &[Deb]) -> Result<(), String> {
    let mut files = Vec::new();
    let mut all = Vec::new();
    for deb in debs {
        files.push((deb.0.to_owned(), built(*deb).await));
        let dependency = !all.is_empty();
        all.push(Package { name: deb.0.into(), version: deb.1.into(), dependency });
    }
    let packages = Packages::new(
        all,
        Arc::new(move |names| {
            let mut tar = tar::Builder::new(Vec::new());
            for (name, bytes) in files.iter().filter(|(name, _)| names.contains(name)) {
                let mut header = tar::Header::new_ustar();
                header.set_size(bytes.len() as u64);
                header.set_mode(0o644);
                tar.append_data(&mut header, format!("{name}.deb"), bytes.as_slice()).unwrap();
            }
            Arc::new(tar.into_inner().unwrap()) as Arc<dyn Stream>
        }),
    );
    let probe = packages.probe();
    let look = Cmd::shell(probe.text()).args(probe.words().iter().cloned()).line();
    let seen = on(&look, Vec::new()).await;
    let seen =
        slipway::command::Output { stdout: seen.stdout, ..slipway::command::Output::default() };
    let change = packages.converge(&seen).remove(0);
    let Input::Stream(archive) = change.cmd.input() else { panic!("no archive") };
    let mut bytes = Vec::new();
    archive.copy_to(&mut bytes).unwrap();
    let done = on(&change.cmd.line(), bytes).await;
    let said = format!("{}{}", done.text(), String::from_utf8_lossy(&done.stderr));
    assert_eq!(on("ls /var/tmp", Vec::new()).await.text(), "", "nothing stays behind");
    if done.code == 0 { Ok(()) } else { Err(said) }
}

/// The packages of this test that the node has, each as `NAME VERSION`.
async fn has() -> String {
    let list = "dpkg-query -W -f '${Package} ${Version} ${db:Status-Status}\\n' 'slw-*'";
    let lines = on(list, Vec::new()).await.text();
    let there = lines.lines().filter_map(|line| line.strip_suffix(" installed"));
    there.collect::<Vec<_>>().join(", ")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_has_stays_and_is_never_older() {
    lab(&["down", "--name", LAB]).run().await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().join("lab").display().to_string();
    let up = ["up", "--name", LAB, "--control-planes", "1", "--workers", "0", "--dir", &at];
    lab(&up).run().await.unwrap();

    // Nothing is there: the dependency comes along, and says that it is one.
    there(&[]).await;
    bring(&[("slw-tool", "1", "slw-lib (= 1)"), ("slw-lib", "1", "")]).await.unwrap();
    assert_eq!(has().await, "slw-lib 1, slw-tool 1");
    assert_eq!(on("apt-mark showauto 'slw-*'", Vec::new()).await.text(), "slw-lib");

    // What is newer there serves as well, and stays.
    there(&[("slw-lib", "2", "")]).await;
    bring(&[("slw-tool", "1", "slw-lib (>= 1)"), ("slw-lib", "1", "")]).await.unwrap();
    assert_eq!(has().await, "slw-lib 2, slw-tool 1");

    // What is older there serves as well, and stays.
    there(&[("slw-lib", "1", "")]).await;
    bring(&[("slw-tool", "2", "slw-lib"), ("slw-lib", "2", "")]).await.unwrap();
    assert_eq!(has().await, "slw-lib 1, slw-tool 2");

    // What is too old is renewed.
    there(&[("slw-lib", "1", "")]).await;
    bring(&[("slw-tool", "2", "slw-lib (= 2)"), ("slw-lib", "2", "")]).await.unwrap();
    assert_eq!(has().await, "slw-lib 2, slw-tool 2");

    // What would have to become older is refused, with the way.
    there(&[("slw-lib", "2", "")]).await;
    let old = [("slw-tool", "1", "slw-lib (= 1)"), ("slw-lib", "1", "")];
    let said = bring(&old).await.unwrap_err();
    assert!(said.contains("slw-tool : Depends: slw-lib (= 1)"), "{said}");
    assert!(said.contains("then apply again: apt-get install slw-tool"), "{said}");
    assert_eq!(has().await, "slw-lib 2");

    // So is what would take something away.
    there(&[("slw-lib", "1", ""), ("slw-dev", "1", "slw-lib (= 1)")]).await;
    let new = [("slw-tool", "2", "slw-lib (= 2)"), ("slw-lib", "2", "")];
    let said = bring(&new).await.unwrap_err();
    assert!(said.contains("apt would remove slw-dev"), "{said}");
    assert_eq!(has().await, "slw-dev 1, slw-lib 1");

    lab(&["down", "--name", LAB]).run().await.unwrap();
}
