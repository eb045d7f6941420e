//! Holds an inventory against the table of keys: unknown and missing keys, types, the form of
//! every text.

use saphyr::ScalarOwned;

use super::keys::{self, Kind, Presence};
use super::source::{Finding, Span};
use super::syntax::{self, Syntax};
use super::tree::{Node, Value};

/// Everything in `root` that the table of keys does not allow.
pub(super) fn check(root: &Node, findings: &mut Vec<Finding>) {
    Check { findings }.map(root, "", "the inventory");
}

/// The same for a second document.
pub(super) fn check_document(root: &Node, findings: &mut Vec<Finding>) {
    Check { findings }.map(root, keys::DOCUMENT, "the ClusterRegistration");
}

struct Check<'a> {
    findings: &'a mut Vec<Finding>,
}

impl Check<'_> {
    fn add(&mut self, title: impl AsRef<str>, span: &Span, label: impl AsRef<str>) {
        self.findings.push(Finding::new(title, span, label));
    }

    /// Notes that `node` is not what it should be.
    fn expected(&mut self, node: &Node, name: &str, what: &str) {
        self.add(format!("{name} must be {what}, not {}", node.kind()), &node.span, "");
    }

    /// A mapping with the keys below `path` in the table.
    fn map(&mut self, node: &Node, path: &str, name: &str) {
        let Value::Map(entries) = &node.value else {
            return self.expected(node, name, "a mapping");
        };
        let known: Vec<_> = keys::below(path).map(|(key, _)| key).collect();
        let mut meant = Vec::new();
        for entry in entries {
            if let Some((_, key)) = keys::below(path).find(|(key, _)| *key == entry.key) {
                self.value(&entry.value, key.path, key.kind);
                continue;
            }
            let near = near_miss(&entry.key, &known);
            let label = match near {
                Some(word) => format!("did you mean `{word}`?"),
                None => format!("expected {}", any_of(&known)),
            };
            meant.extend(near);
            self.add(format!("unknown key `{}`", entry.key), &entry.span, label);
        }
        for (missing, key) in keys::below(path) {
            let required = key.presence == Presence::Required && !meant.contains(&missing);
            if required && node.get(missing).is_none() {
                self.add(format!("{name} has no `{missing}`"), &node.span, "");
            }
        }
    }

    fn value(&mut self, node: &Node, path: &str, kind: Kind) {
        let name = &format!("`{}`", path.rsplit('.').next().unwrap_or(path));
        match kind {
            Kind::Map => self.map(node, path, name),
            Kind::Text(syntax) => self.text(node, name, syntax),
            Kind::Number(least, most) => self.number(node, name, least, most),
            Kind::Bool => {
                if !matches!(node.value, Value::Scalar(ScalarOwned::Boolean(_), _)) {
                    self.expected(node, name, "true or false");
                }
            }
            Kind::Choice(what, words) => self.choice(node, name, what, words),
            Kind::Settings(owned) => self.settings(node, name, owned),
            Kind::Pairs(keys, values) => {
                let Value::Map(entries) = &node.value else {
                    return self.expected(node, name, "a mapping");
                };
                for entry in entries {
                    self.syntax(&entry.key, &entry.span, keys);
                    self.text(&entry.value, &format!("`{}`", entry.key), values);
                }
            }
            Kind::Maps => {
                let item = format!("{path}[]");
                let singular = name.replace("s`", "`").replace('`', "");
                self.list(node, name, |check, node| {
                    check.map(node, &item, &format!("this {singular}"));
                });
            }
            Kind::List(syntax) => {
                self.list(node, name, |check, node| check.text(node, name, syntax));
            }
            Kind::OneOrMore(syntax) => match &node.value {
                Value::List(items) if items.len() != 1 => {
                    let label = "several, as for dual stack, are not supported yet";
                    self.add(format!("{name} must be one network"), &node.span, label);
                }
                Value::List(_) => {
                    self.list(node, name, |check, node| check.text(node, name, syntax));
                }
                _ => self.text(node, name, syntax),
            },
        }
    }

    fn number(&mut self, node: &Node, name: &str, least: i64, most: i64) {
        let what = format!("a number from {least} to {most}");
        match node.integer() {
            None if let Some((is, label)) = not_whole(node) => {
                let what = what.replacen("a number", "a whole number", 1);
                self.add(format!("{name} must be {what}, not {is}"), &node.span, label);
            }
            None if node.text().is_some_and(syntax::is_variable) => {
                let title = format!("{name} must be {what}, not {}", node.kind());
                self.add(title, &node.span, syntax::NO_VARIABLES);
            }
            None => self.expected(node, name, &what),
            Some(n) if (least..=most).contains(&n) => {}
            Some(_) => self.add(format!("{name} must be {what}"), &node.span, ""),
        }
    }

    fn choice(&mut self, node: &Node, name: &str, what: &str, words: &[&str]) {
        let Some(text) = node.text() else { return self.expected(node, name, "text") };
        if words.contains(&text) {
            return;
        }
        let label = match syntax::is_variable(text) {
            true => syntax::NO_VARIABLES.to_owned(),
            false => format!("expected {}", any_of(words)),
        };
        self.add(format!("unsupported {what} `{text}`"), &node.span, label);
    }

    fn list(&mut self, node: &Node, name: &str, item: impl Fn(&mut Self, &Node)) {
        match &node.value {
            Value::List(items) => items.iter().for_each(|node| item(self, node)),
            _ => self.expected(node, name, "a list"),
        }
    }

    fn text(&mut self, node: &Node, name: &str, syntax: &Syntax) {
        match &node.value {
            Value::Scalar(ScalarOwned::String(text), _) => self.syntax(text, &node.span, syntax),
            Value::Scalar(meaning, _) if *meaning != ScalarOwned::Null => {
                let title = format!("{name} must be text, not {}", node.kind());
                self.add(title, &node.span, "put it in quotes");
            }
            _ => self.expected(node, name, "text"),
        }
    }

    fn syntax(&mut self, text: &str, span: &Span, syntax: &Syntax) {
        if let Some(reason) = (syntax.fault)(text) {
            let reason = match syntax::is_variable(text) {
                true => syntax::NO_VARIABLES.to_owned(),
                false => reason,
            };
            self.add(format!("`{text}` is not {}", syntax.name), span, reason);
        }
    }

    fn settings(&mut self, node: &Node, name: &str, owned: &[(&str, &str)]) {
        let Value::Map(entries) = &node.value else {
            return self.expected(node, name, "a mapping");
        };
        for entry in entries {
            if let Some((key, why)) = owned.iter().find(|(key, _)| *key == entry.key) {
                self.add(format!("slipway sets `{key}` of {name} itself"), &entry.span, why);
            }
        }
    }
}

/// What a number is that should be whole and is not, as it is written, and what to write instead.
pub(super) fn not_whole(node: &Node) -> Option<(String, String)> {
    let number = node.fraction()?;
    // Whole numbers below 2^53 are exact.
    let whole = number.fract() == 0.0 && number.abs() < 9e15;
    let label = if whole { format!("write `{number}`") } else { String::new() };
    Some((format!("`{}`", node.text()?), label))
}

/// The word that was probably meant by `text`.
pub(super) fn near_miss<'a>(text: &str, words: &[&'a str]) -> Option<&'a str> {
    let likeness = |word: &str| strsim::jaro_winkler(&text.to_lowercase(), &word.to_lowercase());
    let rated = words.iter().map(|word| (likeness(word), *word));
    let (likeness, word) = rated.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (likeness > 0.8).then_some(word)
}

/// `a`, `b` or `c`.
pub(super) fn any_of(words: &[&str]) -> String {
    match words {
        [first @ .., last] if !first.is_empty() => format!("`{}` or `{last}`", first.join("`, `")),
        _ => format!("`{}`", words.join("`, `")),
    }
}
