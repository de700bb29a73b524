//! minisign signatures (made by minisign 0.11): of the image while it streams, and of its digest file. Every mistake
//! has its code, and nothing bootable is left.

use crate::support::*;
use burin::error::Coded;
use burin::image::{self, Cancel, ImageError, Minisign, Signed, WriteRequest};
use std::fs;
use std::path::Path;

const KEY: &str = "RWRV5YaSboPdjiub4G6fJcNVHwqgBH0y/m1CkFQDftWOUCtuzCgOXrTr";
const OTHER_KEY: &str = "RWR6IUV7Splry9BuA35yvy4wOSObCpkAKfmvBkLtMvn0Vr1gjcd6QWfe";

fn signature(signature: &str, comment: &str, global: &str) -> String {
    format!(
        "untrusted comment: signature from minisign secret key\n{signature}\ntrusted comment: {comment}\n{global}\n"
    )
}

/// What was signed.
fn signed_image() -> Vec<u8> {
    noise(2 * MIB, 41)
}

/// Of the image, with KEY.
fn right() -> String {
    signature(
        "RURV5YaSboPdjk7+iyN+jYMWoV1Osivd7Jnf08HGk/6Bbe9RWbUF0sZrU8B1ForepApIOwD9gzQ8Is4/J0tMnnIwTS7HGllN4A0=",
        "file:image.raw",
        "dfvyWPDK+j418UfLFovfrYFxFuVEgENY2lgmei9sC/Ua170j4YsusYztd8D7Kalzgj5ZOODyI/AaO0kgWmGpCg==",
    )
}

/// Of the image, with OTHER_KEY.
fn by_other() -> String {
    signature(
        "RUR6IUV7Splry34jtiCnZsvrVMd1I7Liev7jYvdEyWflmWfHlSPqvOlMt4NJci4e1GdMAPZVEf4MgVP/A3OnRKFE8W/Jml8/Cwo=",
        "file:image.raw",
        "x3ZfzJxIYX6WKJ6/3YMY0voTVdfWv5P8iWqk+nrg50wUzp4MliuOLg9V/01CKUxqigc2S6/WFyETbYAMkdkzDQ==",
    )
}

/// Of the image, with KEY, as `minisign -l` makes it.
fn legacy() -> String {
    signature(
        "RWRV5YaSboPdjqZG3E2pLbQFipD//phnCjI65j5w1l/QBM5S3qV7oQZ4/dJNcwLyhitse/dXeDq1LLqPgxI+wJgo3YEY0rslug8=",
        "file:image.raw",
        "YE8ZNXpatqQ4BZ0VZHlXIdz3z+bkL9oqv5oRjB+zvxIAhRWspuCLglv4svy0QQNY8kSsHYzGeqi89kJPSn9qBA==",
    )
}

/// Of `SHA256 of the image, two blanks, image`, with KEY.
fn of_sums() -> String {
    signature(
        "RURV5YaSboPdjl06apr7jBYdabwEvB6rIjs96dRU7ba1Lsfi79HqjI424cjjwsS7/ObwMUER3gnNnJmUSqkPzcUm1vvkI8hkmAU=",
        "file:SHA256SUMS",
        "bbwG9isSp3GmW5tQsNl3TmtSOKaZ9ntYqf8RYq9oU/4TDOtEiE9j0Y/Ey/PTKBBvGesh6IYFP0tWe93GDk3MCA==",
    )
}

fn fetch(server: &Server, key: &str) -> Result<Signed, ImageError> {
    let minisign = Minisign { key: key.to_owned(), at: None, not_before: None };
    minisign.fetch(&http(Vec::new()), &server.url, &Cancel::default())
}

/// Writes what `server` has with its signature.
fn attempt(dir: &Path, server: &Server) -> Result<Vec<u8>, ImageError> {
    let target = dirty_file(dir, 3 * MIB);
    let request = WriteRequest { signature: Some(fetch(server, KEY)?), ..from_http(vec![server.url.clone()]) };
    let written = write_to_file(request, &target);
    if let Err(ImageError::Stopped { .. }) = &written {
        assert_unbootable(&target);
    }
    written.map(|_| fs::read(&target).unwrap())
}

