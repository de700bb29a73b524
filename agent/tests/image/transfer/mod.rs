//! Proxies, CAs, credentials, redirects, rates and parallel ranges, each with a real server on this machine.

mod proxies;
mod redirects;

use crate::support::*;
use burin::error::Coded;
use burin::image::{Http, ImageError, Source, WriteRequest};
use std::fs;
use std::path::Path;
use std::process::Output;
use std::sync::Arc;

fn run(source: &str, target: &Path, more: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = burin("write");
    command.args([source, "--file", "--json", "--patience", "2"]).arg(target).args(more);
    command.envs(environment.iter().copied()).output().unwrap()
}

fn code(output: &Output) -> String {
    let last = lines(output).pop().unwrap_or_else(|| panic!("{output:?}"));
    last["data"]["code"].as_str().or(last["event"].as_str()).unwrap().to_owned()
}

/// A server over TLS, and the file in `dir` that holds its CA.
fn tls_server(dir: &Path, body: &[u8]) -> (Server, String) {
    let (server, pem) = Server::tls(body.to_vec());
    let ca = dir.join("ca.pem");
    fs::write(&ca, pem).unwrap();
    (server, ca.to_str().unwrap().to_owned())
}

/// Everything that came out, to look for secrets.
fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_ca_of_ones_own_is_trusted_when_it_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let target = dirty_file(dir.path(), 3 * MIB);
    let image = image(2 * MIB);
    let (server, ca) = tls_server(dir.path(), &image);
    assert_eq!(code(&run(&server.url, &target, &[], &[])), "image.unreachable");
    assert_eq!(code(&run(&server.url, &target, &["--ca", "/no/such/file"], &[])), "controller.ca.file");
    let output = run(&server.url, &target, &["--ca", &ca], &[]);
    assert_eq!(code(&output), "receipt", "{output:?}");
    assert_written(&fs::read(&target).unwrap(), &image);
}

#[test]
fn passwords_and_tokens_come_from_files_or_the_environment_and_are_not_shown() {
    let dir = tempfile::tempdir().unwrap();
    let target = dirty_file(dir.path(), 3 * MIB);
    let image = image(2 * MIB);
    let secret = dir.path().join("secret");
    fs::write(&secret, "hunter2\n").unwrap();
    let secret = secret.to_str().unwrap();
    let basic = Server::new(image.clone(), []).wants("Basic dXNlcjpodW50ZXIy");
    let bearer = Server::new(image.clone(), [Answer::Cut(MIB)]).wants("Bearer hunter2");
    type Case<'a> = (&'a Server, &'a [&'a str], &'a [(&'a str, &'a str)]);
    let cases: [Case<'_>; 4] = [
        (&basic, &["--user", "user", "--password-file", secret], &[]),
        (&basic, &["--user", "user"], &[("BURIN_PASSWORD", "hunter2")]),
        (&bearer, &["--bearer-file", secret], &[]),
        (&bearer, &[], &[("BURIN_BEARER", "hunter2")]),
    ];
    for (server, more, environment) in cases {
        let output = run(&server.url, &target, more, environment);
        assert_eq!(code(&output), "receipt", "{output:?}");
        assert!(!text(&output).contains("hunter2"), "{output:?}");
    }
    for (more, environment) in [(&[][..], &[][..]), (&["--user", "user"], &[("BURIN_PASSWORD", "wrong")])] {
        let output = run(&basic.url, &target, more, environment);
        assert_eq!((code(&output).as_str(), output.status.code()), ("image.denied", Some(1)));
    }
    assert_eq!(code(&run(&basic.url, &target, &["--user", "user"], &[])), "image.no_password");
    // In the URL they count too, and are left out of what is shown.
    let output = run(&basic.url.replace("http://", "http://user:hunter2@"), &target, &[], &[]);
    assert_eq!(code(&output), "receipt", "{output:?}");
    assert!(!text(&output).contains("hunter2"), "{output:?}");
}

#[test]
fn a_rate_is_kept_over_all_connections() {
    let dir = tempfile::tempdir().unwrap();
    let image = noise(6 * MIB, 3);
    let server = Server::new(image.clone(), []);
    for connections in [1, 3] {
        let target = dirty_file(dir.path(), 6 * MIB);
        let mut http = http(vec![server.url.clone()]);
        (http.rate, http.connections) = (Some(24 << 20), connections);
        let receipt = write_to_file(WriteRequest::new(Source::Http(http)), &target).unwrap();
        // A quarter of a second at this rate; being slower is no error. What is in flight at the end is not paced.
        assert!(receipt.duration_ms >= 150, "{} ms with {connections} connections", receipt.duration_ms);
        assert_written(&fs::read(&target).unwrap(), &image);
    }
}

