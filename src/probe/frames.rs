//! Bundles all probes of a host into one script, and splits its output into their answers.

use super::Probe;
use crate::command::{Output, quote};
use crate::diagnostic::{Error, Kind, Result};

/// kubectl and kubeadm end before their garbage is worth collecting.
pub const GO: &str = "export GOGC=off GOMEMLIMIT=256MiB\n";

/// One shell text that asks all `probes` in turn. `nonce` separates the answers: it is chosen anew
/// for each look, so nothing on a node can forge a frame. It also stands before the first answer:
/// whatever is printed before the script begins is none.
#[must_use]
pub fn script(probes: &[Probe], nonce: &str) -> String {
    let mut text = format!("printf '\\n{nonce}\\n'\n{GO}");
    let mut firsts: Vec<(&str, String)> = Vec::new();
    for (probe, first) in probes.iter().filter_map(|probe| Some((probe, probe.first?))) {
        let word = quote(probe.words.first().map_or("", String::as_str));
        match firsts.iter_mut().find(|(text, _)| *text == first) {
            Some((_, words)) => words.extend([" ", &word]),
            None => firsts.push((first, word)),
        }
    }
    text.extend(firsts.iter().map(|(first, words)| format!("set -- {words}\n{first}")));
    for probe in probes {
        let words: Vec<String> = probe.words.iter().map(|word| quote(word)).collect();
        text.push_str(&format!("(set -- {}\n{}\n) 2>/dev/null ", words.join(" "), probe.text));
        match &probe.input {
            Some(input) => {
                text.push_str(&format!("<<'{nonce}'\n{}\n{nonce}\n", input.trim_end_matches('\n')));
            }
            None => text.push_str("</dev/null\n"),
        }
        text.push_str(&format!("printf '\\n{nonce} %s\\n' $?\n"));
    }
    text
}

/// Takes the output of [`script`] apart: one [`Output`] per probe.
///
/// # Errors
/// [`Kind::Command`] when the frames are not as many as the probes.
pub fn frames(stdout: &[u8], nonce: &str, count: usize) -> Result<Vec<Output>> {
    let mark = format!("\n{nonce} ").into_bytes();
    let opening = format!("\n{nonce}\n").into_bytes();
    let begin = find(stdout, &opening).ok_or_else(|| cut_short(0, count))?;
    let mut rest = stdout.get(begin + opening.len()..).unwrap_or_default();
    let mut outputs = Vec::with_capacity(count);
    while let Some(at) = find(rest, &mark) {
        let (body, tail) = rest.split_at(at);
        let tail = tail.get(mark.len()..).unwrap_or_default();
        let end = tail.iter().position(|b| *b == b'\n').unwrap_or(tail.len());
        let (code, after) = tail.split_at(end);
        let code = std::str::from_utf8(code).ok().and_then(|code| code.parse().ok());
        let code = code.ok_or_else(|| cut_short(outputs.len(), count))?;
        outputs.push(Output { code, stdout: body.to_vec(), stderr: Vec::new() });
        rest = after.get(1..).unwrap_or_default();
    }
    if outputs.len() == count { Ok(outputs) } else { Err(cut_short(outputs.len(), count)) }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

fn cut_short(got: usize, count: usize) -> Error {
    Error::new(Kind::Command, format!("a look was cut short: {got} of {count} answers came back"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[expect(clippy::disallowed_methods, reason = "asks a real shell")]
    fn ask(probes: &[Probe]) -> Vec<Output> {
        use std::io::Write as _;
        let mut child = std::process::Command::new("sh")
            .arg("-s")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let text = script(probes, "n0nce");
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        frames(&child.wait_with_output().unwrap().stdout, "n0nce", probes.len()).unwrap()
    }

    #[test]
    fn a_real_shell_answers_in_frames() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("it's a file");
        std::fs::write(&path, "no newline at the end\nn0nce").unwrap();
        let path = path.to_str().unwrap();
        let digest = "7075bcd4e08c5e7af06618982c1740daae1168058d66ee8727ee64af3a184865";
        let seen = ask(&[
            Probe::file(path, true, None),
            Probe::file("/nonexistent", true, None),
            Probe::file("/etc", true, None),
            Probe::file(path, true, Some(digest)),
            Probe::file(path, true, Some("another")),
            Probe::file(path, false, None),
            Probe::exist(&["/nonexistent", "/etc"]),
            Probe::hostname(),
        ]);
        assert!(seen[0].text().ends_with("\nno newline at the end\nn0nce"), "{:?}", seen[0].text());
        assert_eq!([1, 2, 3, 4].map(|at: usize| seen[at].code), [1, 2, 3, 0]);
        assert_eq!(seen[3].text().lines().count(), 1, "nothing of a file that is as wanted");
        assert_eq!(seen[4], seen[0]);
        assert_eq!(seen[5].text().lines().nth(1), Some(digest));
        assert_eq!(seen[6].text(), "/etc\n");
        assert!(seen[7].ok());
    }

    /// Of many of them, a second read finds nothing: they are not read byte by byte.
    #[test]
    fn a_kernel_parameter_is_read_whole() {
        let value = std::fs::read_to_string("/proc/sys/kernel/pid_max").unwrap();
        let seen = ask(&[Probe::sysctls(&["kernel.pid_max", "no.such.one"])]);
        let whole = [format!("kernel.pid_max={value}"), "kernel.pid_max (read-only)\n".to_owned()];
        assert!(whole.contains(&seen[0].text()), "{}", seen[0].text());
    }

    #[test]
    fn a_cut_answer_is_an_error() {
        assert!(frames(b"\nn0nce\nx\nn0nce 0\ny", "n0nce", 2).is_err());
        assert!(frames(b"x\nn0nce 0\n", "n0nce", 1).is_err(), "it has no beginning");
    }

    #[test]
    fn what_is_printed_before_the_script_is_no_answer() {
        let seen = frames(b"welcome to w-1\n\nn0nce\n\nn0nce 0\nbye\n", "n0nce", 1).unwrap();
        assert_eq!(seen, [Output::default()]);
    }

    proptest! {
        #[test]
        fn frames_never_panics(bytes: Vec<u8>, count in 0_usize..4) {
            let _ = frames(&bytes, "n", count);
        }
    }
}
