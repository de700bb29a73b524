//! Malicious redirects: to another server that wants the credentials, and from https to http.

use super::{code, run, text, tls_server};
use crate::support::*;
use burin::image::{Credentials, Source, WriteRequest};
use burin::protocol::Secret;
use std::fs;

/// Requests that carried the secret, as it is or in base64 (`user:hunter2`).
fn told(server: &Server) -> usize {
    let secret = |head: &String| head.contains("hunter2") || head.contains("dxnlcjpodw50zxiy");
    server.requests().iter().filter(|head| secret(head)).count()
}

#[test]
fn credentials_are_told_to_their_server_and_to_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let image = image(2 * MIB);
    let write = |urls: Vec<String>, basic: bool| {
        let target = dirty_file(dir.path(), 3 * MIB);
        let mut http = http(urls.clone());
        let secret = Secret::new("hunter2");
        http.credentials = match basic {
            true => Credentials::basic(&urls[0], "user", &secret),
            false => Credentials::bearer(&urls[0], &secret),
        };
        let written = write_to_file(WriteRequest::new(Source::Http(http)), &target);
        written.map(|_| assert_written(&fs::read(&target).unwrap(), &image)).unwrap();
    };
    for basic in [false, true] {
        // The same address by another name, and the same host with another port: another server.
        for name in ["localhost", "127.0.0.1"] {
            let other = Server::new(image.clone(), []);
            let to = other.url.replace("127.0.0.1", name);
            let front = Server::new(Vec::new(), []).always(Answer::Redirect(to));
            write(vec![front.url.clone()], basic);
            assert_eq!((told(&front), told(&other)), (1, 0), "{name}");
            // Nor with a step in between on the same server, nor on the way back.
            let front = Server::new(Vec::new(), [Answer::Redirect("/next".into())]);
            let other = Server::new(Vec::new(), []).always(Answer::Redirect(front.url.replace("image", "back")));
            let front = front.beside("/back", image.clone()).always(Answer::Redirect(other.url.clone()));
            write(vec![front.url.clone()], basic);
            assert_eq!((front.requests().len(), told(&front), told(&other)), (3, 2, 0), "{name}");
        }
        let moved = Server::new(image.clone(), [Answer::Redirect("/image".to_owned())]);
        write(vec![moved.url.clone()], basic);
        assert_eq!((moved.requests().len(), told(&moved)), (2, 2));
        let (gone, mirror) = (Server::new(Vec::new(), []).always(Answer::Status(404)), Server::new(image.clone(), []));
        write(vec![gone.url.clone(), mirror.url.clone()], basic);
        assert_eq!((told(&gone), told(&mirror)), (1, 0));
    }
}

#[test]
fn a_password_in_the_url_stays_on_its_server() {
    let dir = tempfile::tempdir().unwrap();
    let image = image(2 * MIB);
    let target = dirty_file(dir.path(), 3 * MIB);
    let other = Server::new(image.clone(), []);
    let front = Server::new(Vec::new(), [Answer::Redirect("/next".into())]).always(Answer::Redirect(other.url.clone()));
    let output = run(&front.url.replace("http://", "http://user:hunter2@"), &target, &[], &[]);
    assert_eq!(code(&output), "receipt", "{output:?}");
    assert_eq!((told(&front), told(&other)), (2, 0));
}

/// Everything that `burin write` fetches: the image, its sums, signatures and index.
#[test]
fn no_redirect_leads_out_of_tls() {
    let dir = tempfile::tempdir().unwrap();
    let target = dirty_file(dir.path(), 3 * MIB);
    let image = image(2 * MIB);
    let plain = Server::new(image.clone(), []).beside("/sums", "0  image\n");
    let (front, ca) = tls_server(dir.path(), &image);
    let front = front.always(Answer::Redirect(format!("{}?token=hunter2", plain.url)));
    let sums = Server::new(image.clone(), []);
    let key = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
    let cases: [(&str, &[&str]); 4] = [
        (&front.url, &[]),
        (&sums.url, &["--sha256sums", &front.url]),
        (&sums.url, &["--minisign", key, "--signature", &front.url]),
        (&sums.url, &["--delta", &front.url]),
    ];
    for (source, more) in cases {
        let more = [more, &["--ca", &ca]].concat();
        let output = run(source, &target, &more, &[]);
        assert_eq!(code(&output), "image.redirect", "{more:?}: {output:?}");
        assert!(text(&output).contains("from https to http") && !text(&output).contains("hunter2"), "{output:?}");
    }
    assert_eq!(plain.requests(), Vec::<String>::new(), "somebody was asked without TLS");
    assert!(fs::read(&target).unwrap() == dirt(3 * MIB), "the target was touched");
}
