//! Redacts FRU inventories. They are read in parts, and a value may cross two of them, so they are joined first.

use super::super::recording::Answer;
use crate::parse::ipmifru;
use std::collections::BTreeMap;

/// The key of Read FRU Data: `ipmi_ipmi0_0a_11_` and, in hexadecimal, device, offset (low, high) and count.
fn part(key: &str) -> Option<(&str, usize)> {
    let (front, data) = key.rsplit_once('_')?;
    (key.starts_with("ipmi_") && front.ends_with("_0a_11") && data.len() == 8).then_some(())?;
    let byte = |at: usize| u8::from_str_radix(data.get(at..at + 2)?, 16).ok();
    let offset = usize::from(u16::from_le_bytes([byte(2)?, byte(4)?]));
    // Front and device.
    Some((key.get(..front.len() + 3)?, offset))
}

/// Changes each inventory as a whole, and blanks what its fields of known meaning do not hold.
pub fn each(queries: &mut BTreeMap<String, Answer<Vec<u8>>>, mut change: impl FnMut(&mut Vec<u8>)) {
    let mut boards: BTreeMap<String, BTreeMap<usize, String>> = BTreeMap::new();
    for (board, offset, key) in queries.keys().filter_map(|key| part(key).map(|(board, offset)| (board, offset, key))) {
        boards.entry(board.to_owned()).or_default().insert(offset, key.clone());
    }
    for parts in boards.values() {
        let mut whole = Vec::new();
        let mut ranges = Vec::new();
        for key in parts.values() {
            let Some(Ok(answer)) = queries.get(key) else { continue };
            // Completion code, count, data.
            let Some(data) = ipmifru::data(answer) else { continue };
            ranges.push((key, whole.len(), data.len()));
            whole.extend(data);
        }
        ipmifru::blank_others(&mut whole);
        change(&mut whole);
        for (key, from, length) in ranges {
            let Some(Ok(answer)) = queries.get_mut(key) else { continue };
            if let (Some(place), Some(data)) = (answer.get_mut(2..2 + length), whole.get(from..from + length)) {
                place.copy_from_slice(data);
            }
        }
    }
}
