//! Durations as Kubernetes reads and writes them (`metav1.Duration`, Go's `time.Duration`).

use std::fmt;

/// A length of time, in whole nanoseconds; may be negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(pub i64);

/// Go's units and their lengths in nanoseconds, as `time.ParseDuration` knows them.
const UNITS: &[(&str, u64)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000), // U+00B5, micro sign
    ("μs", 1_000), // U+03BC, Greek letter mu
    ("ms", 1_000_000),
    ("s", SECOND.unsigned_abs()),
    ("m", MINUTE.unsigned_abs()),
    ("h", HOUR.unsigned_abs()),
];

/// A millisecond, in nanoseconds.
pub const MILLISECOND: i64 = 1_000_000;
/// A second, in nanoseconds.
pub const SECOND: i64 = 1_000 * MILLISECOND;
/// A minute, in nanoseconds.
pub const MINUTE: i64 = 60 * SECOND;
/// An hour, in nanoseconds.
pub const HOUR: i64 = 60 * MINUTE;

/// What a duration looks like, for messages.
pub const EXPECTED: &str = "expected numbers with units, such as `90s`, `2m` or `1h30m`";

/// The duration that `text` means, such as `1h30m`, `1.5s` or `100ms`.
#[must_use]
pub fn parse(text: &str) -> Option<Duration> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(Duration(0));
    }
    let mut sum: u64 = 0;
    while sum == 0 || !rest.is_empty() {
        let (whole, after) = digits(rest);
        let (part, after) = match after.strip_prefix('.') {
            Some(after) => digits(after),
            None => ("", after),
        };
        if whole.is_empty() && part.is_empty() {
            return None;
        }
        let end = after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(end)?;
        let (_, length) = UNITS.iter().find(|(name, _)| *name == unit)?;
        let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        sum = sum.checked_add(whole.checked_mul(*length)?)?.checked_add(fraction(part, *length))?;
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    let sum = i128::from(sum);
    i64::try_from(if negative { -sum } else { sum }).ok().map(Duration)
}

/// The digits at the beginning of `text`, and the rest.
fn digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

/// `0.part` of `length` nanoseconds; what is below a nanosecond is cut, as Go does.
fn fraction(part: &str, length: u64) -> u64 {
    // No unit has more than 13 digits of nanoseconds.
    let kept = part.get(..18).unwrap_or(part);
    let value: u128 = kept.parse().unwrap_or_default();
    let scale = 10u128.pow(u32::try_from(kept.len()).unwrap_or_default());
    u64::try_from(value * u128::from(length) / scale).unwrap_or_default()
}

impl fmt::Display for Duration {
    /// As Go's `Duration.String` writes it: `120s` is `2m0s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let ns = self.0.unsigned_abs();
        let second = SECOND.unsigned_abs();
        f.write_str(sign)?;
        if ns == 0 {
            return f.write_str("0s");
        }
        if ns < second {
            let small = [("ms", 1_000_000), ("µs", 1_000), ("ns", 1)];
            let (unit, length) = small.into_iter().find(|(_, one)| ns >= *one).unwrap_or(("ns", 1));
            return write!(f, "{}{unit}", decimal(ns, length));
        }
        let (minute, hour) = (MINUTE.unsigned_abs(), HOUR.unsigned_abs());
        if ns >= hour {
            write!(f, "{}h", ns / hour)?;
        }
        if ns >= minute {
            write!(f, "{}m", ns % hour / minute)?;
        }
        write!(f, "{}s", decimal(ns % minute, second))
    }
}

/// `value` in units of `length`, a power of ten, with no more decimals than it needs.
fn decimal(value: u64, length: u64) -> String {
    let (whole, part) = (value / length, value % length);
    if part == 0 {
        return whole.to_string();
    }
    let width = length.ilog10() as usize;
    let part = format!("{part:0width$}");
    format!("{whole}.{}", part.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As Go 1.26's `time.ParseDuration` and `String` answer.
    #[test]
    fn durations_are_read_and_written_as_go_does() {
        let cases = [
            ("0", "0s"),
            ("0s", "0s"),
            ("120s", "2m0s"),
            ("90s", "1m30s"),
            ("100m", "1h40m0s"),
            ("5m", "5m0s"),
            ("10s", "10s"),
            ("1h", "1h0m0s"),
            ("1.5h", "1h30m0s"),
            (".5s", "500ms"),
            ("1.s", "1s"),
            ("1h1.5s", "1h0m1.5s"),
            ("100ms", "100ms"),
            ("1500us", "1.5ms"),
            ("3µs", "3µs"),
            ("3μs", "3µs"),
            ("1ns", "1ns"),
            ("-90s", "-1m30s"),
            ("+1m", "1m0s"),
            ("0s1m", "1m0s"),
            ("0.9999999999s", "999.999999ms"),
            ("2562047h47m16.854775807s", "2562047h47m16.854775807s"),
            ("-2562047h47m16.854775808s", "-2562047h47m16.854775808s"),
        ];
        for (text, written) in cases {
            let read = parse(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(read.to_string(), written, "{text}");
        }
    }

    #[test]
    fn what_go_refuses_is_refused() {
        let wrong = [
            "",
            "-",
            "+",
            "1",
            "s",
            ".s",
            "1 s",
            "5mm",
            "1d",
            "--1s",
            "1s-",
            "1h ",
            "2562048h",
            "2562047h47m16.854775808s",
            "9223372036854775808ns",
            "1e3s",
            "0x1s",
            "１s",
        ];
        for text in wrong {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(ns in any::<i64>()) {
            prop_assert_eq!(parse(&Duration(ns).to_string()), Some(Duration(ns)));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,30}", near in "[-+0-9.hmsnuµ]{0,30}") {
            let _ = (parse(&text), parse(&near));
        }
    }
}
