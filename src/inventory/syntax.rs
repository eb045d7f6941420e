//! What texts in an inventory may look like: names, addresses, networks, labels.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net};

/// The form of a text.
pub(super) struct Syntax {
    /// What it is, with its article.
    pub name: &'static str,
    /// The reason why a text is not of this form.
    pub fault: fn(&str) -> Option<String>,
}

impl Syntax {
    /// What it is, without an article.
    pub fn noun(&self) -> &'static str {
        self.name.split_once(' ').map_or(self.name, |(_, noun)| noun)
    }
}

impl std::fmt::Debug for Syntax {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// What is said of a value in which [`is_variable`].
pub(super) const NO_VARIABLES: &str =
    "slipway expands no variables (only `~/` before a path): write the value itself";

/// Whether `text` has something like `$HOME`, `${HOME}` or `$(hostname)` in it.
pub(super) fn is_variable(text: &str) -> bool {
    text.split('$')
        .skip(1)
        .any(|rest| rest.starts_with(|c: char| c.is_ascii_alphabetic() || "_{(".contains(c)))
}

const NO_IPV6: &str = "IPv6 is not supported yet";

macro_rules! syntaxes {
    ($($NAME:ident $name:literal $fault:expr;)*) => {
        $(pub(super) static $NAME: Syntax = Syntax { name: $name, fault: $fault };)*
    };
}

syntaxes! {
    LABEL "a DNS label" |text| lower_case(text, is_label,
        "1 to 63 of `a-z`, `0-9` and `-`, neither first nor last a `-`");
    DOMAIN "a DNS domain" |text| lower_case(text, is_domain,
        "expected DNS labels joined by dots, such as cluster.local");
    IPV4 "an IPv4 address" ipv4_fault;
    HOST "a host name or IPv4 address" host_fault;
    AUTHORITY "a host name or IPv4 address, with or without a port" authority_fault;
    CERT_NAME "a host name (`*.` may begin it) or IPv4 address" |text|
        host_fault(text.strip_prefix("*.").unwrap_or(text));
    NETWORK "an IPv4 network" network_fault;
    INTERFACE "a network interface" |text| unless(
        (1..16).contains(&text.len()) && text.chars().all(|c| c.is_ascii_graphic() && c != '/' && c != ':'),
        "1 to 15 characters, without spaces, `/` and `:`");
    USER "a user name" |text| unless(is_user(text),
        "1 to 32 letters, digits, `_`, `.` and `-`, first a letter or `_`; a directory's users may have `@domain` after it");
    PATH "a path" |text| unless(
        !text.is_empty() && !text.chars().any(char::is_control) && (!text.starts_with('~') || text.starts_with("~/"))
            && !is_variable(text),
        "expected a path; of `~` forms only `~/` is understood");
    PLACE "an absolute path" |text| unless(
        text.len() > 1 && text.starts_with('/') && !text.chars().any(char::is_control)
            && !text.split('/').any(|part| part == "..") && !is_variable(text),
        "expected a path that begins with `/`, without `..`");
    HOST_KEY "a public host key" |text| unless(is_host_key(text),
        "expected a type and a key, such as `ssh-ed25519 AAAA…`");
    CAPABILITY "a capability" |text| unless(
        ["Report", "ApplyManifests", "Policies"].contains(&text),
        "expected `Report`, `ApplyManifests` or `Policies`");
    URL "an https URL" |text| unless(
        text.strip_prefix("https://").is_some_and(|rest| authority_fault(rest.trim_end_matches('/')).is_none()),
        "expected `https://`, a host name or IPv4 address, and a port unless it is 443");
    BASE64 "base64" |text| unless(!text.is_empty() && base64::Engine::decode(
        &base64::engine::general_purpose::STANDARD, text).is_ok(), "expected base64, such as `LS0tLS1CRUdJTi…`");
    DURATION "a duration" |text| unless(
        slipway_agent::api::duration(text).is_some(), "expected numbers and units, such as `2160h` or `1h30m`");
    INTERVAL "an interval" |text| unless(
        interval(text).is_some_and(|every| (5..=3600).contains(&every.as_secs())),
        "expected a number and `s`, `m` or `h`, from 5s to 1h");
    LABEL_KEY "a label key" |text| unless(is_label_key(text),
        "expected `name` or `domain/name`; the name is 1 to 63 letters, digits, `-`, `_` and `.`, first and last a letter or digit");
    LABEL_VALUE "a label value" |text| unless(text.is_empty() || is_label_name(text),
        "up to 63 letters, digits, `-`, `_` and `.`, first and last a letter or digit");
}

fn unless(fine: bool, reason: &str) -> Option<String> {
    (!fine).then(|| reason.to_owned())
}

/// The reason why `text` is not in `form`; with capital letters, what it would be without.
fn lower_case(text: &str, form: fn(&str) -> bool, reason: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    match form(text) {
        true => None,
        false if form(&lower) => Some(format!("in lower case: `{lower}`")),
        false => Some(reason.to_owned()),
    }
}

/// A user of the machine, or `user@domain` of a directory.
fn is_user(text: &str) -> bool {
    let (name, domain) = text.split_once('@').map_or((text, None), |(name, d)| (name, Some(d)));
    name.len() <= 32
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
        && domain.is_none_or(|domain| is_domain(&domain.to_ascii_lowercase()))
}

/// RFC 1123's label, in lower case, as Kubernetes wants it.
fn is_label(text: &str) -> bool {
    (1..64).contains(&text.len())
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn is_domain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_label)
}

