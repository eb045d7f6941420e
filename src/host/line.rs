//! The line that a node's login shell gets for a command. It is the one place that decides in which
//! surroundings commands run, so that nothing of a login can matter: neither its shell nor what its
//! start-up files print, set or alias, nor `/etc/environment`, nor sudo's `secure_path`.

use crate::command::{Cmd, Input, quote};

/// All that commands find in their environment. No proxy: slipway's commands speak to the cluster
/// only. kubectl reads neither `KUBECONFIG` nor (`KUBERC=off`) root's own preferences; `HOME` is
/// where it keeps its cache.
const ENVIRONMENT: &str = "LC_ALL=C \
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root KUBERC=off";

/// What a login shell gets for `cmd`; with sudo when the user is not root. The command's own output
/// begins after `mark`, see [`after`].
///
/// Login shells differ, so theirs is a line that all of them read alike: `exec`, a path, words
/// quoted by [`any_shell`]. `/bin/sh` does the rest, in an environment of our own, in `/`.
pub(super) fn line(cmd: &Cmd, sudo: bool, mark: &str) -> String {
    let clean = format!("/usr/bin/env -i {ENVIRONMENT}");
    // sudo, too: it is found on our path, and its messages are in the language that `barred` reads.
    let sudo = if sudo { format!("{clean} sudo -n -- ") } else { String::new() };
    format!("exec {sudo}{clean} /bin/sh -c {}", any_shell(&begin(cmd, mark)))
}

/// What `/bin/sh` does, in one line: POSIX says that `IFS` ends with the newline that it must not
/// contain.
fn begin(cmd: &Cmd, mark: &str) -> String {
    let words: Vec<String> = cmd.words().iter().map(|word| one_line(word)).collect();
    let words = words.join(" ");
    let run = match size(cmd.input()) {
        None => format!("exec {words}"),
        // Lets the command see the end of its input only after all of it (so many bytes and a
        // newline), and kills it otherwise. sshd closes a command's input when the connection breaks,
        // however it breaks, and `cat > new && mv new file` would take that for the end of the file.
        Some(size) => {
            format!("{{ head -c {size} && {{ read -r end || kill -9 0; }}; }} | {words}")
        }
    };
    format!(
        r#"n=${{IFS#??}}; cd /; unset OLDPWD; umask 022; echo "$n"{mark}; echo "$n"{mark} >&2; {run}"#
    )
}

/// What of `stream` came after the line `mark`, which is in front of all that the command itself
/// prints: what is before it comes from the login. `None`: the command did not begin.
pub(super) fn after<'a>(stream: &'a [u8], mark: &str) -> Option<&'a [u8]> {
    // A whole line: a shell that shows what it does (`set -x`) shows the mark within one.
    let line = format!("\n{mark}\n").into_bytes();
    let at = stream.windows(line.len()).position(|window| window == line)?;
    stream.get(at + line.len()..)
}

/// How many bytes `input` has; `None` when there is no input.
fn size(input: &Input) -> Option<u64> {
    match input {
        Input::Nothing => None,
        Input::Bytes(bytes) => Some(bytes.len() as u64),
        Input::Secret(secret) => Some(secret.expose().len() as u64),
        Input::Stream(stream) => Some(stream.size()),
    }
}

/// `word` as a POSIX shell reads it back, with its newlines as `$n`.
fn one_line(word: &str) -> String {
    if word.is_empty() {
        return quote(word);
    }
    let lines =
        word.split('\n').map(|line| if line.is_empty() { String::new() } else { quote(line) });
    lines.collect::<Vec<_>>().join(r#""$n""#)
}

/// `text`, which has no newline, as one word for sh, bash, zsh, fish, csh and tcsh. They agree on
/// what is within single quotes but for three characters (csh's `!`, fish's `\`, and the quote), and
/// on a backslash before each of these without quotes.
fn any_shell(text: &str) -> String {
    let mut word = String::new();
    let mut quoted = false;
    for c in text.chars() {
        if matches!(c, '\'' | '\\' | '!') == quoted {
            word.push('\'');
            quoted = !quoted;
        }
        if !quoted {
            word.push('\\');
        }
        word.push(c);
    }
    if quoted || text.is_empty() {
        word.push_str(if quoted { "'" } else { "''" });
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::process::Command;

    /// What `shell` makes of the line for `cmd`.
    #[expect(clippy::disallowed_methods, reason = "asks real shells")]
    fn run(shell: &str, cmd: &Cmd) -> (Vec<u8>, Vec<u8>) {
        let line = line(cmd, false, "m4rk");
        let out = Command::new(shell).arg("-c").arg(&line).env("ENV", "/nonexistent").output();
        let out =
            out.unwrap_or_else(|e| panic!("{shell}: {e}; `scripts/machine test` installs it"));
        assert!(!line.contains('\n'), "{line}");
        let [stdout, stderr] = [&out.stdout, &out.stderr].map(|all| after(all, "m4rk"));
        let both = stdout.zip(stderr).unwrap_or_else(|| panic!("{shell}: {line}: {out:?}"));
        (both.0.to_vec(), both.1.to_vec())
    }

    /// Login shells that Debian has; `dash` and `sh` are the same there.
    const SHELLS: [&str; 6] = ["dash", "bash", "zsh", "fish", "tcsh", "csh"];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn every_login_shell_reads_the_same_words(
            word in "[^\0]{0,40}", hostile in "['\"!\\\\\n$`#~^*?a\\- ]{0,40}",
        ) {
            for shell in SHELLS {
                let cmd = Cmd::shell("printf '%s|' \"$@\"\nprintf '%s\\n' \"it's\" >&2")
                    .args([word.as_str(), "", hostile.as_str()]);
                let (stdout, stderr) = run(shell, &cmd);
                let expected = format!("{word}||{hostile}|");
                prop_assert_eq!(String::from_utf8_lossy(&stdout), expected, "{}", shell);
                prop_assert_eq!(stderr, b"it's\n");
            }
        }
    }

    #[test]
    fn commands_find_these_surroundings_and_no_others() {
        for shell in SHELLS {
            let (stdout, _) = run(shell, &Cmd::shell("env | sort; umask; pwd"));
            let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
            let expected =
                format!("HOME=/root\nKUBERC=off\nLC_ALL=C\nPATH={path}\nPWD=/\n0022\n/\n");
            assert_eq!(String::from_utf8_lossy(&stdout), expected, "{shell}");
        }
    }

    #[test]
    fn long_texts_arrive() {
        let long = "it's\n".repeat(8_000);
        for shell in SHELLS {
            let (stdout, _) = run(shell, &Cmd::new("printf").args(["%s", &long]));
            assert!(stdout == long.as_bytes(), "{shell}");
        }
    }

    #[test]
    fn what_is_before_the_mark_is_the_logins() {
        assert_eq!(after(b"welcome\n\nm\nanswer\n\nm\n", "m"), Some(&b"answer\n\nm\n"[..]));
        assert_eq!(after(b"\nm\n", "m"), Some(&b""[..]));
        assert_eq!(after(b"+ echo '\\nm' \nm \n", "m"), None);
    }
}
