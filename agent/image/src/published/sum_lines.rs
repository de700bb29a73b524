//! Parses digest files as written by coreutils and busybox, BSD, openssl, PowerShell, certutil, and Debian's indexes.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// A digest and the name of its file, if the line contains one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SumLine {
    pub name: Option<String>,
    /// `sha256:HEX` or `sha512:HEX`, lower case.
    pub digest: String,
}

/// The file's bytes as text: PowerShell's `>` writes UTF-16 with a byte order mark.
pub fn text(bytes: &[u8]) -> String {
    let units = |of: fn([u8; 2]) -> u16| -> Vec<u16> {
        bytes.chunks_exact(2).skip(1).map(|two| of([two[0], two[1]])).collect()
    };
    match bytes {
        [0xff, 0xfe, ..] => String::from_utf16_lossy(&units(u16::from_le_bytes)),
        [0xfe, 0xff, ..] => String::from_utf16_lossy(&units(u16::from_be_bytes)),
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        _ => String::from_utf8_lossy(bytes).into_owned(),
    }
}

/// Every line with a digest.
pub fn read(text: &str) -> Vec<SumLine> {
    let mut found = Vec::new();
    // Some lines belong to the next one.
    let mut hash: Option<String> = None;
    let mut heading: Option<String> = None;
    // `sha256sum --zero` ends its lines with NUL.
    for line in text.split(['\n', '\0']).map(|line| line.trim_matches(['\r', ' ', '\t'])) {
        if line.is_empty() || line.starts_with('#') || line.starts_with("-----") {
            continue;
        }
        // PowerShell's list: `Hash : HEX`, then `Path : NAME`.
        if let Some(value) = field(line, "Hash") {
            hash = digest(value);
            continue;
        }
        if let Some(path) = field(line, "Path") {
            found.extend(hash.take().map(|digest| SumLine { name: Some(path.to_owned()), digest }));
            continue;
        }
        // certutil: `SHA256 hash of NAME:`, then the digest alone, in old versions with spaces between its bytes.
        if let Some(name) = certutil(line) {
            heading = Some(name.to_owned());
            continue;
        }
        if let Some(line) = tagged(line).or_else(|| commas(line)).or_else(|| labelled(line)).or_else(|| columns(line)) {
            found.push(line);
        } else if let Some(digest) = digest(&line.replace(' ', "")) {
            found.push(SumLine { name: heading.take(), digest });
        }
    }
    found
}

fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (before, value) = line.split_once(':')?;
    (before.trim_end() == name).then(|| value.trim())
}

fn certutil(line: &str) -> Option<&str> {
    let (algorithm, name) = line.split_once(" hash of ")?;
    let name = name.strip_prefix("file ").unwrap_or(name);
    algorithm.to_ascii_lowercase().starts_with("sha").then(|| name.trim_end_matches(':'))
}

/// BSD and `--tag`: `SHA256 (NAME) = HEX`; openssl: `SHA256(NAME)= HEX`, `SHA2-256(NAME)= HEX`. The digest may be base64.
fn tagged(line: &str) -> Option<SumLine> {
    let (escaped, line) = match line.strip_prefix('\\') {
        Some(rest) => (true, rest),
        None => (false, line),
    };
    let (algorithm, rest) = line.split_once('(')?;
    let bits = match algorithm.trim().to_ascii_uppercase().as_str() {
        "SHA256" | "SHA2-256" | "SHA-256" => 256,
        "SHA512" | "SHA2-512" | "SHA-512" => 512,
        _ => return None,
    };
    let (name, value) = rest.rsplit_once(")=").or_else(|| rest.rsplit_once(") ="))?;
    let digest = digest(value.trim()).or_else(|| base64(value.trim()))?;
    let name = if escaped { unescaped(name) } else { name.to_owned() };
    digest.starts_with(&format!("sha{bits}:")).then(|| SumLine { name: named(name), digest })
}

