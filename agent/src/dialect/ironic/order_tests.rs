use super::*;
use serde_json::json;

fn info(extra: Value) -> Value {
    let mut info = json!({"id": "image", "urls": ["http://192.0.2.1/image"], "disk_format": "raw",
        "os_hash_algo": "sha256", "os_hash_value": "AB".repeat(32)});
    info.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    info
}

fn code(extra: Value) -> String {
    let info = info(extra);
    image(&info).unwrap_err().code
}

#[test]
fn a_digest_is_asked_for_and_taken_in_every_form() {
    let wire = |extra: Value| image(&info(extra)).unwrap().digest.wire.unwrap();
    assert_eq!(wire(json!({})), format!("sha256:{}", "ab".repeat(32)));
    let none = json!({"os_hash_algo": null, "os_hash_value": null, "checksum": "c".repeat(128)});
    assert_eq!(wire(none), format!("sha512:{}", "c".repeat(128)));
    let sums = image(&info(json!({"os_hash_algo": null, "checksum": "https://h/SHA256SUMS"}))).unwrap().sums;
    assert_eq!(sums.unwrap().url, "https://h/SHA256SUMS");
    for extra in [
        json!({"os_hash_algo": null, "os_hash_value": null}),
        json!({"os_hash_algo": "md5"}),
        json!({"os_hash_algo": null, "checksum": "a".repeat(32)}),
        json!({"os_hash_algo": null, "checksum": "nonsense"}),
    ] {
        assert_eq!(code(extra.clone()), "ironic.checksum", "{extra}");
    }
}

#[test]
fn what_is_not_done_is_refused() {
    assert_eq!(code(json!({"disk_format": "iso"})), "ironic.image");
    assert_eq!(code(json!({"urls": []})), "ironic.image");
    assert_eq!(code(json!({"image_server_auth_strategy": "kerberos"})), "ironic.credentials");
    assert_eq!(code(json!({"image_request_authorization": "!"})), "ironic.credentials");
}

#[test]
fn credentials_and_proxies_go_along() {
    let basic =
        json!({"image_server_auth_strategy": "http_basic", "image_server_user": "u", "image_server_password": "p"});
    let Some(Credentials::Basic { user, password }) = image(&info(basic)).unwrap().transfer.credentials else {
        panic!()
    };
    assert_eq!((user.as_str(), password.reveal()), ("u", "p"));
    let header = STANDARD.encode(format!("Basic {}", STANDARD.encode("me:secret:with:colons")));
    let given = image(&info(json!({"image_request_authorization": header}))).unwrap().transfer.credentials;
    let Some(Credentials::Basic { user, password }) = given else { panic!() };
    assert_eq!((user.as_str(), password.reveal()), ("me", "secret:with:colons"));
    let proxy = |no: &str| {
        let info = info(json!({"proxies": {"http": "http://proxy:3128"}, "no_proxy": no}));
        image(&info).unwrap().transfer.proxy.map(|proxy| proxy.reveal().to_owned())
    };
    assert_eq!(proxy("").as_deref(), Some("http://proxy:3128"));
    assert_eq!(proxy("example.com, 192.0.2.1"), None);
    assert_eq!(proxy("2.0.2.1").as_deref(), Some("http://proxy:3128"), "no part of a name is a name");
}
