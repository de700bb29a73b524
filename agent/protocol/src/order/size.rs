//! Sizes with units: `GB` is 10^9 bytes, `GiB` is 2^30; a bare number or a bare `G` is an error.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::{Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// A number of bytes, written with its unit: `"480GB"`, `"2TiB"`, `"1.92 TB"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(u64);

/// Why a text is not a size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    #[error("`{0}` has no unit: write the bytes as `{0}B`, or use GB (10^9) or GiB (2^30)")]
    NoUnit(String),
    #[error("the unit of `{text}` is ambiguous: write {unit}B (powers of ten) or {unit}iB (powers of two)")]
    Ambiguous { text: String, unit: String },
    #[error("`{0}` is not a size: expected a number with a unit such as `480GB` or `2TiB`")]
    Malformed(String),
    #[error("`{0}` is not a whole number of bytes")]
    Fraction(String),
    #[error("`{0}` is larger than any disk")]
    TooLarge(String),
}

const UNITS: &[(&str, u64)] = &[
    ("PiB", 1 << 50),
    ("PB", 1_000_000_000_000_000),
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1_000),
    ("KB", 1_000),
    ("B", 1),
];

impl Size {
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for Size {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let trimmed = text.trim();
        let end = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
        let (number, unit) = trimmed.split_at(end);
        let unit = unit.trim_start();
        let malformed = || SizeError::Malformed(text.to_owned());
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() || (number.contains('.') && fraction.is_empty()) || fraction.contains('.') {
            return Err(malformed());
        }
        if unit.is_empty() {
            return Err(SizeError::NoUnit(trimmed.to_owned()));
        }
        if unit.len() == 1 && "kKMGTP".contains(unit) {
            return Err(SizeError::Ambiguous { text: trimmed.to_owned(), unit: unit.to_owned() });
        }
        let factor = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor).ok_or_else(malformed)?;

        let too_large = || SizeError::TooLarge(text.to_owned());
        let whole: u128 = whole.parse().map_err(|_| too_large())?;
        let digits = u32::try_from(fraction.len()).ok().filter(|n| *n <= 15).ok_or_else(malformed)?;
        let scale = 10u128.pow(digits);
        let numerator: u128 = if fraction.is_empty() { 0 } else { fraction.parse().map_err(|_| malformed())? };
        let scaled = whole
            .checked_mul(scale)
            .and_then(|n| n.checked_add(numerator))
            .and_then(|n| n.checked_mul(u128::from(factor)))
            .ok_or_else(too_large)?;
        if scaled % scale != 0 {
            return Err(SizeError::Fraction(text.to_owned()));
        }
        u64::try_from(scaled / scale).map(Size).map_err(|_| too_large())
    }
}

/// Exact: in the largest unit that needs no fraction.
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let exact = UNITS.iter().filter(|(_, factor)| self.0 != 0 && self.0.is_multiple_of(*factor));
        let (unit, factor) = exact.max_by_key(|(_, factor)| *factor).copied().unwrap_or(("B", 1));
        write!(f, "{}{unit}", self.0 / factor)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Size;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a size with a unit such as \"480GB\" or \"2TiB\"")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Size, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text)
    }
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A size with its unit: GB is 10^9 bytes, GiB is 2^30.",
            "type": "string",
            "pattern": r"^[0-9]+(\.[0-9]+)? ?(B|[kK]B|KiB|[MGTP]i?B)$",
            "examples": ["480GB", "2TiB", "1.92TB"]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_decimal_or_binary_as_written() {
        for (text, bytes) in [
            ("480GB", 480_000_000_000),
            ("2TiB", 2 << 40),
            ("1.92TB", 1_920_000_000_000),
            ("1.5 GiB", 3 << 29),
            ("512B", 512),
            ("4KiB", 4096),
            ("4kB", 4000),
            (" 0B ", 0),
        ] {
            assert_eq!(text.parse::<Size>().map(Size::bytes), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn a_bare_unit_or_number_is_an_error() {
        assert!(matches!("480G".parse::<Size>(), Err(SizeError::Ambiguous { .. })));
        assert!(matches!("480".parse::<Size>(), Err(SizeError::NoUnit(_))));
        for text in ["", "GB", "-1GB", "1.GB", ".5GB", "1.2.3GB", "1gb", "1 G B", "1GBB", "1e3GB", "٣GB"] {
            assert!(matches!(text.parse::<Size>(), Err(SizeError::Malformed(_))), "{text}");
        }
        assert!(matches!("1.5B".parse::<Size>(), Err(SizeError::Fraction(_))));
        assert!(matches!("99999999PiB".parse::<Size>(), Err(SizeError::TooLarge(_))));
        assert!(matches!("9999999999999999999999999999999999999999GB".parse::<Size>(), Err(SizeError::TooLarge(_))));
    }

    #[test]
    fn display_is_exact_and_parses_back() {
        for bytes in [0, 1, 512, 4096, 480_000_000_000, 1 << 40, 480_103_981_056, u64::MAX] {
            let text = Size::from_bytes(bytes).to_string();
            assert_eq!(text.parse::<Size>(), Ok(Size::from_bytes(bytes)), "{text}");
        }
        assert_eq!(Size::from_bytes(3 << 30).to_string(), "3GiB");
        assert_eq!(Size::from_bytes(480_000_000_000).to_string(), "480GB");
    }
}
