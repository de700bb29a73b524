//! Redirects (RFC 9110, 15.4; RFC 6454; RFC 3986): never from https to http, and credentials never go to another
//! server.

use ureq::http::{Method, Request, Response, Uri, header};
use ureq::{Agent, Body};
use url::Url;

/// Between agent and controller there is at most a load balancer and a change of scheme.
const MOST_OF_CALLS: usize = 5;

/// Why a redirect is not followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RedirectError {
    #[error("{from} redirects from https to http, to {to}")]
    Downgrade { from: String, to: String },
    #[error("redirected to {location:?}, which is not an http or https URL")]
    NoUrl { location: String },
    #[error("redirected more than {most} times")]
    TooMany { most: usize },
}

impl From<RedirectError> for ureq::Error {
    fn from(error: RedirectError) -> Self {
        Self::Other(Box::new(error))
    }
}

/// RFC 6454.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    pub scheme: String,
    pub host: String,
    pub port: u16,
}

impl Origin {
    pub fn of(url: &str) -> Option<Self> {
        let uri: Uri = url.parse().ok()?;
        let scheme = uri.scheme_str()?.to_ascii_lowercase();
        let port = uri.port_u16().unwrap_or(if scheme == "https" { 443 } else { 80 });
        Some(Self { host: uri.host()?.to_ascii_lowercase(), scheme, port })
    }
}

/// Whether information for the server of `here` may be sent to that of `there`: only if scheme, host and port are the
/// same. Another port of the host may belong to somebody else.
pub fn same_origin(here: &str, there: &str) -> bool {
    matches!((Origin::of(here), Origin::of(there)), (Some(here), Some(there)) if here == there)
}

/// The URL that a response from `here` redirects to; `None` if it is not a redirect.
pub fn next<T>(here: &str, response: &Response<T>) -> Result<Option<String>, RedirectError> {
    let Some(location) = location(response) else { return Ok(None) };
    let Some(next) = join(here, &location) else {
        return Err(RedirectError::NoUrl { location: without_secrets(&location) });
    };
    let tls = |url: &str| Origin::of(url).is_some_and(|origin| origin.scheme == "https");
    if tls(here) && !tls(&next) {
        return Err(RedirectError::Downgrade { from: without_secrets(here), to: without_secrets(&next) });
    }
    Ok(Some(next))
}

/// A URL without user, password, query and fragment, which may contain secrets.
fn without_secrets(url: &str) -> String {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    match path.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
            format!("{scheme}://{host}{path}")
        }
        None => path.to_owned(),
    }
}

/// Sends a request. Redirects of GET are followed, without authorization; any other response is the caller's. Also
/// returns the URL that answered.
pub fn run(agent: &Agent, request: Request<()>) -> Result<(Response<Body>, String), ureq::Error> {
    let (mut parts, ()) = request.into_parts();
    let mut here = parts.uri.to_string();
    for _ in 0..=MOST_OF_CALLS {
        let response = agent.run(Request::from_parts(parts.clone(), ()))?;
        let next = if parts.method == Method::GET { next(&here, &response)? } else { None };
        let Some(next) = next else { return Ok((response, here)) };
        for secret in [header::AUTHORIZATION, header::COOKIE] {
            parts.headers.remove(secret);
        }
        parts.uri =
            next.parse().map_err(|error: ureq::http::uri::InvalidUri| ureq::Error::BadUri(error.to_string()))?;
        here = next;
    }
    Err(RedirectError::TooMany { most: MOST_OF_CALLS }.into())
}

/// A redirect's target. Servers send bytes there that are invalid in URLs (RFC 3986, 2.1): they are escaped.
fn location<T>(response: &Response<T>) -> Option<String> {
    let value = match response.status().as_u16() {
        301 | 302 | 303 | 307 | 308 => response.headers().get("location")?.as_bytes(),
        _ => return None,
    };
    Some(value.iter().fold(String::new(), |mut text, byte| {
        match byte {
            b'!'..=b'~' => text.push(char::from(*byte)),
            other => text.push_str(&format!("%{other:02X}")),
        }
        text
    }))
}