/// PowerShell's CSV, `"SHA256","HEX","NAME"`, and hashdeep's, `SIZE,MD5,HEX,NAME`: the name is the last.
fn commas(line: &str) -> Option<SumLine> {
    let quotes = |field: &str| field.trim().trim_matches('"').to_owned();
    let fields: Vec<String> = line.split(',').map(quotes).collect();
    let (name, before) = fields.split_last()?;
    let digest = before.iter().find_map(|field| digest(field))?;
    Some(SumLine { name: named(name.clone()), digest })
}

/// `SHA256: HEX`, `sha256 = HEX`: the algorithm is not a file name.
fn labelled(line: &str) -> Option<SumLine> {
    let (label, value) = line.split_once(['=', ':'])?;
    let bits = match label.trim().to_ascii_lowercase().as_str() {
        "sha256" | "sha-256" | "sha256sum" => 256,
        "sha512" | "sha-512" | "sha512sum" => 512,
        _ => return None,
    };
    let digest = digest(value.trim().trim_matches('"'))?;
    digest.starts_with(&format!("sha{bits}:")).then_some(SumLine { name: None, digest })
}

/// `HEX  NAME`, `HEX *NAME`, `\HEX  NAME` with escapes, `sha256:HEX  NAME`; Debian's `HEX SIZE NAME`; PowerShell's table
/// `SHA256  HEX  NAME`; and the other way round, `NAME HEX` and `NAME: HEX`.
fn columns(line: &str) -> Option<SumLine> {
    let (escaped, line) = match line.strip_prefix('\\') {
        Some(rest) => (true, rest),
        None => (false, line),
    };
    let (first, rest) = line.split_once([' ', '\t'])?;
    if let Some(found) = digest(first) {
        let name = rest.trim_start();
        let name = name.strip_prefix('*').unwrap_or(name);
        let name = match name.split_once([' ', '\t']) {
            Some((size, name)) if !size.is_empty() && size.bytes().all(|byte| byte.is_ascii_digit()) => {
                name.trim_start()
            }
            _ => name,
        };
        let name = if escaped { unescaped(name) } else { name.to_owned() };
        return Some(SumLine { name: named(name), digest: found });
    }
    if matches!(first.to_ascii_uppercase().as_str(), "SHA256" | "SHA512") {
        return columns(rest.trim_start());
    }
    let (name, last) = line.rsplit_once([' ', '\t'])?;
    let name = name.trim_end().trim_end_matches([':', '=']).trim_end();
    Some(SumLine { name: named(name.to_owned()), digest: digest(last)? })
}

/// `-` is the name of standard input.
fn named(name: String) -> Option<String> {
    Some(name).filter(|name| !matches!(name.as_str(), "" | "-" | "stdin"))
}

fn digest(text: &str) -> Option<String> {
    let hex = text.strip_prefix("sha256:").or_else(|| text.strip_prefix("sha512:")).unwrap_or(text);
    let kind = match hex.len() {
        64 => "sha256",
        128 => "sha512",
        _ => return None,
    };
    hex.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| format!("{kind}:{}", hex.to_ascii_lowercase()))
}

/// `cksum --base64` of coreutils.
fn base64(text: &str) -> Option<String> {
    let bytes = BASE64_STANDARD.decode(text).ok()?;
    digest(&burin_protocol::hex(bytes))
}

/// coreutils marks a line with `\` if the name contains a backslash or a line break, written as `\\`, `\n` or `\r`.
fn unescaped(name: &str) -> String {
    let mut chars = name.chars();
    let mut plain = String::new();
    while let Some(char) = chars.next() {
        match char {
            '\\' => match chars.next() {
                Some('n') => plain.push('\n'),
                Some('r') => plain.push('\r'),
                Some(other) => plain.push(other),
                None => plain.push('\\'),
            },
            other => plain.push(other),
        }
    }
    plain
}
