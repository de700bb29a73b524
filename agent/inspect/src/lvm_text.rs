//! Parses the text format of LVM2 metadata (lvm2, lib/format_text): sections, and values in them.

use std::collections::BTreeMap;

const DEEPEST: u32 = 16;

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Text(String),
    Number(u64),
    List(Vec<Value>),
}

/// `NAME { ... }`, with `NAME = VALUE` in it.
#[derive(Debug, Default)]
pub struct Section {
    pub values: BTreeMap<String, Value>,
    pub sections: BTreeMap<String, Section>,
}

impl Section {
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = Words { rest: text };
        words.section(0)
    }

    /// The section that contains volumes.
    pub fn group(self) -> Option<(String, Section)> {
        self.sections.into_iter().find(|(_, section)| section.sections.contains_key("physical_volumes"))
    }

    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections.get(name)
    }

    pub fn number(&self, name: &str) -> Option<u64> {
        match self.values.get(name)? {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        match self.values.get(name)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn list(&self, name: &str) -> Option<&[Value]> {
        match self.values.get(name)? {
            Value::List(list) => Some(list),
            _ => None,
        }
    }
}

struct Words<'a> {
    rest: &'a str,
}

impl Words<'_> {
    /// Skips blanks, and comments up to the end of the line.
    fn skip(&mut self) {
        loop {
            self.rest = self.rest.trim_start_matches(|c: char| c.is_whitespace() || c == '\0');
            let Some(comment) = self.rest.strip_prefix('#') else { return };
            self.rest = comment.split_once('\n').map_or("", |(_, rest)| rest);
        }
    }

    /// A string, after its opening quotation mark. The last command that changed the group is in one, with its own
    /// quotes.
    fn text(&mut self) -> Option<String> {
        let mut text = String::new();
        let mut chars = self.rest.char_indices();
        while let Some((at, char)) = chars.next() {
            match char {
                '"' => {
                    self.rest = self.rest.get(at + 1..)?;
                    return Some(text);
                }
                '\\' => text.push(chars.next()?.1),
                other => text.push(other),
            }
        }
        None
    }

    fn take(&mut self, char: char) -> bool {
        self.skip();
        match self.rest.strip_prefix(char) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn word(&mut self) -> Option<String> {
        self.skip();
        let end = self.rest.find(|c: char| !(c.is_alphanumeric() || "_.+-".contains(c))).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        (!word.is_empty()).then(|| word.to_owned())
    }

    fn section(&mut self, depth: u32) -> Option<Section> {
        let mut section = Section::default();
        loop {
            self.skip();
            if self.rest.is_empty() || self.take('}') {
                return Some(section);
            }
            let name = self.word()?;
            if self.take('{') {
                if depth >= DEEPEST {
                    return None;
                }
                let inner = self.section(depth + 1)?;
                section.sections.insert(name, inner);
            } else if self.take('=') {
                section.values.insert(name, self.value(depth)?);
            } else {
                return None;
            }
        }
    }

    fn value(&mut self, depth: u32) -> Option<Value> {
        if self.take('"') {
            return self.text().map(Value::Text);
        }
        if self.take('[') {
            let mut list = Vec::new();
            while !self.take(']') {
                if depth >= DEEPEST {
                    return None;
                }
                list.push(self.value(depth + 1)?);
                self.take(',');
            }
            return Some(Value::List(list));
        }
        let word = self.word()?;
        Some(word.parse().map_or(Value::Text(word), Value::Number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_and_junk_is_none() {
        let text = "# made by\nvg {\nid = \"a-b\"\ntags = [\"a#b\"]\nextent_size = 8192 # 4 MiB\nstatus = [\"RESIZEABLE\", \"READ\"]\n\
                    physical_volumes {\npv0 {\nid = \"x\"\npe_start = 2048\n}\n}\n}\ncontents = \"Text\"\n\
                    description = \"Write from vgcreate --config 'filter=[\\\"a|^/x # y$|\\\"] }'\"\n";
        let (name, group) = Section::parse(text).and_then(Section::group).unwrap();
        assert_eq!((name.as_str(), group.number("extent_size")), ("vg", Some(8192)));
        let member = group.section("physical_volumes").unwrap().section("pv0").unwrap();
        assert_eq!((member.text("id"), member.number("pe_start")), (Some("x"), Some(2048)));
        let deep = format!("{}{}", "a {".repeat(9000), "}".repeat(9000));
        for junk in ["{", "a = ", "a [", "a = [1,", "\u{0}\u{1}", deep.as_str()] {
            assert!(Section::parse(junk).and_then(Section::group).is_none());
        }
    }
}