/// Resolves `reference` against `base` (RFC 3986, 5.2), without its fragment. `None` if the result is not http or
/// https.
pub fn join(base: &str, reference: &str) -> Option<String> {
    let mut url = Url::parse(base).ok()?.join(reference).ok()?;
    url.set_fragment(None);
    matches!(url.scheme(), "http" | "https").then(|| url.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_as_in_the_standard() {
        // RFC 3986, 5.4, with http.
        let cases = [
            ("https://g", "https://g/"),
            ("g", "http://a/b/c/g"),
            ("./g", "http://a/b/c/g"),
            ("g/", "http://a/b/c/g/"),
            ("/g", "http://a/g"),
            ("//g", "http://g/"),
            ("?y", "http://a/b/c/d;p?y"),
            ("g?y", "http://a/b/c/g?y"),
            ("#s", "http://a/b/c/d;p?q"),
            ("g#s", "http://a/b/c/g"),
            ("g?y#s", "http://a/b/c/g?y"),
            (";x", "http://a/b/c/;x"),
            ("", "http://a/b/c/d;p?q"),
            (".", "http://a/b/c/"),
            ("./", "http://a/b/c/"),
            ("..", "http://a/b/"),
            ("../", "http://a/b/"),
            ("../g", "http://a/b/g"),
            ("../..", "http://a/"),
            ("../../g", "http://a/g"),
            ("../../../g", "http://a/g"),
            ("/./g", "http://a/g"),
            ("/../g", "http://a/g"),
            ("g.", "http://a/b/c/g."),
            ("..g", "http://a/b/c/..g"),
            ("./../g", "http://a/b/g"),
            ("./g/.", "http://a/b/c/g/"),
            ("g/../h", "http://a/b/c/h"),
            ("g;x=1/../y", "http://a/b/c/y"),
            ("g?y/../x", "http://a/b/c/g?y/../x"),
            ("g?to=http://h/", "http://a/b/c/g?to=http://h/"),
        ];
        for (reference, wanted) in cases {
            assert_eq!(join("http://a/b/c/d;p?q", reference).as_deref(), Some(wanted), "{reference}");
        }
        assert_eq!(join("http://u:p@a:81", "g").as_deref(), Some("http://u:p@a:81/g"));
        assert_eq!(join("http://a/", "HTTPS://G/x").as_deref(), Some("https://g/x"));
        assert_eq!(join("http://a/", "ftp://g/x"), None);
    }

    #[test]
    fn credentials_stay_on_their_server() {
        assert!(same_origin("http://a/x", "http://A:80/y") && same_origin("https://a:443/x", "https://u:p@a/y"));
        let others = ["http://b/x", "http://a:8080/x", "https://a/x", "https://a:80/x", "http://a.b/x", "http://a@b/x"];
        for other in others {
            assert!(!same_origin("http://a/x", other), "{other}");
        }
        assert!(!same_origin("https://a/x", "http://a/x") && !same_origin("nonsense", "nonsense"));
    }

    #[test]
    fn no_redirect_leads_out_of_tls() {
        let to = |location: &str| Response::builder().status(302).header("location", location).body(()).unwrap();
        let next = |here: &str, location: &str| next(here, &to(location));
        assert_eq!(next("https://a/x", "/y").unwrap().as_deref(), Some("https://a/y"));
        assert_eq!(next("http://a/x", "https://b/y").unwrap().as_deref(), Some("https://b/y"));
        assert_eq!(next("http://a/x", "http://b/y").unwrap().as_deref(), Some("http://b/y"));
        for down in ["http://a/y", "HTTP://a/y?sig=secret", "http://user:secret@b/"] {
            let error = next("https://a/x?token=secret", down).unwrap_err();
            assert!(matches!(error, RedirectError::Downgrade { .. }), "{error:?}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
        for odd in ["ftp://a/y", "file:///etc/passwd", "javascript:1", "http://"] {
            assert!(matches!(next("https://a/x", odd), Err(RedirectError::NoUrl { .. })), "{odd}");
        }
        let plain = Response::builder().status(200).header("location", "http://b/").body(()).unwrap();
        assert_eq!(super::next("https://a/x", &plain), Ok(None));
    }

    /// The lines received by a server that answers each connection with the next of `answers`.
    fn serve(answers: Vec<String>) -> (String, std::thread::JoinHandle<Vec<String>>) {
        use std::io::{BufRead, BufReader, Write};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let served = std::thread::spawn(move || {
            let mut heads = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let head: Vec<String> = lines.map(Result::unwrap).take_while(|line| !line.is_empty()).collect();
                heads.push(head.join("\n").to_lowercase());
                write!(stream, "HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
            }
            heads
        });
        (url, served)
    }

    #[test]
    fn calls_follow_get_without_what_authorizes_them() {
        let agent = crate::agent(
            &crate::Trust::downloads(None, &crate::TrustFiles::below("/".as_ref()), crate::Clock::trusted()).unwrap(),
            &crate::Timeouts::CALLS,
        );
        let request = |method: Method, url: &str| {
            let request = Request::builder().method(method).uri(url).header("authorization", "Bearer hunter2");
            request.header("x-other", "kept").body(()).unwrap()
        };
        let (end, ended) = serve(vec!["200 OK".into()]);
        let (front, asked) = serve(vec!["307 x\r\nlocation: /next".into(), format!("302 x\r\nlocation: {end}/end")]);
        let (response, from) = run(&agent, request(Method::GET, &format!("{front}/x"))).unwrap();
        assert_eq!((response.status().as_u16(), from), (200, format!("{end}/end")));
        let heads = [asked.join().unwrap(), ended.join().unwrap()].concat();
        assert!(heads.iter().all(|head| head.contains("x-other: kept")), "{heads:?}");
        assert_eq!(heads.iter().map(|head| head.contains("hunter2")).collect::<Vec<_>>(), [true, false, false]);
        // A request that changes something is not repeated elsewhere.
        let (front, asked) = serve(vec!["307 x\r\nlocation: /next".into()]);
        let (response, _) = run(&agent, request(Method::DELETE, &front)).unwrap();
        assert_eq!((response.status().as_u16(), asked.join().unwrap().len()), (307, 1));
        let (front, _) = serve(vec!["302 x\r\nlocation: /".into(); 6]);
        assert!(run(&agent, request(Method::GET, &front)).is_err());
    }
}