fn parallel(urls: Vec<String>, connections: usize) -> Http {
    Http { connections, ..http(urls) }
}

#[test]
fn ranges_side_by_side_make_the_same_image_and_take_bounded_memory() {
    let dir = tempfile::tempdir().unwrap();
    let image = noise(11 * MIB + 777, 3);
    let digest = sha256(&image);
    let mut memory = Vec::new();
    for connections in [1, 2, 4, 8] {
        let server = Server::new(image.clone(), []);
        let target = dirty_file(dir.path(), 12 * MIB);
        let mut request = WriteRequest::new(Source::Http(parallel(vec![server.url.clone()], connections)));
        request.digest.wire = Some(digest.clone());
        let receipt = write_to_file(request, &target).unwrap();
        assert_written(&fs::read(&target).unwrap(), &image);
        assert_eq!(receipt.wire_bytes, image.len() as u64);
        memory.push(receipt.memory_bytes);
        let requests = server.requests();
        // Parts of 2 MiB, bound to the first answer; one connection asks for no range at all.
        assert_eq!(requests.len(), if connections == 1 { 1 } else { 6 }, "{requests:?}");
        let bound = requests.iter().filter(|head| head.contains("if-range: \"one\"")).count();
        assert_eq!(bound, requests.len() - 1);
    }
    assert!(memory.is_sorted() && memory[3] - memory[0] <= 8 * (9 << 18), "{memory:?}");
    // Small images, and servers that send no ranges or nothing at all.
    for bytes in [noise(3000, 1), noise(2 * MIB, 1), noise(2 * MIB + 1, 1)] {
        for answer in [Answer::Proper, Answer::Whole] {
            let server = Server::new(bytes.clone(), []).always(answer);
            let target = dirty_file(dir.path(), 4 * MIB);
            write_to_file(WriteRequest::new(Source::Http(parallel(vec![server.url], 3))), &target).unwrap();
            assert_written(&fs::read(&target).unwrap(), &bytes);
        }
    }
    let empty = Server::new(Vec::new(), []);
    let target = dirty_file(dir.path(), MIB);
    let error = write_to_file(WriteRequest::new(Source::Http(parallel(vec![empty.url], 3))), &target).unwrap_err();
    assert_eq!(error.code(), "image.truncated", "{error:?}");
}

#[test]
fn parts_that_fail_are_fetched_again_and_parts_of_something_else_are_never_used() {
    let dir = tempfile::tempdir().unwrap();
    let image = noise(9 * MIB, 3);
    let mut other = image.clone();
    // Whichever part is asked for third: threads of a busy machine ask in any order.
    other.iter_mut().step_by(MIB / 8).for_each(|byte| *byte ^= 1);
    let other = Arc::new(other);
    let digest = sha256(&image);
    let attempt = |servers: &[&Server], digest: Option<String>| {
        let target = dirty_file(dir.path(), 10 * MIB);
        let urls = servers.iter().map(|server| server.url.clone()).collect();
        let mut request = WriteRequest::new(Source::Http(parallel(urls, 3)));
        request.digest.wire = digest;
        let written = write_to_file(request, &target);
        match &written {
            Ok(_) => assert_written(&fs::read(&target).unwrap(), &image),
            Err(ImageError::Stopped { .. }) => assert_unbootable(&target),
            Err(_) => {}
        }
        written
    };
    // Whatever happens to any one answer, the image is right in the end.
    for at in 0..5 {
        for fault in [Answer::Cut(0), Answer::Cut(MIB), Answer::Status(503), Answer::WrongRange, Answer::Whole] {
            let script = (0..at).map(|_| Answer::Proper).chain([fault.clone()]);
            let server = Server::new(image.clone(), script);
            let spare = Server::new(image.clone(), []);
            attempt(&[&server, &spare], None).unwrap_or_else(|error| panic!("{fault:?} at {at}: {error:?}"));
        }
    }
    // Replaced in the middle, with another validator and without.
    let replaced = Server::new(image.clone(), [Answer::Proper, Answer::Proper]).always(Answer::Etag("two"));
    assert_eq!(attempt(&[&replaced], None).unwrap_err().code(), "image.changed");
    let lying = Server::new(image.clone(), [Answer::Proper, Answer::Proper]).always(Answer::Other(other));
    assert_eq!(attempt(&[&lying], Some(digest)).unwrap_err().code(), "image.digest_mismatch");
}
