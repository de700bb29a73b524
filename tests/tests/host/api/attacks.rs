//! Callers of the agent's API without permission: what they try, and that callers with the token do not notice.

use super::calls::{Bed, TOKEN, bed};
use crate::support::caller::{Caller, start};
use crate::support::*;
use axum::http::{StatusCode, Uri};
use axum::response::IntoResponse;
use burin::http::{self, Ca, Clock, Timeouts, Trust, TrustFiles};
use burin::protocol::hello::ApiEndpoint;
use burin::protocol::{Control, Kind, Secret};
use log::LevelFilter;
use serde_json::json;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn trust(bed: &Bed) -> Trust {
    let ca: Ca = bed.server.endpoint().fingerprint.parse().unwrap();
    Trust::controller(Some(&ca), &TrustFiles::below(bed.directory.path()), Clock::trusted()).unwrap()
}

/// A separate client, whose connections are not shared.
fn client(bed: &Bed) -> ureq::Agent {
    http::agent(&trust(bed), &Timeouts::CALLS)
}

/// All that is answered to these bytes on one connection, until it is closed.
fn wire(bed: &Bed, bytes: &str) -> String {
    let stream = TcpStream::connect(bed.server.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let name = rustls::pki_types::ServerName::from(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST));
    let connection = rustls::ClientConnection::new(trust(bed).config().clone(), name).unwrap();
    let mut tls = rustls::StreamOwned::new(connection, stream);
    tls.write_all(bytes.as_bytes()).unwrap();
    let mut answer = Vec::new();
    // Some are closed without a word.
    let _ = tls.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn ask(client: &ureq::Agent, url: &str, token: &str) -> Result<u16, ureq::Error> {
    let request = client.get(format!("{url}/v1/status")).header("Authorization", format!("Bearer {token}"));
    request.call().map(|response| response.status().as_u16())
}

fn anomalies(events: &std::sync::mpsc::Receiver<Arc<burin::protocol::Event>>) -> Vec<String> {
    events
        .try_iter()
        .filter_map(|event| match event.kind() {
            Some(Kind::Anomaly(anomaly)) => Some(anomaly.problem.code),
            _ => None,
        })
        .collect()
}

#[test]
fn brute_force_is_counted_told_and_slowed_for_the_guesser_alone() {
    let bed = Bed::ready();
    let events = bed.emitter.listen(1000);
    let url = bed.server.endpoint().url.clone();
    let (teller, answers) = channel();
    let guessers: Vec<_> = (0..12)
        .map(|number| {
            let (client, url, teller) = (client(&bed), url.clone(), teller.clone());
            std::thread::spawn(move || {
                let status = ask(&client, &url, &format!("t0ps3cret-01234{number:02}"));
                let _ = teller.send(status.unwrap());
            })
        })
        .collect();
    // The first wrong answer arrives; most of the others are delayed, and callers with the token are not.
    assert_eq!(answers.recv_timeout(PATIENCE), Ok(401));
    eventually("all guesses are counted", || bed.text("/metrics").contains("burin_api_wrong_tokens_total 12\n"));
    assert!(answers.try_iter().count() < 11, "nobody was slowed");
    assert_eq!(anomalies(&events), ["api.wrong_token", "api.wrong_token"], "the first and the tenth");
    for guesser in guessers {
        guesser.join().unwrap();
    }
    // A missing token does not count as a guess.
    assert_eq!(bed.raw("GET", "/v1/status", &[], b"").status(), 401);
    assert!(bed.text("/metrics").contains("burin_api_wrong_tokens_total 12\n"));
}

#[test]
fn silent_connections_do_not_shut_out_those_who_have_the_token() {
    let bed = Bed::ready();
    let (address, url) = (bed.server.address(), bed.server.endpoint().url.clone());
    // Far more connections than there are slots; all of them stay silent and open.
    let silent: Vec<TcpStream> = (0..300).map(|_| TcpStream::connect(address).unwrap()).collect();
    for _ in 0..20 {
        assert_eq!(ask(&client(&bed), &url, TOKEN).unwrap(), 200, "at once, and each on a connection of its own");
    }
    // The oldest of them must be closed.
    eventually("the oldest are closed", || {
        silent.iter().take(100).all(|mut stream| {
            stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
            !matches!(stream.read(&mut [0; 1]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
        })
    });
    // A connection that has presented the token survives a crowd of later ones.
    let friend = client(&bed);
    assert_eq!(ask(&friend, &url, TOKEN).unwrap(), 200);
    let _crowd: Vec<TcpStream> = (0..300).map(|_| TcpStream::connect(address).unwrap()).collect();
    assert_eq!(ask(&friend, &url, TOKEN).unwrap(), 200);
}

#[test]
fn an_empty_or_short_token_opens_nothing() {
    for token in ["", "short", "fifteen-letters"] {
        let bed = bed();
        let events = bed.emitter.listen(100);
        for _ in 0..3 {
            bed.door.set_token(Secret::new(token));
        }
        for shown in ["", "Bearer", "Bearer ", &format!("Bearer {token}")] {
            let status = bed.raw("GET", "/v1/status", &[("Authorization", shown)], b"").status();
            assert_eq!(status, 401, "{token:?} {shown:?}");
        }
        assert_eq!(bed.raw("GET", "/v1/status", &[], b"").status(), 401, "{token:?}");
        assert_eq!(anomalies(&events).first().map(String::as_str), Some("api.weak_token"), "{token:?}");
        bed.door.set_token(Secret::new(TOKEN));
        assert_eq!(bed.raw("GET", "/v1/status", &[("Authorization", &format!("Bearer {TOKEN}"))], b"").status(), 200);
    }
}

/// What a proxy in between could take for one request, and the agent for two, or the other way round.
#[test]
fn requests_that_can_be_read_in_two_ways_are_refused() {
    let bed = Bed::ready();
    let ask = |line: &str, headers: &str, body: &str| {
        wire(&bed, &format!("{line} HTTP/1.1\r\nHost: agent\r\nAuthorization: Bearer {TOKEN}\r\n{headers}\r\n{body}"))
    };
    let statuses = |answer: &str| -> Vec<String> {
        let lines = answer.lines().filter_map(|line| line.strip_prefix("HTTP/1.1 "));
        lines.map(|line| line.chars().take(3).collect()).collect()
    };
    let hidden = format!(
        "POST /v1/cancel HTTP/1.1\r\nHost: agent\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 0\r\n\r\n"
    );
    assert_eq!(statuses(&ask("GET /v1/status", "Connection: close\r\n", "")), ["200"], "the same, with nothing odd");
    let length = hidden.len();
    for (what, headers, body) in [
        ("two lengths", format!("Content-Length: 0\r\nContent-Length: {length}\r\n"), hidden.clone()),
        ("a list of lengths", format!("Content-Length: 0, {length}\r\n"), hidden.clone()),
        ("a length with a sign", "Content-Length: +0\r\n".to_owned(), hidden.clone()),
        ("an encoding that is none", "Transfer-Encoding: xchunked\r\n".to_owned(), hidden.clone()),
        ("chunks, but not last", "Transfer-Encoding: chunked, identity\r\n".to_owned(), hidden.clone()),
        ("a blank before the colon", format!("Content-Length : {length}\r\n"), hidden.clone()),
        ("a folded line", format!("X: y\r\n Content-Length: {length}\r\n"), hidden.clone()),
        ("a bare CR", format!("X: y\rContent-Length: {length}\r\n"), hidden.clone()),
        ("a chunk of no length", "Transfer-Encoding: chunked\r\n".to_owned(), format!("zz\r\n\r\n{hidden}")),
        ("too many headers", (0..80).map(|number| format!("X-{number}: y\r\n")).collect(), hidden.clone()),
        ("a header without end", format!("X: {}", "y".repeat(1 << 20)), String::new()),
    ] {
        let answer = ask("POST /v1/plan", &headers, &body);
        let found = statuses(&answer);
        assert!(found.len() <= 1 && found.iter().all(|status| status.starts_with('4')), "{what}: {answer}");
    }
    // Both lengths: chunks count (RFC 9112, 6.3), and what follows them is nobody's request.
    for headers in [
        format!("Content-Length: {}\r\nTransfer-Encoding: chunked\r\n", length + 5),
        format!("Transfer-Encoding: chunked\r\nContent-Length: {}\r\n", length + 5),
    ] {
        let answer = ask("POST /v1/plan", &headers, &format!("0\r\n\r\n{hidden}"));
        assert_eq!(statuses(&answer).len(), 1, "{answer}");
    }
    assert_eq!(bed.status().control, Control::Continue, "nothing was called off");
}

/// A rogue controller whose hello reply has an empty token, so that anybody could drive the agent.
#[test]
fn a_controllers_empty_token_does_not_open_the_whole_agent() {
    let said: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
    let kept = said.clone();
    let answer = move |uri: Uri, body: String| {
        let path = uri.path().to_owned();
        // All of the batch is accepted.
        let batch: Vec<burin::protocol::Event> = serde_json::from_str(&body).unwrap_or_default();
        let acked = batch.last().map_or(0, |event| event.id.sequence);
        kept.lock().unwrap().push((path.clone(), body));
        async move {
            match path.as_str() {
                "/v1/hello" => axum::Json(json!({"version": "hello/v1", "machine": "m", "token": ""})).into_response(),
                _ if path.ends_with("/events") => {
                    axum::Json(json!({"acked": acked, "control": "continue"})).into_response()
                }
                _ => {
                    tokio::time::sleep(PATIENCE).await;
                    StatusCode::NO_CONTENT.into_response()
                }
            }
        }
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let _ = axum::serve(listener, axum::Router::new().fallback(answer)).await;
        });
    });
    let root = tempfile::tempdir().unwrap();
    // Nobody has a token that could end this agent: it ends with this process.
    start(root.path(), &format!("burin.controller={url} burin.api=0"), LevelFilter::Info);
    let heard = |path: &str, text: &str| {
        let said = said.lock().unwrap();
        said.iter().find(|(to, body)| to.ends_with(path) && body.contains(text)).map(|(_, body)| body.clone())
    };
    eventually("the controller is told", || heard("/events", "api.weak_token").is_some());
    let hello: serde_json::Value = serde_json::from_str(&heard("/hello", "api").unwrap()).unwrap();
    let endpoint: ApiEndpoint = serde_json::from_value(hello["api"].clone()).unwrap();
    let caller = Caller::new(root.path(), &endpoint, "");
    assert_eq!(caller.call("GET", "/v1/status", "").0, 401);
    assert_eq!(caller.call("GET", "/healthz", "").0, 200);
}

