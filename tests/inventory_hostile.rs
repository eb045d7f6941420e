//! Inventories that nobody writes by hand: whatever the bytes, the reader answers, and soon.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use slipway::diagnostic::Kind;
use slipway::inventory::{Inventory, load};

/// The example with every key, read from a file that `change` has changed.
fn load_changed(change: impl FnOnce(String) -> Vec<u8>) -> slipway::diagnostic::Result<Inventory> {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("inventories/all-keys.yaml");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("slipway.yaml");
    fs::write(&file, change(fs::read_to_string(example).unwrap())).unwrap();
    load(&file)
}

fn load_text(text: &str) -> slipway::diagnostic::Result<Inventory> {
    load_changed(|_| text.as_bytes().to_owned())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_mutation_panics(
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0usize..8, "[ -~äß\n\r\t\u{feff}]{0,6}"), 1..12),
    ) {
        let result = load_changed(|text| {
            let mut chars: Vec<char> = text.chars().collect();
            for (at, removed, added) in &edits {
                let from = at.index(chars.len() + 1);
                let to = (from + removed).min(chars.len());
                chars.splice(from..to, added.chars());
            }
            chars.into_iter().collect::<String>().into_bytes()
        });
        if let Err(error) = result {
            prop_assert_eq!(error.kind(), Kind::Inventory);
        }
    }

    #[test]
    fn no_line_is_needed_for_a_clear_answer(gone in any::<prop::sample::Index>(), copied in any::<prop::sample::Index>()) {
        let result = load_changed(|text| {
            let mut lines: Vec<&str> = text.lines().collect();
            lines.remove(gone.index(lines.len()));
            lines.insert(gone.index(lines.len()), lines[copied.index(lines.len())]);
            lines.join("\n").into_bytes()
        });
        if let Err(error) = result {
            prop_assert_eq!(error.kind(), Kind::Inventory);
        }
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = load_changed(|_| bytes);
    }
}

#[test]
fn large_and_deep_files_are_refused_soon() {
    let bomb = "a: &a [x, x]\nb: &b [*a, *a, *a, *a]\nc: &c [*b, *b, *b, *b]\n";
    let keys: String = (0..10_000).map(|n| format!("key{n}: 1\n")).collect();
    let cases = [
        ("blocks", "- ".repeat(300_000)),
        ("brackets", "[".repeat(1_000_000)),
        ("braces", "{a: ".repeat(200_000)),
        ("aliases", bomb.to_owned()),
        ("unknown keys", keys),
        ("the same key", "a: 1\n".repeat(30_000)),
        ("one long line", format!("name: {}", "x".repeat(300_000))),
        ("question marks", "? ".repeat(300_000)),
    ];
    for (name, text) in cases {
        let start = Instant::now();
        let error = load_text(&text).unwrap_err();
        assert!(error.to_string().len() < 100_000, "{name}: {} bytes", error.to_string().len());
        let elapsed = start.elapsed();
        assert!(elapsed < Duration::from_secs(10), "{name} took {elapsed:?}");
    }
}

#[test]
fn line_ends_and_byte_order_mark_do_not_move_places() {
    let wrong = |text: String| text.replace("role: worker", "role: wörker");
    let plain = load_changed(|text| wrong(text).into_bytes()).unwrap_err().to_string();
    let windows =
        load_changed(|text| wrong(format!("\u{feff}{}", text.replace('\n', "\r\n"))).into_bytes());
    let windows = windows.unwrap_err().to_string();
    let place = |text: &str| text.split("slipway.yaml").nth(1).map(str::to_owned);
    assert!(plain.contains("━━━━━━ expected"), "{plain}");
    assert_eq!(place(&windows), place(&plain));
}

#[test]
fn control_characters_do_not_reach_the_terminal() {
    for text in ["\"\\e[31m\": 1\n", "x: 1 # \u{1b}[31m\n", "x: \u{1b}[31m\n"] {
        let error = load_text(text).unwrap_err().to_string();
        assert!(!error.contains('\u{1b}'), "{error}");
    }
}
