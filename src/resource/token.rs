//! What a bootstrap token leaves behind, and how little it is good for.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::{Change, Diff, Drift, Resource};
use crate::approver::client::{AUTO_APPROVAL, JOINS_OF};
use crate::command::{Cmd, Output, kubectl};
use crate::diagnostic::Result;
use crate::probe::Probe;

/// No bootstrap token of slipway's is left: this run's, or one that a killed run left behind. Whoever
/// has seen one could ask for a node's certificate until it ends by itself. Tokens that somebody else
/// made stay.
pub struct NoTokens {
    /// Whether this run makes one.
    pub makes_one: bool,
}

/// What can be had only from an API server that answers is tried five times; a cluster without one has
/// nobody to show a token to, and the next run finds it.
const REMOVE: &str = concat!(
    "k='",
    kubectl!(),
    r#" --request-timeout=10s --namespace kube-system'
i=0
until found=$($k get secrets --field-selector type=bootstrap.kubernetes.io/token \
  --output 'jsonpath={range .items[*]}{.metadata.name} {.data.description}{"\n"}{end}' 2>/dev/null); do
  i=$((i + 1)); [ $i -lt 5 ] || exit 0; sleep 2
done
printf '%s\n' "$found" | while read -r name about; do
  case $about in "$1"*) $k delete secret --ignore-not-found -- "$name" || exit 1 ;; esac
done"#
);

/// How the description of a token of slipway's begins, as its Secret holds it.
fn mark() -> String {
    // 18 bytes, so that nothing of what follows is in the last letter.
    BASE64.encode(JOINS_OF)
}

impl Resource for NoTokens {
    fn id(&self) -> String {
        "absence of bootstrap tokens".to_owned()
    }

    fn probe(&self) -> Probe {
        Probe::tokens()
    }

    fn compare(&self, seen: &Output) -> Result<Drift> {
        let text = seen.text();
        let ours = |line: &&str| line.split(' ').nth(1).is_some_and(|d| d.starts_with(&mark()));
        let left = text.lines().filter(ours).count();
        Ok(Drift::unless(seen.ok() && left == 0, Diff::delete("remove")))
    }

    fn converge(&self, _seen: &Output) -> Vec<Change> {
        let cmd = Cmd::shell(REMOVE).arg(mark());
        vec![Change::new("remove bootstrap tokens", cmd).repeatable()]
    }

    fn recreated_earlier(&self) -> bool {
        self.makes_one
    }

    // Nobody answers who could be asked.
    fn best_effort(&self, seen: &Output) -> bool {
        !seen.ok()
    }
}

/// Nobody becomes a node by a bootstrap token alone: slipway's own service judges each request.
pub struct NoAutoApproval;

impl Resource for NoAutoApproval {
    fn id(&self) -> String {
        format!("absence of ClusterRoleBinding {AUTO_APPROVAL}")
    }

    fn probe(&self) -> Probe {
        Probe::cluster_role_binding(AUTO_APPROVAL)
    }

    fn compare(&self, seen: &Output) -> Result<Drift> {
        // No answer proves nothing: `kubeadm init`, which comes before, makes it.
        Ok(Drift::unless(seen.ok() && seen.stdout.is_empty(), Diff::delete("remove")))
    }

    fn converge(&self, _seen: &Output) -> Vec<Change> {
        const REMOVE: &str =
            concat!(kubectl!(), r#" delete clusterrolebinding --ignore-not-found -- "$1""#);
        let cmd = Cmd::shell(REMOVE).arg(AUTO_APPROVAL);
        vec![Change::new(format!("remove {AUTO_APPROVAL}"), cmd).repeatable()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(code: i32, text: &str) -> Output {
        Output { code, stdout: text.into(), ..Output::default() }
    }

    #[test]
    fn only_tokens_of_ours_are_drift() {
        let tokens = NoTokens { makes_one: false };
        let line = |about: &str| format!("bootstrap-token-abcdef {}\n", BASE64.encode(about));
        let ours = line(&format!("{JOINS_OF}cp-2 w-1"));
        for (code, text, drift) in [
            (0, String::new(), false),
            (0, "bootstrap-token-abcdef \n".to_owned(), false),
            (0, line("for slipway: joins of x"), false),
            (0, ours.clone(), true),
            (0, line("an operator's") + &ours, true),
            (1, String::new(), true),
        ] {
            let compared = tokens.compare(&seen(code, &text)).unwrap();
            assert_eq!(compared != Drift::None, drift, "{code} {text}");
        }
        assert!(tokens.best_effort(&seen(1, "")) && !tokens.best_effort(&seen(0, &ours)));
    }

    #[test]
    fn a_binding_is_gone_only_if_an_api_server_says_so() {
        assert_eq!(NoAutoApproval.compare(&seen(0, "")).unwrap(), Drift::None);
        assert_ne!(NoAutoApproval.compare(&seen(1, "")).unwrap(), Drift::None);
        let there =
            "clusterrolebinding.rbac.authorization.k8s.io/kubeadm:node-autoapprove-bootstrap\n";
        assert_ne!(NoAutoApproval.compare(&seen(0, there)).unwrap(), Drift::None);
    }

    #[test]
    fn the_mark_ends_where_names_begin() {
        assert_eq!(JOINS_OF.len() % 3, 0);
    }
}