#[test]
fn a_signed_image_is_written_whatever_pieces_it_comes_in() {
    let dir = tempfile::tempdir().unwrap();
    for script in [vec![], vec![Answer::Cut(777_777), Answer::Cut(99_999)]] {
        let server = Server::new(signed_image(), script).beside("/image.minisig", right());
        assert_written(&attempt(dir.path(), &server).unwrap(), &signed_image());
    }
}

#[test]
fn a_flipped_bit_or_another_length_is_an_invalid_signature_and_does_not_boot() {
    let dir = tempfile::tempdir().unwrap();
    let (mut flipped, mut longer) = (signed_image(), signed_image());
    flipped[MIB + 5] ^= 0x20;
    longer.push(0);
    for bytes in [flipped, longer, signed_image()[..2 * MIB - 512].to_vec()] {
        let server = Server::new(bytes, []).beside("/image.minisig", right());
        let error = attempt(dir.path(), &server).unwrap_err();
        assert_eq!(error.code(), "image.signature_invalid", "{error:?}");
        assert!(matches!(error, ImageError::Stopped { .. }));
    }
}

#[test]
fn what_can_be_known_before_the_first_byte_is_refused_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let cases = [
        (None, "image.signature_missing"),
        (Some(by_other()), "image.signature_other_key"),
        (Some(legacy()), "image.signature_legacy"),
        (Some("junk".to_owned()), "image.signature_invalid"),
    ];
    for (signature, code) in cases {
        let mut server = Server::new(signed_image(), []);
        if let Some(signature) = signature {
            server = server.beside("/image.minisig", signature);
        }
        let error = attempt(dir.path(), &server).unwrap_err();
        assert_eq!(error.code(), code, "{error:?}");
        assert!(!matches!(error, ImageError::Stopped { .. }));
        assert_eq!(fs::read(dir.path().join("target")).unwrap(), dirt(3 * MIB), "{code}: the target was touched");
    }
    let server = Server::new(signed_image(), []).beside("/image.minisig", right());
    assert_eq!(fetch(&server, OTHER_KEY).unwrap_err().code(), "image.signature_other_key");
    assert_eq!(fetch(&server, "RWQ").unwrap_err().code(), "image.signature_key");
}

#[test]
fn what_is_read_as_a_tree_is_checked_too() {
    let read = |bytes: Vec<u8>| {
        let server = Server::new(bytes, []).beside("/image.minisig", right());
        let signature = Some(fetch(&server, KEY).unwrap());
        let source = image::Source::Http(http(vec![server.url.clone()]));
        image::read(source, &Default::default(), signature, &Cancel::default(), |reader| {
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(reader, &mut bytes).unwrap();
            Ok::<_, ImageError>(bytes)
        })
    };
    assert!(read(signed_image()).unwrap().0 == signed_image());
    let mut flipped = signed_image();
    flipped[0] ^= 1;
    assert_eq!(read(flipped).unwrap_err().code(), "image.signature_invalid");
}

/// The exit status, and the code or event of the last line.
fn run(source: &str, target: &Path, more: &[&str]) -> (i32, String) {
    let output = burin("write").args([source, "--file", "--json"]).arg(target).args(more).output().unwrap();
    let last = lines(&output).pop().unwrap_or_else(|| panic!("{output:?}"));
    let said = last["data"]["code"].as_str().or(last["event"].as_str()).unwrap().to_owned();
    (output.status.code().unwrap(), said)
}

#[test]
fn on_the_command_line_the_key_may_be_a_file_and_the_signature_anywhere() {
    let dir = tempfile::tempdir().unwrap();
    let target = dirty_file(dir.path(), 3 * MIB);
    let public = dir.path().join("minisign.pub");
    fs::write(&public, format!("untrusted comment: minisign public key\n{KEY}\n")).unwrap();
    let public = public.to_str().unwrap();
    let server = Server::new(signed_image(), []).beside("/image.minisig", right()).beside("/elsewhere", right());
    assert_eq!(run(&server.url, &target, &["--minisign", public]), (0, "receipt".to_owned()));
    let elsewhere = server.at("/elsewhere");
    assert_eq!(run(&server.url, &target, &["--minisign", KEY, "--signature", &elsewhere]).0, 0);
    let missing = server.at("/none.minisig");
    let (status, code) = run(&server.url, &target, &["--minisign", KEY, "--signature", &missing]);
    assert_eq!((status, code.as_str()), (1, "image.signature_missing"));
    let (status, code) = run(&server.url, &target, &["--minisign", OTHER_KEY]);
    assert_eq!((status, code.as_str()), (1, "image.signature_other_key"));
    // A local image has its signature beside it.
    let image = dir.path().join("image.raw");
    fs::write(&image, signed_image()).unwrap();
    let image = image.to_str().unwrap();
    assert_eq!(run(image, &target, &["--minisign", KEY]), (1, "image.signature_missing".to_owned()));
    fs::write(format!("{image}.minisig"), right()).unwrap();
    assert_eq!(run(image, &target, &["--minisign", KEY]).0, 0);
    assert_written(&fs::read(&target).unwrap(), &signed_image());
}

