//! Why a command did not start after the login succeeded: the login shell, or sudo.

use crate::command::Output;
use crate::diagnostic::{Error, Kind, last_lines};

/// What there is to say when the node's `user` logged in and a command printed no mark:
/// [`super::line`]. `output` is what was seen instead.
pub(super) fn explain(node: &str, user: &str, output: &Output) -> Error {
    let said = |stream: &[u8]| last_lines(&String::from_utf8_lossy(stream), 5);
    let said = [said(&output.stderr), said(&output.stdout)].join("\n");
    let error = match sudo(&said, output.code).filter(|_| user != "root") {
        Some((why, remedy)) => sudo_error(node, user, why, remedy),
        None => login_error(node, user, &said, output.code),
    };
    error.note(said.trim_matches('\n'))
}

/// What helps against a sudo that refuses.
#[derive(Clone, Copy)]
enum Remedy {
    Allow,
    NoTerminal,
    Install,
}

/// Why sudo did not run anything, by its own words in English (sudo and sudo-rs).
fn sudo(said: &str, code: i32) -> Option<(&'static str, Remedy)> {
    let says = |words: &str| said.contains(words);
    if says("sudo: a password is required") || says("interactive authentication is required") {
        Some(("it asks for a password", Remedy::Allow))
    } else if says("you must have a tty to run sudo") {
        Some(("it asks for a terminal (`Defaults requiretty`)", Remedy::NoTerminal))
    } else if says("is not allowed to execute") || says("is not in the sudoers file") {
        Some(("it does not let that user run everything as root", Remedy::Allow))
    } else if code == 127 && says("env: 'sudo': No such file") {
        Some(("it is not installed", Remedy::Install))
    } else {
        None
    }
}

fn sudo_error(node: &str, user: &str, why: &str, remedy: Remedy) -> Error {
    let message = match remedy {
        Remedy::NoTerminal => {
            format!("the user `{user}` needs sudo without a terminal on `{node}`: {why}")
        }
        _ => format!("the user `{user}` needs sudo without a password on `{node}`: {why}"),
    };
    // The last file that sudo reads has the last word.
    let file = "/etc/sudoers.d/zz-slipway";
    let allow = format!("on `{node}`, as root: echo '{user} ALL=(ALL) NOPASSWD: ALL' >> {file}");
    Error::new(Kind::Preflight, message).hint(match remedy {
        Remedy::Allow => allow,
        Remedy::NoTerminal => {
            format!("on `{node}`, as root: echo 'Defaults:{user} !requiretty' >> {file}")
        }
        Remedy::Install => format!("install it (`apt-get install sudo`), then {allow}"),
    })
}

fn login_error(node: &str, user: &str, said: &str, code: i32) -> Error {
    let change =
        format!("`getent passwd {user}` on `{node}` shows it; as root: chsh -s /bin/bash {user}");
    let (what, hint) = if said.contains("This account is currently not available") {
        ("its login shell is nologin".to_owned(), change)
    } else if said.trim().is_empty() && code == 1 {
        // It prints nothing, takes no command and exits 1.
        ("its login shell ends at once, as /bin/false does".to_owned(), change)
    } else {
        let look = format!(
            "`ssh {user}@{node} true` must work: look at its login shell and that shell's start-up \
             files, and at `command=` in its authorized_keys"
        );
        (format!("its login ran something else (exit code {code})"), look)
    };
    let message = format!("`{node}` runs no commands for the user `{user}`: {what}");
    Error::new(Kind::Connection, message).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(user: &str, code: i32, stdout: &str, stderr: &str) -> String {
        let output = Output { code, stdout: stdout.into(), stderr: stderr.into() };
        explain("w-1", user, &output).to_string()
    }

    #[test]
    fn each_reason_has_its_own_remedy() {
        let cases = [
            (1, "", "sudo: a password is required\n", "asks for a password", "NOPASSWD: ALL"),
            (1, "", "sudo: sorry, you must have a tty to run sudo\n", "requiretty", "!requiretty"),
            (
                1,
                "",
                "Sorry, user admin is not allowed to execute '/usr/bin/env' as root on w-1.\n",
                "everything",
                "NOPASSWD",
            ),
            (
                127,
                "",
                "/usr/bin/env: 'sudo': No such file or directory\n",
                "not installed",
                "apt-get install sudo",
            ),
            (1, "This account is currently not available.\n", "", "login shell is nologin", "chsh"),
            (1, "", "", "as /bin/false does", "chsh"),
            (
                142,
                "Please login as the user \"debian\".\n",
                "",
                "something else (exit code 142)",
                "command=",
            ),
        ];
        for (code, stdout, stderr, message, hint) in cases {
            let error = shown("admin", code, stdout, stderr);
            let (said, advice) = error.split_once("\nhint: ").unwrap();
            assert!(said.contains(message) && advice.contains(hint), "{error}");
            assert!(said.contains((stdout.to_owned() + stderr).trim()), "{error}");
        }
    }

    #[test]
    fn sudo_is_no_concern_of_roots() {
        let error = shown("root", 1, "", "sudo: a password is required\n");
        assert!(error.contains("its login ran something else"), "{error}");
    }
}
