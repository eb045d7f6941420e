//! Users as machines have them: OpenSSH's server and Debian's sudo, in a mount namespace whose users and
//! rules are ours. Needs root.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use slipway::cluster::Ssh;
use slipway::command::{Cmd, Input};
use slipway::diagnostic::{Error, Kind};
use slipway::host::Transport;
use slipway::host::ssh::SshHost;
use slipway::host::trust::Refuse;

use crate::openssh::Sshd;

/// Users named after their shells, whose start-up files print and set what may not matter.
const SHELLS: [(&str, &str, &str); 5] = [
    ("bash", ".bashrc", "echo welcome; echo held; umask 077; alias sudo=false; PATH=/nonexistent"),
    ("zsh", ".zshenv", "echo welcome; umask 077; alias sudo=false; setopt rc_quotes; path=()"),
    ("fish", ".config/fish/config.fish", "echo welcome; umask 077; function sudo; false; end"),
    ("tcsh", ".tcshrc", "echo welcome; umask 077; alias sudo false; set path = ()"),
    ("dash", ".profile", ""),
];

/// Users whose commands do not begin, and their shells.
const BARRED: [(&str, &str); 5] = [
    ("nologin", "/usr/sbin/nologin"),
    ("false", "/bin/false"),
    ("tty", "/bin/sh"),
    ("asked", "/bin/sh"),
    ("limited", "/bin/sh"),
];

const SUDOERS: &str = r#"Defaults secure_path="/usr/bin:/bin", umask=0077
Defaults env_keep += "HTTPS_PROXY KUBECONFIG ETCDCTL_API"
Defaults:tty requiretty
bash, zsh, fish, tcsh, dash, tty ALL=(ALL) NOPASSWD: ALL
asked ALL=(ALL) ALL
limited ALL=(ALL) NOPASSWD: /usr/bin/id
"#;

const WRAP: &str = r#"dir=$1; shift; chmod 0755 "$dir"; mkdir "$dir/home"
cp /etc/passwd /etc/shadow "$dir"
uid=54300
for user in bash=/bin/bash zsh=/bin/zsh fish=/usr/bin/fish tcsh=/bin/tcsh dash=/bin/dash \
  nologin=/usr/sbin/nologin false=/bin/false tty=/bin/sh asked=/bin/sh limited=/bin/sh; do
  name=${user%%=*}; uid=$((uid + 1)); mkdir "$dir/home/$name"; chown $uid "$dir/home/$name"
  sed -i "/^$name:/d" "$dir/passwd" "$dir/shadow"
  echo "$name:x:$uid:$uid::$dir/home/$name:${user#*=}" >>"$dir/passwd"
  echo "$name:*:19000:0:99999:7:::" >>"$dir/shadow"
done
mount --bind "$dir/passwd" /etc/passwd
mount --bind "$dir/shadow" /etc/shadow
printf '%s\n' 'auth required pam_deny.so' 'account required pam_permit.so' \
  'session required pam_permit.so' >"$dir/pam"
mount --bind "$dir/pam" /etc/pam.d/sudo
cat >"$dir/sudoers" <<'END'
SUDOERS
END
chmod 0440 "$dir/sudoers"
mount --bind "$dir/sudoers" /etc/sudoers
exec "$@""#;

async fn sshd() -> Sshd {
    let env = "SetEnv HTTPS_PROXY=http://192.0.2.9:3128 KUBECONFIG=/nonexistent ETCDCTL_API=2\n";
    let sshd = Sshd::with("ed25519", env, &WRAP.replace("SUDOERS", SUDOERS)).await;
    for (user, file, text) in SHELLS {
        let file = sshd.dir.path().join("home").join(user).join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, format!("{text}\n")).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    }
    sshd
}

async fn login(sshd: &Sshd, user: &str) -> SshHost {
    let ssh = Ssh { user: user.to_owned(), ..sshd.ssh.clone() };
    SshHost::connect(&ssh, "w-1", &Refuse).await.unwrap_or_else(|e| panic!("{user}: {e}"))
}

#[tokio::test]
async fn no_shell_no_start_up_file_and_no_rule_of_sudos_matters() {
    let sshd = sshd().await;
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let expected =
        format!("HOME=/root\nKUBERC=off\nLC_ALL=C\nPATH={path}\nPWD=/\n0022\n0\nit's!\\|");
    for (user, _, _) in SHELLS {
        let host = login(&sshd, user).await;
        let cmd = Cmd::shell("env | sort; umask; id -u\nprintf '%s|' \"$1\"; echo end >&2");
        for input in [Input::Nothing, Input::Bytes(b"x".to_vec())] {
            let out = host.run(&cmd.clone().arg("it's!\\").stdin(input)).await;
            let out = out.unwrap_or_else(|e| panic!("{user}: {e}"));
            assert_eq!((out.text(), &*out.stderr), (expected.clone(), &b"end\n"[..]), "{user}");
        }
        let data: Vec<u8> = (0..=255).cycle().take(300_000).collect();
        let out = host.run(&Cmd::new("cat").stdin(Input::Bytes(data.clone()))).await.unwrap();
        assert!(out.stdout == data, "{user}");
        let held = Cmd::shell("echo held; cat >/dev/null");
        assert!(host.hold(&held, Duration::from_secs(1)).await.unwrap().is_ok(), "{user}");
    }
}

#[tokio::test]
async fn who_runs_no_commands_hears_why() {
    let sshd = sshd().await;
    for (user, shell) in BARRED {
        let host = login(&sshd, user).await;
        let run = host.run(&Cmd::new("true")).await.unwrap_err();
        let held = host.hold(&Cmd::new("true"), Duration::from_secs(1)).await.err().unwrap();
        for error in [run, held] {
            let (kind, message, hint) = match user {
                "nologin" => (Kind::Connection, "its login shell is nologin", "chsh"),
                "false" => (Kind::Connection, "as /bin/false does", "chsh"),
                "tty" => (Kind::Preflight, "`Defaults requiretty`", "Defaults:tty !requiretty"),
                "asked" => (Kind::Preflight, "it asks for a password", "NOPASSWD: ALL"),
                _ => (Kind::Preflight, "needs sudo without a password", "NOPASSWD: ALL"),
            };
            let said = |error: &Error| error.kind() == kind && error.message().contains(message);
            assert!(said(&error) && error.advice().unwrap().contains(hint), "{shell}: {error}");
        }
    }
}
