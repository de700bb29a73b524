//! The kernel command line as words.

/// One word: `key` or `key=value`, without quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    pub key: String,
    pub value: Option<String>,
}

impl Word {
    /// The key with `-` replaced by `_`, as the kernel compares parameters.
    pub fn folded(&self) -> String {
        fold(&self.key)
    }
}

pub fn fold(key: &str) -> String {
    key.replace('-', "_")
}

/// Splits a command line. White space separates words except between double quotes; a quote may start before the word
/// (`"key=a b"`) or before the value (`key="a b"`). Everything after a lone `--` belongs to init and is left out.
pub fn words(text: &str) -> Vec<Word> {
    let mut found = Vec::new();
    for token in tokens(text) {
        if token == "--" {
            break;
        }
        found.push(match token.split_once('=') {
            Some((key, value)) => Word { key: unquote(key), value: Some(unquote(value)) },
            None => Word { key: unquote(token), value: None },
        });
    }
    found
}

fn tokens(text: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |c: char| {
        if c == '"' {
            quoted = !quoted;
        }
        !quoted && (c.is_ascii_whitespace() || c == '\0' || c == '\u{b}')
    })
    .filter(|token| !token.is_empty())
}

fn unquote(text: &str) -> String {
    text.replace('"', "")
}