fn ipv4_fault(text: &str) -> Option<String> {
    if text.parse::<Ipv6Addr>().is_ok() {
        return Some(NO_IPV6.to_owned());
    }
    unless(
        text.parse::<Ipv4Addr>().is_ok(),
        "expected four numbers from 0 to 255, such as 10.77.0.11",
    )
}

/// What stands around the host name in a URL, and must be left out.
fn around(text: &str) -> Option<String> {
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), text),
    };
    let (user, rest) = match rest.split_once('@') {
        Some((user, rest)) => (format!("{user}@"), rest),
        None => (String::new(), rest),
    };
    let path = rest.find('/').and_then(|at| rest.get(at..)).unwrap_or_default();
    let all = [scheme.as_str(), user.as_str(), path];
    let all: Vec<String> =
        all.iter().filter(|part| !part.is_empty()).map(|part| format!("`{part}`")).collect();
    (!all.is_empty()).then(|| format!("leave out {}", all.join(" and ")))
}

fn host_fault(text: &str) -> Option<String> {
    if let Some(reason) = around(text) {
        return Some(reason);
    }
    if let Some((host, port)) = text.split_once(':')
        && port.parse::<u16>().is_ok()
        && host_fault(host).is_none()
    {
        return Some(format!("leave out `:{port}`"));
    }
    // What ends in a number is an address, or a mistake in one: no top-level domain is a number.
    let numeric =
        text.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    if numeric || text.contains(':') {
        return ipv4_fault(text);
    }
    // DNS takes capital letters for small ones.
    let lower = text.to_ascii_lowercase();
    unless(is_domain(&lower), "expected DNS labels joined by dots, or an IPv4 address")
}

fn authority_fault(text: &str) -> Option<String> {
    if let Some(reason) = around(text) {
        return Some(reason);
    }
    if text.starts_with('[') || text.parse::<Ipv6Addr>().is_ok() {
        return Some(NO_IPV6.to_owned());
    }
    match authority(text) {
        None => Some("the port is a number from 1 to 65535".to_owned()),
        Some((host, _)) => host_fault(host),
    }
}

/// `host` and perhaps `port` of `host:port`.
pub(super) fn authority(text: &str) -> Option<(&str, Option<u16>)> {
    match text.split_once(':') {
        None => Some((text, None)),
        Some((host, port)) => Some((host, Some(port.parse().ok().filter(|port| *port != 0)?))),
    }
}

fn network_fault(text: &str) -> Option<String> {
    if let Ok(IpNet::V6(_)) = text.parse() {
        return Some(NO_IPV6.to_owned());
    }
    match text.parse::<Ipv4Net>() {
        Err(_) => Some("expected an address and a length, such as 10.244.0.0/16".to_owned()),
        Ok(net) if net.trunc() != net => {
            Some(format!("bits after the length are set; did you mean `{}`?", net.trunc()))
        }
        Ok(_) => None,
    }
}

