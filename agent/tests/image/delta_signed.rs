//! Signed indexes: which image an index proves, and of which release.

use crate::delta::{LEN, by, index, run, target};
use crate::support::*;
use burin::image::{Cancel, DeltaRequest, Minisign};
use std::fs;
use std::path::Path;

/// Signs `bytes` with the key in `dir`, with that trusted comment.
fn sign(dir: &Path, bytes: &[u8], comment: &str) -> String {
    let (key, file) = (dir.join("key"), dir.join("to-sign"));
    let minisign = |args: &[&str]| {
        let status = std::process::Command::new("minisign").current_dir(dir).args(args).output().unwrap();
        assert!(status.status.success(), "{status:?}");
    };
    if !key.exists() {
        minisign(&["-G", "-W", "-p", "key.pub", "-s", "key"]);
    }
    fs::write(&file, bytes).unwrap();
    minisign(&["-S", "-W", "-s", "key", "-m", "to-sign", "-t", comment]);
    fs::read_to_string(dir.join("to-sign.minisig")).unwrap()
}

/// Signatures of image and index count together where both name the same download, and nowhere else.
#[test]
fn a_signed_index_goes_with_the_image_that_it_was_signed_for() {
    if !have("minisign") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (noise(LEN, 8), noise(LEN, 7));
    let of = |name: &str, bytes: &[u8]| format!("timestamp:200 image={name} wire={}", sha256(bytes));
    let cases = [
        (of("image", &new), of("image", &new), Some(200), true),
        // An old pair would be signed as well.
        (of("image", &new), of("image", &new), None, false),
        (of("image", &new), of("image", &old), Some(200), false),
        (of("image", &new), of("other", &new), Some(200), false),
        (of("mage", &new), of("mage", &new), Some(200), false),
        ("timestamp:200".to_owned(), of("image", &new), Some(200), false),
        (of("image", &new), "timestamp:200".to_owned(), Some(200), false),
    ];
    for (image_comment, index_comment, not_before, used) in cases {
        let made = index(&new);
        let image_signature = sign(dir.path(), &new, &image_comment);
        let index_signature = sign(dir.path(), &made.bytes(), &index_comment);
        let server = Server::new(new.clone(), [])
            .beside("/image.minisig", image_signature)
            .beside("/index.caibx", made.bytes())
            .beside("/index.caibx.minisig", index_signature);
        let key = fs::read_to_string(dir.path().join("key.pub")).unwrap();
        let minisign = Minisign { key, at: None, not_before };
        let http = http(vec![server.url.clone()]);
        let fetch = |at: &str| minisign.fetch(&http, at, &Cancel::default()).unwrap();
        let mut held = new.clone();
        held[5 * MIB + 17] ^= 1;
        let path = target(dir.path(), &held);
        let mut request = from_http(vec![server.url.clone()]);
        request.signature = Some(fetch(&server.url));
        let signed = Some(fetch(&server.at("/index.caibx")));
        let receipt = by(request, DeltaRequest { signed, ..DeltaRequest::new(made) }, &path).unwrap();
        assert_eq!(receipt.skipped_bytes > 0, used, "{image_comment}, {index_comment}: {receipt:?}");
        assert_written(&fs::read(&path).unwrap(), &new);
    }
}

/// A mirror that goes on sending last year's release: image, index and both signatures, all of them right and all agreeing.
/// Nothing of it comes to the disk, by its index or whole, nor where somebody writes a younger date into a signature.
#[test]
fn an_old_release_with_everything_signed_is_refused() {
    if !have("minisign") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let old = noise(LEN, 8);
    let made = index(&old);
    let comment = format!("timestamp:100 image=image wire={}", sha256(&old));
    let (image_signature, index_signature) =
        (sign(dir.path(), &old, &comment), sign(dir.path(), &made.bytes(), &comment));
    let key = dir.path().join("key.pub");
    let younger = |signature: &str| signature.replace("timestamp:100", "timestamp:900");
    let cases = [
        (image_signature.clone(), index_signature.clone(), "image.signature_old"),
        (younger(&image_signature), index_signature.clone(), "image.signature_old"),
        (younger(&image_signature), younger(&index_signature), "image.signature_invalid"),
    ];
    for (of_image, of_index, code) in cases {
        let server = Server::new(old.clone(), [])
            .beside("/image.minisig", of_image.clone())
            .beside("/index.caibx", made.bytes())
            .beside("/index.caibx.minisig", of_index);
        let (mut held, at) = (old.clone(), server.at("/index.caibx"));
        held[5 * MIB + 17] ^= 1;
        let path = target(dir.path(), &held);
        let before = fs::read(&path).unwrap();
        let words = ["--minisign", key.to_str().unwrap(), "--signed-since", "200"];
        let refused = |more: &[&str]| {
            let (status, lines) = run(&server.url, &path, &[&words[..], more].concat());
            (status, lines.last().unwrap()["data"]["code"].as_str().unwrap().to_owned())
        };
        assert_eq!(refused(&["--delta", &at]), (1, code.to_owned()));
        assert!(fs::read(&path).unwrap() == before, "{code}: the target was touched");
        // Without its index: the date is known to be a lie only when all of it is there.
        let forged = of_image != image_signature;
        let whole = if forged { "image.signature_invalid" } else { "image.signature_old" };
        assert_eq!(refused(&[]), (1, whole.to_owned()));
        if forged {
            assert_unbootable(&path)
        } else {
            assert!(fs::read(&path).unwrap() == before)
        }
        // Taken, where nobody says how old it may be; whole, as an index would prove nothing.
        let (status, lines) = run(&server.url, &path, &["--minisign", key.to_str().unwrap(), "--delta", &at]);
        assert_eq!(status == 0, !forged && code == "image.signature_old", "{lines:?}");
    }
}
