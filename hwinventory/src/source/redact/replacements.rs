//! Replaces byte strings in files and answers.

use super::forms::{Pair, binary_forms, family, hexadecimal, replaced_text, rewritten, text_forms};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Shorter values are replaced only where they stand alone: inside other text they would match by chance.
const SHORTEST: usize = 6;

/// Found by their first four bytes.
pub struct Replacements {
    by_head: HashMap<[u8; 4], Vec<Pair>>,
    /// Those that may stand for a word, which paths are made of.
    words: BTreeSet<Vec<u8>>,
    alone: HashMap<Vec<u8>, Vec<u8>>,
}

impl Replacements {
    pub fn new(atoms: &BTreeSet<String>, key: &[u8]) -> Replacements {
        let pairs = pairs(atoms, key);
        let mut by_head: HashMap<[u8; 4], Vec<Pair>> = HashMap::new();
        let (mut alone, mut words) = (HashMap::new(), BTreeSet::new());
        for (old, new) in pairs {
            match old.first_chunk::<4>() {
                Some(head) if old.len() >= SHORTEST => {
                    if old.len() < 16 && !old.iter().any(u8::is_ascii_digit) {
                        words.insert(old.clone());
                    }
                    by_head.entry(*head).or_default().push((old, new));
                }
                _ => drop(alone.insert(old, new)),
            }
        }
        // The longest match first: a serial number may contain another.
        by_head.values_mut().for_each(|list| list.sort_by_key(|(old, _)| std::cmp::Reverse(old.len())));
        Replacements { by_head, words, alone }
    }

    /// Text or bytes of any kind. A short number in a longer one is there by chance.
    pub fn apply(&self, bytes: &mut [u8]) {
        self.replace(bytes, |old, alone| alone || !is_number(old));
    }

    /// A file that holds nothing but a name.
    pub fn apply_to_name(&self, bytes: &mut [u8]) {
        let start = bytes.len() - bytes.trim_ascii_start().len();
        match self.alone.get(bytes.trim_ascii()) {
            Some(new) => overwrite(bytes.get_mut(start..).unwrap_or_default(), new),
            None => self.replace(bytes, |_, _| true),
        }
    }

    /// A name of a file or a query: words without digits are left, they are more likely the kernel's than the machine's.
    pub fn path(&self, text: &str) -> String {
        let mut bytes = text.as_bytes().to_vec();
        self.replace(&mut bytes, |old, alone| !self.words.contains(old) && (alone || !is_number(old)));
        String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
    }

    /// Short values, too, where they are the whole of a string that ends with NUL.
    pub fn apply_to_strings(&self, table: &mut [u8]) {
        for string in table.split_mut(|&byte| byte == 0) {
            if let Some(new) = self.alone.get(&*string) {
                overwrite(string, new);
            }
        }
    }

    /// A page of vital product data: behind its head of four bytes a short name may stand alone.
    pub fn apply_to_page(&self, page: &mut [u8]) {
        self.apply_to_name(page.get_mut(4..).unwrap_or_default());
    }

    /// `wanted` is asked of each value that is found, and whether no digit stands next to it.
    fn replace(&self, bytes: &mut [u8], wanted: impl Fn(&[u8], bool) -> bool) {
        let mut at = 0;
        while let Some(head) = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>()) {
            let hit = self.by_head.get(head).and_then(|candidates| {
                let rest = bytes.get(at..).unwrap_or_default();
                let is_digit = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_digit);
                let alone = |old: &[u8]| !is_digit(at.checked_sub(1)) && !is_digit(Some(at + old.len()));
                candidates.iter().find(|(old, _)| rest.starts_with(old) && wanted(old, alone(old)))
            });
            match hit {
                Some((old, new)) => {
                    overwrite(bytes.get_mut(at..).unwrap_or_default(), new);
                    at += old.len();
                }
                None => at += 1,
            }
        }
    }
}

fn is_number(old: &[u8]) -> bool {
    old.len() < 12 && old.iter().all(u8::is_ascii_digit)
}

fn overwrite(bytes: &mut [u8], new: &[u8]) {
    for (byte, &new) in bytes.iter_mut().zip(new) {
        *byte = new;
    }
}

/// Every spelling of every name, with what takes its place. Ids first: a name that is one in another spelling is the same.
fn pairs(atoms: &BTreeSet<String>, key: &[u8]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut pairs = BTreeMap::new();
    let mut put = |(old, new): Pair| {
        if old != new && old.len() == new.len() {
            pairs.entry(old).or_insert(new);
        }
    };
    let (ids, texts): (Vec<&String>, Vec<&String>) = atoms.iter().partition(|atom| hexadecimal(atom).is_some());
    let known: BTreeSet<Vec<u8>> = ids.iter().filter_map(|id| hexadecimal(id)).collect();
    for raw in &known {
        family(raw, key).iter().flat_map(|(old, new)| binary_forms(old, new)).for_each(&mut put);
    }
    for text in ids {
        let new = hexadecimal(text).and_then(|raw| family(&raw, key).into_iter().next());
        if let Some((_, new)) = new {
            text_forms(text, &rewritten(text, &new)).into_iter().for_each(&mut put);
        }
    }
    // The shorter first: a longer one that contains it keeps the relation.
    let mut done: Vec<(&str, String)> = Vec::new();
    let mut texts = texts;
    texts.sort_by_key(|text| text.len());
    for text in texts {
        // Twelve digits are a serial number, unless they are an address that is known from elsewhere.
        let twin =
            known.iter().find(|raw| raw.len() == 6 && crate::parse::bytes::hex(raw) == text.to_ascii_lowercase());
        let new = match twin.and_then(|raw| family(raw, key).into_iter().next()) {
            Some((_, new)) => rewritten(text, &new),
            None => with_parts(text, replaced_text(text, key), &done),
        };
        text_forms(text, &new).into_iter().for_each(&mut put);
        if text.len() >= SHORTEST {
            done.push((text, new));
        }
    }
    pairs
}

/// `new` for `text`, with the parts that have a replacement of their own in it.
fn with_parts(text: &str, new: String, parts: &[(&str, String)]) -> String {
    let mut bytes = new.into_bytes();
    for (part, replacement) in parts {
        for (at, _) in text.match_indices(part) {
            overwrite(bytes.get_mut(at..).unwrap_or_default(), replacement.as_bytes());
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}
