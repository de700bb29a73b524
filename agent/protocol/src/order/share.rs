//! Sizes of logical volumes: bytes, or a percentage of what they are taken from.

use super::size::{Size, SizeError};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::{Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// `"20GiB"` or `"40%"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    Bytes(Size),
    /// 1 to 100.
    Percent(u8),
}

impl Share {
    /// The size in bytes; percentages are of `whole`.
    pub fn of(self, whole: u64) -> u64 {
        match self {
            Self::Bytes(size) => size.bytes(),
            Self::Percent(percent) => whole / 100 * u64::from(percent) + whole % 100 * u64::from(percent) / 100,
        }
    }
}

/// Why a text is not a share.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShareError {
    #[error("`{0}`: expected whole percent from 1% to 100%")]
    Percent(String),
    #[error(transparent)]
    Size(#[from] SizeError),
}

impl FromStr for Share {
    type Err = ShareError;

    fn from_str(text: &str) -> Result<Self, ShareError> {
        let Some(number) = text.trim().strip_suffix('%') else { return Ok(Self::Bytes(text.parse()?)) };
        let percent = number.trim().parse().ok().filter(|percent| (1..=100).contains(percent));
        percent.map(Self::Percent).ok_or_else(|| ShareError::Percent(text.to_owned()))
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Bytes(size) => size.fmt(f),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

impl Serialize for Share {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Share;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a size with a unit such as \"20GiB\", or percent such as \"40%\"")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Share, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text)
    }
}

impl JsonSchema for Share {
    fn schema_name() -> Cow<'static, str> {
        "Share".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A size with its unit (GB is 10^9 bytes, GiB is 2^30), or whole percent.",
            "type": "string",
            "pattern": r"^([0-9]+(\.[0-9]+)? ?(B|[kK]B|KiB|[MGTP]i?B)|[0-9]{1,3} ?%)$",
            "examples": ["20GiB", "40%"]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_percent_are_read_and_written() {
        for (text, of_1000) in [("512B", 512), ("40%", 400), ("100 %", 1000), ("1%", 10)] {
            let share: Share = text.parse().unwrap();
            assert_eq!((share.of(1000), share.to_string().parse::<Share>()), (of_1000, Ok(share)), "{text}");
        }
        assert_eq!("33%".parse::<Share>().unwrap().of(u64::MAX), 6_087_425_544_324_152_032);
        for text in ["0%", "101%", "1.5%", "%", "-1%", "300%"] {
            assert!(matches!(text.parse::<Share>(), Err(ShareError::Percent(_))), "{text}");
        }
        assert!(matches!("40".parse::<Share>(), Err(ShareError::Size(_))));
    }
}