/// The API listens where the controller finds it, and not on the machine's other networks.
#[test]
fn networks_without_the_controller_find_no_api() {
    let bench = Bench::new(|_| {});
    let root = tempfile::tempdir().unwrap();
    let words = format!("burin.controller={} burin.api=0", bench.controller().url());
    let agent = start(root.path(), &words, LevelFilter::Info);
    eventually("hello", || !bench.controller().machines().is_empty());
    let machine = bench.controller().machines().remove(0);
    let endpoint = bench.controller().machine(&machine).unwrap().hello.unwrap().api.unwrap();
    let port = endpoint.url.rsplit(':').next().unwrap().parse().unwrap();
    assert!(TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).is_ok());
    assert!(TcpStream::connect(SocketAddr::from(([127, 0, 0, 2], port))).is_err(), "another network of this machine");
    let token = bench.controller().token(&machine).unwrap();
    let caller = Caller::new(root.path(), &endpoint, token.reveal());
    eventually("the door opens", || caller.call("GET", "/v1/status", "").0 == 200);
    assert_eq!(caller.call("POST", "/v1/power", r#"{"action":"poweroff"}"#).0, 202);
    agent.join().unwrap();

    // It listens where the command line says, and nowhere else.
    let root = tempfile::tempdir().unwrap();
    let words = format!("burin.controller={} burin.api=127.0.0.3:0", bench.controller().url());
    let agent = start(root.path(), &words, LevelFilter::Info);
    let endpoint = || bench.controller().machine(&machine).unwrap().hello.unwrap().api.unwrap();
    eventually("hello", || endpoint().url.contains("127.0.0.3"));
    let token = bench.controller().token(&machine).unwrap();
    let caller = Caller::new(root.path(), &endpoint(), token.reveal());
    eventually("the door opens", || caller.call("GET", "/v1/status", "").0 == 200);
    assert_eq!(caller.call("POST", "/v1/power", r#"{"action":"poweroff"}"#).0, 202);
    agent.join().unwrap();
}
