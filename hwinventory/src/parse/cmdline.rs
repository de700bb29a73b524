//! The kernel command line.

/// Words, with double quotes keeping spaces together as the kernel does.
pub fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quoted = false;
    for c in text.chars() {
        match c {
            '"' => {
                quoted = !quoted;
                word.push(c);
            }
            c if c.is_whitespace() && !quoted => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            c => word.push(c),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// The command line with the values of secret-looking words, and user names in URLs, masked.
pub fn masked(text: &str) -> String {
    let words: Vec<String> = words(text).iter().map(|w| mask(w)).collect();
    words.join(" ")
}

fn mask(word: &str) -> String {
    const SECRET: &[&str] = &["token", "passw", "passphrase", "secret", "key", "credential", "auth"];
    let Some((name, value)) = word.split_once('=') else { return word.to_owned() };
    let lower = name.to_ascii_lowercase();
    // `cifspass=`; not `iommu.passthrough=`.
    if SECRET.iter().any(|s| lower.contains(s)) || lower.ends_with("pass") && !lower.ends_with("bypass") {
        return format!("{name}=***");
    }
    if let Some(masked) = iscsi_root(value) {
        return format!("{name}={masked}");
    }
    if let Some((scheme, rest)) = value.split_once("://") {
        let end = rest.find('/').unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let authority = match authority.rsplit_once('@') {
            Some((_, host)) => format!("***@{host}"),
            None => authority.to_owned(),
        };
        // What follows a question mark often carries a token.
        let path = path.split_once('?').map_or_else(|| path.to_owned(), |(path, _)| format!("{path}?***"));
        return format!("{name}={scheme}://{authority}{path}");
    }
    word.to_owned()
}

/// `iscsi:[USER:PASSWORD[:USER:PASSWORD]@]SERVER...` of dracut.cmdline(7).
fn iscsi_root(value: &str) -> Option<String> {
    let (_, server) = value.strip_prefix("iscsi:")?.rsplit_once('@')?;
    Some(format!("iscsi:***@{server}"))
}

/// The MAC address in `BOOTIF=01-aa-bb-cc-dd-ee-ff`, with colons; the leading hardware type may be missing. Another type
/// than Ethernet's (InfiniBand has 20) is none: what stands behind it is no MAC address of a NIC.
pub fn bootif(text: &str) -> Option<String> {
    let value = words(text).into_iter().rev().find_map(|w| w.strip_prefix("BOOTIF=").map(str::to_owned))?;
    let parts: Vec<String> = value.split(['-', ':']).map(str::to_ascii_lowercase).collect();
    if parts.iter().any(|p| p.len() != 2 || !p.bytes().all(|c| c.is_ascii_hexdigit())) {
        return None;
    }
    let mac = match parts.len() {
        6 => parts.as_slice(),
        7 if parts.first()? == "01" => parts.get(1..)?,
        _ => return None,
    };
    let group = u8::from_str_radix(mac.first()?, 16).ok()? & 1 == 1;
    let zero = mac.iter().all(|byte| byte == "00");
    (!group && !zero).then(|| mac.join(":"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_interface() {
        assert_eq!(bootif("quiet BOOTIF=01-52-54-00-AB-CD-EF").as_deref(), Some("52:54:00:ab:cd:ef"));
        assert_eq!(bootif("BOOTIF=52:54:00:ab:cd:ef").as_deref(), Some("52:54:00:ab:cd:ef"));
        for none in ["01-52-54", "20-52-54-00-ab-cd-ef", "01-00-00-00-00-00-00", "01-ff-ff-ff-ff-ff-ff"] {
            assert_eq!(bootif(&format!("BOOTIF={none}")), None, "the agent takes it neither");
        }
        assert_eq!(bootif("quiet"), None);
    }

    #[test]
    fn secrets_are_masked() {
        let line = r#"quiet burin.token=abc x="a b" burin.order=http://u:p@host/o.json?sig=1 my_password=z"#;
        assert_eq!(
            masked(line),
            r#"quiet burin.token=*** x="a b" burin.order=http://***@host/o.json?*** my_password=***"#
        );
        for (word, shown) in [
            ("netroot=iscsi:user:pw:back:pw2@10.0.0.9::3260:1:iqn.x:y", "netroot=iscsi:***@10.0.0.9::3260:1:iqn.x:y"),
            ("netroot=iscsi:10.0.0.9::::iqn.x:y", "netroot=iscsi:10.0.0.9::::iqn.x:y"),
            ("cifspass=abc", "cifspass=***"),
            ("root=cifs://me:pw@nas/share", "root=cifs://***@nas/share"),
            ("iommu.passthrough=1", "iommu.passthrough=1"),
            ("spec_bypass=on", "spec_bypass=on"),
        ] {
            assert_eq!(masked(word), shown);
        }
    }
}
