//! Real-world servers: redirectors before mirrors that disagree, signed URLs that expire, connections that break at the
//! same place again and again.

use crate::support::*;
use burin::error::Coded;
use std::fs;
use std::time::{Duration, Instant};

/// Mirrors of the same bytes with other ETags.
fn mirrors(body: &[u8]) -> [Server; 2] {
    ["left", "right"].map(|etag| Server::new(body.to_vec(), []).always(Answer::Etag(etag)))
}

#[test]
fn a_redirector_is_asked_once_and_its_answer_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let image = image(9 * MIB);
    for connections in [1, 4] {
        let [left, right] = mirrors(&image);
        let script = (0..50).flat_map(|_| [Answer::Redirect(left.url.clone()), Answer::Redirect(right.url.clone())]);
        let redirector = Server::new(Vec::new(), script);
        let mut request = from_http(vec![redirector.url.clone()]);
        let burin::image::Source::Http(http) = &mut request.source else { panic!() };
        http.connections = connections;
        let target = dirty_file(dir.path(), 12 * MIB);
        write_to_file(request, &target).unwrap();
        assert_written(&fs::read(&target).unwrap(), &image);
        assert_eq!((redirector.requests().len(), right.requests().len()), (1, 0), "{connections}");
    }
}

#[test]
fn where_a_redirect_led_is_looked_up_anew_once_that_fails() {
    let dir = tempfile::tempdir().unwrap();
    let image = image(9 * MIB);
    // Cut off, then gone, expired or broken: the redirector knows where it is now, under another ETag.
    for status in [403, 404, 410, 500] {
        let [_, right] = mirrors(&image);
        let gone = Server::new(image.clone(), [Answer::Cut(3 * MIB)]).always(Answer::Status(status));
        let redirector =
            Server::new(Vec::new(), [Answer::Redirect(gone.url.clone())]).always(Answer::Redirect(right.url.clone()));
        let target = dirty_file(dir.path(), 12 * MIB);
        write_to_file(from_http(vec![redirector.url.clone()]), &target)
            .unwrap_or_else(|error| panic!("{status}: {error:?}"));
        assert_written(&fs::read(&target).unwrap(), &image);
    }
    // Other bytes are other bytes, wherever they come from.
    let other = Server::new(noise(9 * MIB, 3), []);
    let gone = Server::new(image, [Answer::Cut(3 * MIB)]).always(Answer::Status(404));
    let redirector =
        Server::new(Vec::new(), [Answer::Redirect(gone.url.clone())]).always(Answer::Redirect(other.url.clone()));
    let target = dirty_file(dir.path(), 12 * MIB);
    let error = write_to_file(from_http(vec![redirector.url.clone()]), &target).unwrap_err();
    assert_eq!(error.code(), "image.changed");
}

#[test]
fn ten_redirects_are_followed_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let image = image(2 * MIB);
    for (hops, good) in [(10, true), (11, false)] {
        let end = Server::new(image.clone(), []);
        let mut chain = vec![end];
        for _ in 0..hops {
            let next = chain[chain.len() - 1].url.clone();
            chain.push(Server::new(Vec::new(), []).always(Answer::Redirect(next)));
        }
        let target = dirty_file(dir.path(), 3 * MIB);
        let written = write_to_file(from_http(vec![chain[hops].url.clone()]), &target);
        assert_eq!(written.is_ok(), good, "{hops}: {written:?}");
    }
}

#[test]
fn a_location_with_bytes_that_no_url_has_is_escaped() {
    let dir = tempfile::tempdir().unwrap();
    let image = image(2 * MIB);
    let server = Server::new(Vec::new(), [])
        .beside("/%C3%A4%20b.raw", image.clone())
        .always(Answer::Redirect("/\u{e4} b.raw".into()));
    let target = dirty_file(dir.path(), 3 * MIB);
    write_to_file(from_http(vec![server.url.clone()]), &target).unwrap();
    assert_written(&fs::read(&target).unwrap(), &image);
}

#[test]
fn patience_counts_bytes_that_did_not_come_before() {
    let dir = tempfile::tempdir().unwrap();
    let image = image(9 * MIB);
    // It knows no ranges, and always stops at the same place.
    let server = Server::new(image[..4 * MIB].to_vec(), []).always(Answer::Length(9 * MIB as u64));
    let mut request = from_http(vec![server.url.clone()]);
    let burin::image::Source::Http(http) = &mut request.source else { panic!() };
    http.patience = Duration::from_secs(2);
    let (target, began) = (dirty_file(dir.path(), 12 * MIB), Instant::now());
    let error = write_to_file(request, &target).unwrap_err();
    assert_eq!(error.code(), "image.truncated");
    assert!(began.elapsed() < Duration::from_secs(120), "it was asked for ever");
}