/// `30s`, `5m` or `1h`.
pub(super) fn interval(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return None,
    };
    let plain = number.len() <= 4 && number.bytes().all(|digit| digit.is_ascii_digit());
    Some(Duration::from_secs(number.parse::<u64>().ok().filter(|_| plain)? * seconds))
}

fn is_host_key(text: &str) -> bool {
    let mut words = text.split(' ');
    let algorithm = words.next().unwrap_or_default();
    let key = words.next().unwrap_or_default();
    ["ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"]
        .contains(&algorithm)
        && key.starts_with("AAAA")
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=".contains(&b))
}

fn is_label_name(text: &str) -> bool {
    let edge = |c: char| c.is_ascii_alphanumeric();
    (1..64).contains(&text.len())
        && text.starts_with(edge)
        && text.ends_with(edge)
        && text.chars().all(|c| edge(c) || "-_.".contains(c))
}

fn is_label_key(text: &str) -> bool {
    match text.split_once('/') {
        Some((domain, name)) => is_domain(domain) && is_label_name(name),
        None => is_label_name(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_edges_of_every_form() {
        let long = "a".repeat(63);
        let longer = "a".repeat(64);
        let forms: [(&Syntax, &[&str], &[&str]); 13] = [
            (&LABEL, &["a", "0", "cp-1", &long], &["", "-a", "a-", "A", "a.b", "ä", &longer]),
            (&DOMAIN, &["a", "cluster.local"], &["", ".", "a.", "a..b", "A.b", "a_b"]),
            (
                &IPV4,
                &["0.0.0.0", "10.77.0.11"],
                &["", "10.77.0", "10.77.0.256", "010.0.0.1", "::1"],
            ),
            (
                &HOST,
                &["10.77.0.11", "cp-1", "cp-1.example.com", "CP-1.Example.COM"],
                &["", "10.77.0", "cp_1", "a:1", "::1", "ssh://a", "root@a", "a/b"],
            ),
            (
                &AUTHORITY,
                &["lb", "lb:1", "10.0.0.1:65535"],
                &["", "lb:", "lb:0", "lb:65536", "lb:1:2", ":1", "https://lb", "lb/"],
            ),
            (
                &NETWORK,
                &["10.0.0.0/8", "0.0.0.0/0"],
                &["", "10.0.0.0", "10.0.0.1/8", "10.0.0.0/33", "::/0"],
            ),
            (
                &USER,
                &["root", "_apt", "j.doe-1", "ops@corp.example.com", "ops@CORP"],
                &["", "1a", "-a", "a b", "a;b", "ä", "@corp", "ops@", "a@b@c", "a@b;c"],
            ),
            (
                &PATH,
                &["key", "/key", "~/key", "cost$", "5$ a"],
                &["", "~", "~joe/key", "a\nb", "$HOME/key", "${HOME}/key", "a/$(pwd)"],
            ),
            (
                &PLACE,
                &["/etc/audit", "/a b/c"],
                &["", "/", "etc", "/etc/../root", "/a\nb", "/$HOME"],
            ),
            (
                &CERT_NAME,
                &["203.0.113.7", "api.example.com", "*.example.com", "API"],
                &["", "*", "a.*.b", "*.*.a", "https://a", "a:6443", "::1"],
            ),
            (
                &INTERVAL,
                &["5s", "30s", "60m", "1h", "3600s"],
                &["", "s", "5", "4s", "61m", "2h", "+9s", "1 s", "99999s", "5ä"],
            ),
            (
                &LABEL_KEY,
                &["a", "A.b_c-9", "example.com/a", &long],
                &["", "/a", "a/", "a/b/c", "-a", "a.", "X/a", &longer],
            ),
            (&LABEL_VALUE, &["", "a", "A.b_c-9", &long], &["-a", "a.", "a b", "a/b", &longer]),
        ];
        for (form, right, wrong) in forms {
            for text in right {
                assert_eq!((form.fault)(text), None, "{form:?}: {text}");
            }
            for text in wrong {
                assert!((form.fault)(text).is_some(), "{form:?}: {text}");
            }
        }
    }
}
