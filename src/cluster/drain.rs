//! How pods are taken off nodes.

use std::time::Duration;

/// How pods are taken off a node, and off how many at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(any(test, fuzzing), derive(Default))]
pub struct Drain {
    /// How many workers may be without pods at a time.
    pub max_unavailable: usize,
    /// How long budgets are waited for, on each node.
    pub timeout: Duration,
    /// Whether pods go that lose what is in their emptyDir.
    pub delete_empty_dir_data: bool,
    /// Whether pods go that nobody makes anew.
    pub force: bool,
    /// Disruption budgets that a person goes past in this run, `NAMESPACE/NAME`: nobody asks them.
    pub past: Vec<String>,
}

impl Drain {
    /// How many of so many workers are drained at a time: at least one, and never all of several, which would
    /// leave their pods nowhere to go.
    #[must_use]
    pub fn at_once(&self, workers: usize) -> usize {
        self.max_unavailable.min(workers.saturating_sub(1)).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_all_workers_at_once_but_an_only_one() {
        let at_once = |max_unavailable, workers| {
            Drain { max_unavailable, ..Drain::default() }.at_once(workers)
        };
        let table = [(1, 0, 1), (1, 1, 1), (1, 9, 1), (3, 9, 3), (3, 3, 2), (100, 2, 1)];
        for (most, workers, expected) in table {
            assert_eq!(at_once(most, workers), expected, "{most} of {workers}");
        }
    }
}
