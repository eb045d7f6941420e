//! Quantities as Kubernetes reads them (`resource.Quantity`): `500m`, `1.5Gi`, `2e3`.

/// What a quantity looks like, for messages.
pub const EXPECTED: &str = "expected a quantity, such as `500m`, `2`, `512Mi` or `1.5Gi`";

/// Nanos in one: the finest that Kubernetes keeps.
const ONE: i128 = 1_000_000_000;

/// Kubernetes' largest amount, 2^63 - 1; larger ones are cut to it.
const LARGEST: i128 = (i64::MAX as i128) * ONE;

/// Suffixes with their powers of ten.
const DECIMAL: &[(&str, i32)] = &[
    ("n", -9),
    ("u", -6),
    ("m", -3),
    ("", 0),
    ("k", 3),
    ("M", 6),
    ("G", 9),
    ("T", 12),
    ("P", 15),
    ("E", 18),
];

/// Suffixes with their powers of two.
const BINARY: &[(&str, u32)] =
    &[("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];

/// How much `text` is, in billionths; what is finer is rounded up, as Kubernetes does.
#[must_use]
pub fn nanos(text: &str) -> Option<i128> {
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(rest.len());
    let (number, suffix) = rest.split_at_checked(end)?;
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if part.contains('.') || (whole.is_empty() && part.is_empty()) {
        return None;
    }
    let digits = format!("{whole}{part}");
    let digits = digits.trim_start_matches('0');
    let scale = i32::try_from(part.len()).ok()?;
    let (times, power) = match BINARY.iter().find(|(name, _)| *name == suffix) {
        Some((_, twos)) => (1i128 << twos, 0),
        None => (1, decimal(suffix)?),
    };
    let amount = scaled(digits, times, power.saturating_sub(scale).saturating_add(9));
    let amount = amount.unwrap_or(LARGEST).min(LARGEST);
    Some(if negative { -amount } else { amount })
}

/// Whether `a` and `b` are quantities, and equally much.
#[must_use]
pub fn same(a: &str, b: &str) -> bool {
    nanos(a).is_some_and(|amount| nanos(b) == Some(amount))
}

/// The power of ten that `suffix` stands for: a letter, or an exponent such as `e3`.
fn decimal(suffix: &str) -> Option<i32> {
    if let Some((_, power)) = DECIMAL.iter().find(|(name, _)| *name == suffix) {
        return Some(*power);
    }
    let exponent = suffix.strip_prefix(['e', 'E'])?;
    let digits = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    exponent.parse().ok().filter(|_| plain)
}

/// `digits × times × 10^power`, rounded up; none when that is more than fits.
fn scaled(digits: &str, times: i128, power: i32) -> Option<i128> {
    if digits.is_empty() {
        return Some(0);
    }
    let length = i32::try_from(digits.len()).ok()?;
    // More digits than 38 do not fit; what they would say is above the largest or below the finest.
    if length.saturating_add(power) > 38 {
        return None;
    }
    if length.saturating_add(power) < -20 {
        return Some(1);
    }
    let kept = digits.get(..30).unwrap_or(digits);
    let dropped = i32::try_from(digits.len() - kept.len()).ok()?;
    let more = digits.get(kept.len()..).is_some_and(|rest| rest.bytes().any(|digit| digit != b'0'));
    let value = kept.parse::<i128>().ok()?;
    let power = power.saturating_add(dropped);
    let ten = 10i128.checked_pow(power.unsigned_abs())?;
    if power >= 0 {
        return value.checked_mul(times)?.checked_mul(ten)?.checked_add(i128::from(more));
    }
    let product = match value.checked_mul(times) {
        Some(product) => product,
        // A long fraction of a binary unit: what is finer than these digits is lost in rounding.
        None => return (value / ten).checked_mul(times),
    };
    Some(product / ten + i128::from(product % ten != 0 || more))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn equal_amounts_are_equal_however_they_are_written() {
        let equal = [
            ("1", "1000m"),
            ("1.0", "1"),
            (".5", "500m"),
            ("1.", "1"),
            ("1Ki", "1024"),
            ("1.5Gi", "1536Mi"),
            ("2e3", "2k"),
            ("2E3", "2000"),
            ("1E", "1e18"),
            ("0.1Gi", "107374182.4"),
            ("0", "-0"),
            ("0Mi", "0"),
            ("+5", "5"),
            ("1e-10", "1n"),
            ("100000000000000000000", "9223372036854775807"),
            ("1e999999999", "9223372036854775807"),
            ("1e-999999999", "1n"),
        ];
        for (a, b) in equal {
            assert!(same(a, b), "{a} and {b}: {:?}, {:?}", nanos(a), nanos(b));
        }
        for (a, b) in [("1", "1m"), ("1M", "1Mi"), ("1k", "1Ki"), ("-1", "1"), ("10", "100")] {
            assert!(nanos(a).is_some() && nanos(b).is_some() && !same(a, b), "{a} and {b}");
        }
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for text in
            ["", "-", ".", "Mi", "1 Gi", "1mi", "1KI", "1GB", "1.2.3", "1e", "1e1.5", "a", "1%"]
        {
            assert_eq!(nanos(text), None, "{text}");
            assert!(!same(text, text));
        }
    }

    proptest! {
        #[test]
        fn whole_numbers_are_what_they_are(number in any::<i64>()) {
            let nanos = nanos(&number.to_string());
            prop_assert_eq!(nanos, Some((i128::from(number) * ONE).max(-LARGEST)));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,60}", near in "[-+0-9.eEKMGTPinumk]{0,60}") {
            let _ = (nanos(&text), nanos(&near));
        }
    }
}
