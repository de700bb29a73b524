//! Passwords and tokens reach only the servers that they are for.

use super::{fails, run, writes};
use crate::support::*;
use std::fs;
use std::path::Path;

/// `user:hunter2`
const BASIC: &str = "Basic dXNlcjpodW50ZXIy";

fn bearer(registry: Registry, good_for: usize) -> Registry {
    let (realm, basic) = (format!("http://{}/token", registry.host), Some(BASIC.to_owned()));
    registry.door(Door::Bearer { realm, basic, good_for })
}

fn secret(dir: &Path) -> String {
    let path = dir.join("secret");
    fs::write(&path, "hunter2\n").unwrap();
    path.to_str().unwrap().to_owned()
}

/// A configuration file of docker with the password for `server`.
fn configuration(dir: &Path, server: &str) -> String {
    let path = dir.join("config.json");
    fs::write(&path, format!(r#"{{"auths": {{"{server}": {{"auth": "dXNlcjpodW50ZXIy"}}}}}}"#)).unwrap();
    path.to_str().unwrap().to_owned()
}

fn told(heads: &[String]) -> usize {
    heads.iter().filter(|head| head.contains("hunter2") || head.contains("dXNlcjpodW50ZXIy")).count()
}

#[test]
fn passwords_and_tokens_open_the_door() {
    let dir = tempfile::tempdir().unwrap();
    let image = image(2 * MIB);
    let file = secret(dir.path());
    for registry in [Registry::new().door(Door::Basic(BASIC.to_owned())), bearer(Registry::new(), 1000)] {
        registry.artefact("one", &[("disk", image.clone())]);
        let name = registry.name("one");
        writes(dir.path(), &name, &["--user", "user", "--password-file", &file], &image);
        let config = configuration(dir.path(), &registry.host);
        writes(dir.path(), &name, &["--registry-config", &config], &image);
        // Where docker keeps it.
        writes(dir.path(), &name, &[], &image);
        fs::remove_file(&config).unwrap();
        assert!(!fails(dir.path(), &name, &[], "image.denied").contains("hunter2"));
        let config = configuration(dir.path(), "other.example");
        fails(dir.path(), &name, &["--registry-config", &config], "image.denied");
        fs::remove_file(&config).unwrap();
        fs::write(&config, "{\"auths\": {\"x\": \"hunter2\"}}").unwrap();
        assert!(!fails(dir.path(), &name, &["--registry-config", &config], "image.unreadable").contains("hunter2"));
        fs::remove_file(&config).unwrap();
    }
}

#[test]
fn a_token_that_ends_is_asked_for_again() {
    let dir = tempfile::tempdir().unwrap();
    let image = noise(9 * MIB, 3);
    let registry = bearer(Registry::new(), 2);
    registry.artefact("one", &[("disk", image.clone())]);
    registry.cut(&[2 * MIB, 3 * MIB]);
    writes(dir.path(), &registry.name("one"), &["--user", "user", "--password-file", &secret(dir.path())], &image);
    assert!(registry.tokens() >= 2, "{}", registry.tokens());
    // One that is never good is no loop.
    let registry = bearer(Registry::new(), 0);
    registry.artefact("one", &[("disk", image)]);
    fails(
        dir.path(),
        &registry.name("one"),
        &["--user", "user", "--password-file", &secret(dir.path())],
        "image.denied",
    );
    assert_eq!(registry.tokens(), 1);
}

#[test]
fn a_token_server_elsewhere_sees_no_password() {
    let dir = tempfile::tempdir().unwrap();
    let image = image(2 * MIB);
    let thief = bearer(Registry::new(), 1000);
    let password = secret(dir.path());
    let password = ["--user", "user", "--password-file", &password];
    for realm in [
        format!("http://{}/token", thief.host),
        format!("http://{}/token", thief.host.replace("127.0.0.1", "localhost")),
    ] {
        let registry = Registry::new().door(Door::Challenge(format!("Bearer realm=\"{realm}\",service=\"x\"")));
        registry.artefact("one", &[("disk", image.clone())]);
        let text = fails(dir.path(), &registry.name("one"), &password, "image.oci_token_server");
        assert!(!text.contains("hunter2"), "{text}");
    }
    assert_eq!(thief.requests(), Vec::<String>::new());
    // Without a password there is nothing to lose, and its tokens are good where they are taken.
    let open = Door::Bearer { realm: String::new(), basic: None, good_for: 1000 };
    let tokens = Registry::new().door(open);
    let realm = format!("http://{}/token", tokens.host);
    let registry = Registry::new().door(Door::Challenge(format!("Bearer realm=\"{realm}\",service=\"x\"")));
    registry.artefact("one", &[("disk", image.clone())]);
    fails(dir.path(), &registry.name("one"), &[], "image.denied");
    assert_eq!(tokens.tokens(), 1);
    // Out of TLS, with a password and without.
    let (tls, pem) = Registry::tls();
    let tls = tls.door(Door::Challenge(format!("Bearer realm=\"{realm}\"")));
    let ca = dir.path().join("ca.pem");
    fs::write(&ca, pem).unwrap();
    let ca = ["--ca", ca.to_str().unwrap()];
    let before = tokens.requests().len();
    let source = format!("oci://{}/team/image:one", tls.host);
    fails(dir.path(), &source, &ca, "image.redirect");
    fails(dir.path(), &source, &[&ca[..], &password].concat(), "image.redirect");
    assert_eq!(tokens.requests().len(), before);
    // Challenges that make no sense are refusals.
    for challenge in ["Negotiate", "Bearer", "Bearer realm=\"ftp://x\"", "\u{1}"] {
        let registry = Registry::new().door(Door::Challenge(challenge.to_owned()));
        let output = run(dir.path(), &registry.name("one"), &password);
        assert_eq!(output.status.code(), Some(1), "{challenge}: {output:?}");
        assert_eq!(told(&registry.requests()), 0, "{challenge}");
    }
}

#[test]
fn blobs_elsewhere_are_fetched_without_a_password() {
    let dir = tempfile::tempdir().unwrap();
    let image = image(9 * MIB);
    let password = secret(dir.path());
    let password = ["--user", "user", "--password-file", &password, "--connections", "3"];
    for registry in [Registry::new().door(Door::Basic(BASIC.to_owned())), bearer(Registry::new(), 1000)] {
        registry.artefact("one", &[("disk", image.clone())]);
        let cdn = Server::new(image.clone(), [Answer::Cut(2 * MIB)]);
        registry.blobs_elsewhere(&format!("{}?signature=x", cdn.url));
        writes(dir.path(), &registry.name("one"), &password, &image);
        assert!(cdn.requests().iter().all(|head| !head.contains("authorization")), "{:?}", cdn.requests());
        // What is there has to be the blob all the same.
        let cdn = Server::new(noise(9 * MIB, 4), []);
        registry.blobs_elsewhere(&cdn.url);
        fails(dir.path(), &registry.name("one"), &password, "image.digest_mismatch");
    }
}
