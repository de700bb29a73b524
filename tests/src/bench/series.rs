//! Repeated measurements of one quantity.

use std::fmt;

/// Values in the order they were taken.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Series(Vec<f64>);

impl Series {
    fn sorted(&self) -> Vec<f64> {
        let mut values = self.0.clone();
        values.sort_by(f64::total_cmp);
        values
    }

    /// The median; of an even number of values, the mean of the two in the middle. `None` if there are no values.
    pub fn median(&self) -> Option<f64> {
        let values = self.sorted();
        let middle = values.len() / 2;
        let upper = *values.get(middle)?;
        if values.len() % 2 == 1 {
            return Some(upper);
        }
        Some((values.get(middle.checked_sub(1)?)? + upper) / 2.0)
    }

    pub fn min(&self) -> Option<f64> {
        self.sorted().first().copied()
    }

    pub fn max(&self) -> Option<f64> {
        self.sorted().last().copied()
    }
}

impl FromIterator<f64> for Series {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

/// The median; with more than one value also minimum and maximum, in brackets.
impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.median(), self.min(), self.max()) {
            (Some(median), Some(min), Some(max)) if self.0.len() > 1 => write!(f, "{median:.2} ({min:.2}–{max:.2})"),
            (Some(median), ..) => write!(f, "{median:.2}"),
            _ => f.write_str("–"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(values: &[f64]) -> Series {
        values.iter().copied().collect()
    }

    #[test]
    fn the_median_is_in_the_middle_whatever_the_order() {
        assert_eq!(series(&[3.0, 1.0, 2.0]).median(), Some(2.0));
        assert_eq!(series(&[4.0, 1.0, 3.0, 2.0]).median(), Some(2.5));
        assert_eq!(series(&[7.0]).median(), Some(7.0));
        assert_eq!(series(&[]).median(), None);
    }

    #[test]
    fn shows_how_far_apart_the_runs_were() {
        assert_eq!(series(&[2.0, 1.0, 9.0]).to_string(), "2.00 (1.00–9.00)");
        assert_eq!(series(&[2.0]).to_string(), "2.00");
        assert_eq!(series(&[]).to_string(), "–");
    }
}
