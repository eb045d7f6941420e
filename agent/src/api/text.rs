//! Bounds of text and time in the API, and the same bounds for what is about to be written.

use std::time::Duration;

/// Letters, marks, numbers, punctuation, spaces: no control characters, nothing that turns text.
pub(super) const PRINTABLE: &str = r"^\P{C}*$";

/// A time as Kubernetes writes it.
pub(super) const TIME: &str =
    r"^2[0-9]{3}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?Z$";

/// A duration as Kubernetes writes it: hours, minutes, seconds.
pub(super) const DURATION: &str = "^([0-9]{1,5}h)?([0-9]{1,5}m)?([0-9]{1,5}s)?$";

/// `text`, with everything that the API refuses shown as an escape, and at most `longest` characters.
#[must_use]
pub fn clip(text: &str, longest: usize) -> String {
    let mut shown = String::new();
    for c in text.chars() {
        // Stricter than `\P{C}`: of what is not ASCII, letters and numbers alone.
        if c == ' ' || c.is_ascii_graphic() || c.is_alphanumeric() {
            shown.push(c);
        } else {
            shown.extend(c.escape_unicode());
        }
    }
    match shown.char_indices().nth(longest) {
        Some(_) => shown.chars().take(longest.saturating_sub(1)).chain(['…']).collect(),
        None => shown,
    }
}

/// A duration such as `30s`, `5m` or `2160h`; `None` for anything else.
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    let (mut total, mut number, mut last) = (0_u64, None::<u64>, 'z');
    for c in text.chars() {
        if let Some(digit) = c.to_digit(10) {
            number = Some(number.unwrap_or(0).checked_mul(10)?.checked_add(digit.into())?);
            continue;
        }
        let unit = match c {
            'h' if last == 'z' => 3600,
            'm' if matches!(last, 'z' | 'h') => 60,
            's' if last != 's' => 1,
            _ => return None,
        };
        total = total.checked_add(number.take()?.checked_mul(unit)?)?;
        last = c;
    }
    (number.is_none() && last != 'z').then(|| Duration::from_secs(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let table = [
            ("30s", Some(30)),
            ("5m", Some(300)),
            ("2160h", Some(7_776_000)),
            ("1h30m5s", Some(5405)),
            ("", None),
            ("30", None),
            ("s", None),
            ("5s5s", None),
            ("5s1h", None),
            ("-5s", None),
            ("99999999999999999999h", None),
        ];
        for (text, seconds) in table {
            assert_eq!(duration(text), seconds.map(Duration::from_secs), "{text}");
        }
    }

    #[test]
    fn text_is_escaped_and_cut() {
        assert_eq!(clip("a\u{1b}[31m\nb\u{202e}", 99), "a\\u{1b}[31m\\u{a}b\\u{202e}");
        assert_eq!(clip("größe 3", 99), "größe 3");
        assert_eq!(clip("abcdef", 4), "abc…");
        assert_eq!(clip("abcd", 4), "abcd");
    }

    proptest::proptest! {
        #[test]
        fn any_text_becomes_short_and_plain(text: String) {
            let clipped = clip(&text, 50);
            proptest::prop_assert!(clipped.chars().count() <= 50);
            proptest::prop_assert!(!clipped.chars().any(char::is_control));
        }

        #[test]
        fn any_text_is_a_duration_or_not(text in "[0-9hms]{0,12}|.{0,8}") {
            let _ = duration(&text);
        }
    }
}
