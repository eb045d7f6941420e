//! Amounts, as a person writes them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A number of bytes. Written `50M` or `10G`; K, M and G are powers of 1024.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Size(pub u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let unit = match unit {
            "" => Some(1),
            "K" => Some(1 << 10),
            "M" => Some(1 << 20),
            "G" => Some(1 << 30),
            _ => None,
        };
        let bytes =
            number.parse().ok().zip(unit).and_then(|(n, unit): (u64, _)| n.checked_mul(unit));
        bytes.map(Self).ok_or_else(|| "a size is written as `50M` or `10G`".to_owned())
    }
}

/// A part of a whole, in percent: more than 0, at most 100, in steps of 0.01. Written `5%` or `0.5`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share(f64);

impl Share {
    /// How many of ten thousand.
    #[must_use]
    pub fn of_ten_thousand(self) -> String {
        format!("{:.0}", self.0 * 100.0)
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let percent = text.strip_suffix('%').unwrap_or(text).parse().ok();
        percent
            .filter(|percent| (0.01..=100.0).contains(percent))
            .map(Self)
            .ok_or_else(|| "a share is written as `5%`, at least 0.01% and at most 100%".to_owned())
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_1024() {
        for (text, bytes) in [("0", 0), ("512", 512), ("3K", 3072), ("50M", 52_428_800)] {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
        for bad in ["", "M", "-1", "1.5G", "5 M", "5MB", "5m", "99999999999G", "५M"] {
            assert!(bad.parse::<Size>().is_err(), "{bad}");
        }
    }

    #[test]
    fn shares_are_percentages() {
        for (text, count) in [("5%", "500"), ("0.5", "50"), ("0.01%", "1"), ("100%", "10000")] {
            assert_eq!(text.parse::<Share>().unwrap().of_ten_thousand(), count, "{text}");
        }
        assert_eq!("2.50".parse::<Share>().unwrap().to_string(), "2.5%");
        for bad in ["", "%", "0", "101%", "-5%", "NaN", "inf", "5%%", "five"] {
            assert!(bad.parse::<Share>().is_err(), "{bad}");
        }
    }
}
