use super::*;

const ALL_DEFAULT: &str = r#"{
    "version": "order/v1", "id": "lab-3",
    "images": { "debian": { "urls": ["http://boot.lan/debian.raw.zst"] } },
    "layouts": [ { "name": "only-disk", "disks": { "root": { "image": "debian" } } } ]
}"#;

fn with(path: &str, value: serde_json::Value) -> String {
    let mut order: serde_json::Value = serde_json::from_str(ALL_DEFAULT).unwrap();
    let (parent, key) = path.rsplit_once('/').unwrap();
    order.pointer_mut(parent).unwrap()[key] = value;
    order.to_string()
}

fn mistake(text: &str) -> (&'static str, String, String) {
    let error = parse(text).unwrap_err();
    let first = error.mistakes().first().cloned();
    let first = first.unwrap_or(Mistake { pointer: String::new(), message: error.to_string() });
    (error.code(), first.pointer, first.message)
}

#[test]
fn the_shortest_order_is_an_order_and_survives_a_round_trip() {
    let order = parse(ALL_DEFAULT).unwrap();
    let again = parse(&serde_json::to_string(&order).unwrap()).unwrap();
    assert_eq!(order, again);
    assert_eq!(parse_value(&serde_json::to_value(&order).unwrap()).unwrap(), order);
}

#[test]
fn an_unknown_key_is_named_with_its_place_and_the_nearest_known_one() {
    let (code, pointer, message) = mistake(&with("/layouts/0/disks/root/on_existng", "destroy".into()));
    assert_eq!((code, pointer.as_str()), ("order.unknown_key", "/layouts/0/disks/root/on_existng"));
    assert!(message.contains("did you mean `on_existing`"), "{message}");

    let (code, pointer, _) = mistake(&with("/layouts/0/disks/root/match", serde_json::json!({"size": {"gte": "1GB"}})));
    assert_eq!((code, pointer.as_str()), ("order.unknown_key", "/layouts/0/disks/root/match/size/gte"));

    let (code, pointer, _) = mistake(&with("/a~b", 1.into()));
    assert_eq!((code, pointer.as_str()), ("order.unknown_key", "/a~0b"));
}

#[test]
fn a_wrong_value_is_named_with_its_place_and_what_was_expected() {
    let grow = serde_json::json!([{"name": "x", "type": "linux", "size": "10G"}]);
    let (code, pointer, message) = mistake(&with("/layouts/0/disks/root/add", grow));
    assert_eq!((code, pointer.as_str()), ("order.invalid", "/layouts/0/disks/root/add/0/size"));
    assert!(message.contains("GB") && message.contains("GiB"), "{message}");

    let (_, pointer, message) = mistake(&with("/layouts/0/disks/root/tie", "guess".into()));
    assert_eq!(pointer, "/layouts/0/disks/root/tie");
    assert!(message.contains("`refuse`") && message.contains("`identity`"), "{message}");

    let nested = serde_json::json!({"any": [{"model": "x"}, {"not": {"size": {"between": ["1GB"]}}}]});
    let (_, pointer, message) = mistake(&with("/layouts/0/disks/root/match", nested));
    assert_eq!(pointer, "/layouts/0/disks/root/match/any/1/not/size/between");
    assert!(message.contains("2"), "{message}");

    let (_, pointer, message) = mistake(&with("/layouts/0/disks/root/grow", "first".into()));
    assert_eq!(pointer, "/layouts/0/disks/root/grow");
    assert!(message.contains("\"last\""), "{message}");
}

#[test]
fn a_name_given_twice_is_an_error() {
    for text in [
        r#"{"version":"order/v1","id":"x","layouts":[{"name":"l","disks":{"a":{},"a":{}}}]}"#,
        r#"{"version":"order/v1","id":"x","layouts":[{"name":"l","disks":{"a":{"match":{"size":1,"size":2}}}}]}"#,
        r#"{"version":"order/v1","id":"x","id":"y","layouts":[]}"#,
    ] {
        let (code, _, message) = mistake(text);
        assert_eq!(code, "order.invalid", "{text}");
        assert!(message.contains("duplicate"), "{message}");
    }
}

#[test]
fn what_is_not_json_and_what_is_another_version_have_their_own_codes() {
    assert_eq!(mistake("{").0, "order.not_json");
    assert_eq!(mistake(&format!("{ALL_DEFAULT} x")).0, "order.not_json");
    assert_eq!(mistake("").0, "order.not_json");
    assert_eq!(mistake(&with("/version", "order/v2".into())).0, "order.version");
    assert_eq!(mistake("[]").0, "order.invalid");
}

#[test]
fn predicates_survive_a_round_trip() {
    let predicate = serde_json::json!({
        "class": "nvme",
        "size": { "ge": "400GB", "lt": { "attribute": "limit" } },
        "model": ["A", "B"],
        "serial": { "attribute": "root_serial" },
        "all": [{ "temperature": { "within": { "of": 40, "percent": 12.5 } } }],
        "any": [{ "wear": { "between": [0, 0.5] } }, { "x": { "exists": false } }],
        "not": { "vendor": { "glob": "ACME*" } },
        "nics": { "match": { "carrier": true }, "ge": 1 }
    });
    let parsed: super::super::Predicate = serde_json::from_value(predicate).unwrap();
    let again = serde_json::from_value(serde_json::to_value(&parsed).unwrap()).unwrap();
    assert_eq!(parsed, again);
}
