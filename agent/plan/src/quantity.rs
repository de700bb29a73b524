//! Numbers with units, as predicates compare them: sizes in bytes and rates in bit/s.

use burin_protocol::order::{Size, SizeError};

/// `480GB`, `2TiB`, or a rate such as `25Gbit/s`; the result is bytes or bit/s.
pub fn parse(text: &str) -> Result<f64, SizeError> {
    match rate(text) {
        Some(bits) => Ok(bits),
        None => text.parse::<Size>().map(|size| size.bytes() as f64),
    }
}

/// `kbit/s`, `Mbit/s`, `Gbit/s`, `Tbit/s`: powers of ten.
fn rate(text: &str) -> Option<f64> {
    let number = text.trim().strip_suffix("bit/s")?.trim_end();
    let (number, factor) = [("k", 1e3), ("M", 1e6), ("G", 1e9), ("T", 1e12)]
        .into_iter()
        .find_map(|(prefix, factor)| number.strip_suffix(prefix).map(|rest| (rest, factor)))
        .unwrap_or((number, 1.0));
    let number = number.trim_end();
    let plain = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    plain.then(|| number.parse::<f64>().ok()).flatten().map(|value| value * factor)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn sizes_are_bytes_and_rates_are_bits_a_second() {
        assert_eq!(parse("480GB"), Ok(480e9));
        assert_eq!(parse("1GiB"), Ok(1073741824.0));
        assert_eq!(parse("25Gbit/s"), Ok(25e9));
        assert_eq!(parse("2.5 Gbit/s"), Ok(2.5e9));
        assert_eq!(parse("100bit/s"), Ok(100.0));
        for text in ["10G", "10", "Gbit/s", "-1Gbit/s", "infbit/s", "1e9bit/s"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
