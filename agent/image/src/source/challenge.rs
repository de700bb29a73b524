//! A server's authentication challenge, WWW-Authenticate (RFC 9110, 11.6.1).

/// One challenge: scheme and parameters, names in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    pub scheme: String,
    parameters: Vec<(String, String)>,
}

impl Challenge {
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// All challenges of a header field. What makes no sense ends the list.
    pub fn parse(field: &str) -> Vec<Self> {
        let mut found: Vec<Self> = Vec::new();
        let mut rest = field;
        loop {
            rest = rest.trim_start_matches([' ', '\t', ',']);
            let (word, after) = rest.split_at(rest.find([' ', '\t', ',', '=']).unwrap_or(rest.len()));
            if word.is_empty() {
                return found;
            }
            let value = after.trim_start_matches([' ', '\t']).strip_prefix('=');
            let name = word.to_ascii_lowercase();
            let Some(value) = value else {
                found.push(Self { scheme: name, parameters: Vec::new() });
                rest = after;
                continue;
            };
            let Some((value, after)) = text(value.trim_start_matches([' ', '\t'])) else { return found };
            if let Some(challenge) = found.last_mut() {
                challenge.parameters.push((name, value));
            }
            rest = after;
        }
    }
}

/// A token or a quoted string, and what follows it.
fn text(from: &str) -> Option<(String, &str)> {
    let Some(quoted) = from.strip_prefix('"') else {
        let (token, rest) = from.split_at(from.find([' ', '\t', ',']).unwrap_or(from.len()));
        return Some((token.to_owned(), rest));
    };
    let (mut value, mut escaped) = (String::new(), false);
    for (at, char) in quoted.char_indices() {
        match char {
            '\\' if !escaped => escaped = true,
            '"' if !escaped => return Some((value, quoted.get(at + 1..)?)),
            other => {
                value.push(other);
                escaped = false;
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_as_registries_send_them() {
        let field = r#"Bearer realm="https://auth.example/token",service="registry \"x\"",scope="a:b:pull,push""#;
        let found = Challenge::parse(field);
        assert_eq!((found.len(), found[0].scheme.as_str()), (1, "bearer"));
        assert_eq!(found[0].parameter("realm"), Some("https://auth.example/token"));
        assert_eq!(found[0].parameter("service"), Some("registry \"x\""));
        assert_eq!(found[0].parameter("scope"), Some("a:b:pull,push"));
        let found = Challenge::parse(r#"Negotiate, BASIC realm = "x" , charset=UTF-8, Bearer realm=y"#);
        let schemes: Vec<_> = found.iter().map(|challenge| challenge.scheme.as_str()).collect();
        assert_eq!(schemes, ["negotiate", "basic", "bearer"]);
        assert_eq!((found[1].parameter("charset"), found[2].parameter("realm")), (Some("UTF-8"), Some("y")));
        assert_eq!(Challenge::parse(r#"Basic realm="never ends"#)[0].parameter("realm"), None);
    }

    proptest::proptest! {
        #[test]
        fn anything_is_read(field in "[ -~\\t]{0,60}") {
            Challenge::parse(&field);
        }
    }
}