#[test]
fn a_signed_file_of_digests_proves_the_image() {
    let dir = tempfile::tempdir().unwrap();
    let target = dirty_file(dir.path(), 3 * MIB);
    let sums = format!("{}  image\n", sha256(&signed_image()).trim_start_matches("sha256:"));
    let publish = |image: Vec<u8>, sums: &str, signature: Option<String>| {
        let server = Server::new(image, []).beside("/SHA256SUMS", sums);
        match signature {
            Some(signature) => server.beside("/SHA256SUMS.minisig", signature),
            None => server,
        }
    };
    let run =
        |server: &Server| run(&server.url, &target, &["--minisign", KEY, "--sha256sums", &server.at("/SHA256SUMS")]);
    assert_eq!(run(&publish(signed_image(), &sums, Some(of_sums()))), (0, "receipt".to_owned()));
    let mut flipped = signed_image();
    flipped[7] ^= 1;
    let wrong_image = run(&publish(flipped.clone(), &sums, Some(of_sums())));
    assert_eq!(wrong_image, (1, "image.digest_mismatch".to_owned()));
    assert_unbootable(&target);
    // Digests that fit the bad image, but were never signed.
    let forged = format!("{}  image\n", sha256(&flipped).trim_start_matches("sha256:"));
    fs::write(&target, dirt(3 * MIB)).unwrap();
    let wrong_sums = run(&publish(flipped.clone(), &forged, Some(of_sums())));
    assert_eq!(wrong_sums, (1, "image.signature_invalid".to_owned()));
    assert_eq!(run(&publish(flipped, &forged, None)), (1, "image.signature_missing".to_owned()));
    assert_eq!(fs::read(&target).unwrap(), dirt(3 * MIB), "the target was touched");
}

#[test]
fn a_signed_qcow2_image_is_checked_before_it_is_read_by_ranges() {
    if !have("qemu-img") || !have("minisign") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let image = image(4 * MIB);
    let at = |name: &str| dir.path().join(name);
    fs::write(at("raw"), &image).unwrap();
    let tool = |program: &str, words: &[&str]| {
        let done = std::process::Command::new(program).current_dir(dir.path()).args(words).output().unwrap();
        assert!(done.status.success(), "{program}: {done:?}");
    };
    tool("qemu-img", &["convert", "-f", "raw", "-O", "qcow2", "raw", "image"]);
    tool("minisign", &["-G", "-W", "-p", "key.pub", "-s", "key.sec"]);
    tool("minisign", &["-S", "-W", "-s", "key.sec", "-m", "image"]);
    let target = dirty_file(dir.path(), 5 * MIB);
    let key = at("key.pub");
    let mut bytes = fs::read(at("image")).unwrap();
    let serve =
        |bytes: &[u8]| Server::new(bytes.to_vec(), []).beside("/image.minisig", fs::read(at("image.minisig")).unwrap());
    let good = serve(&bytes);
    assert_eq!(run(&good.url, &target, &["--minisign", key.to_str().unwrap()]), (0, "receipt".to_owned()));
    assert_written(&fs::read(&target).unwrap(), &image);
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&target, dirt(5 * MIB)).unwrap();
    let bad = serve(&bytes);
    let refused = run(&bad.url, &target, &["--minisign", key.to_str().unwrap()]);
    assert_eq!(refused, (1, "image.signature_invalid".to_owned()));
    assert_eq!(fs::read(&target).unwrap(), dirt(5 * MIB), "the target was touched");
}
