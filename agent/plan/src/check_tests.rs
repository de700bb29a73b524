use super::check;
use burin_protocol::order::parse_value;
use serde_json::{Value, json};

fn base() -> Value {
    json!({
        "version": "order/v1", "id": "x",
        "images": { "i": { "urls": ["http://x/y"] }, "t": { "urls": ["http://x/t.tar"], "format": "tar" } },
        "layouts": [ { "name": "l", "disks": { "root": { "image": "i" } } } ]
    })
}

/// The mistakes in the base order with one value replaced.
fn mistakes(pointer: &str, value: Value) -> Vec<(String, String)> {
    let mut order = base();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match order.pointer_mut(parent).unwrap() {
        Value::Array(list) => list.push(value),
        object => object[key] = value,
    }
    match check(&parse_value(&order).unwrap()) {
        Ok(()) => Vec::new(),
        Err(error) => error.mistakes().iter().map(|m| (m.pointer.clone(), m.message.clone())).collect(),
    }
}

#[test]
fn a_sound_order_has_no_mistakes() {
    assert_eq!(mistakes("/id", json!("y")), []);
}

#[test]
fn a_misspelt_field_is_named_with_the_nearest_one() {
    let found = mistakes("/layouts/0/disks/root/match", json!({"any": [{"modle": "x"}]}));
    assert_eq!(found[0].0, "/layouts/0/disks/root/match/any/0/modle");
    assert!(found[0].1.contains("did you mean `model`"), "{found:?}");
    let found = mistakes("/layouts/0/when", json!({"system.manufactuer": "x"}));
    assert!(found[0].1.contains("`system.manufacturer`"), "{found:?}");
}

#[test]
fn kernel_names_are_no_rule() {
    for field in ["name", "path", "hctl", "holders"] {
        let found = mistakes("/layouts/0/disks/root/match", json!({ field: "sda" }));
        assert!(found[0].1.contains("changes between boots"), "{found:?}");
    }
    let found = mistakes("/layouts/0/disks/root/order_by", json!([{"asc": "name"}]));
    assert_eq!(found[0].0, "/layouts/0/disks/root/order_by/0/asc");
}

/// A pointer, the value that is set there, and the expected location of the mistake.
type Case = (&'static str, Value, &'static str);

fn found_at_their_places(cases: &[Case]) {
    for (pointer, value, expected) in cases {
        let found = mistakes(pointer, value.clone());
        assert!(found.iter().any(|(at, _)| at == expected), "{pointer} = {value}: {found:?}");
    }
}

#[test]
fn mistakes_of_the_order_and_its_images_are_found_at_their_place() {
    found_at_their_places(&[
        ("/id", json!(""), "/id"),
        ("/layouts", json!([]), "/layouts"),
        ("/images/i", json!({"urls": []}), "/images/i/urls"),
        ("/images/i", json!({"urls": ["file:///x"]}), "/images/i/urls/0"),
        ("/images/i", json!({"urls": ["http://x"], "digest": {"wire": "md5:0"}}), "/images/i/digest/wire"),
        ("/images/i", json!({"urls": ["http://x"], "sums": {"url": "x"}}), "/images/i/sums/url"),
        (
            "/images/i",
            json!({"urls": ["http://x"], "digest": {"wire": format!("sha256:{}", "0".repeat(64))}, "sums": {"url": "http://s"}}),
            "/images/i/sums",
        ),
        ("/images/i", json!({"urls": ["http://x"], "signature": {"key": "RWQ"}}), "/images/i/signature/key"),
        (
            "/images/i",
            json!({"urls": ["http://x"], "delta": {"url": "http://d", "digest": "0"}}),
            "/images/i/delta/digest",
        ),
        ("/images/i", json!({"urls": ["http://x"], "transfer": {"connections": 9}}), "/images/i/transfer/connections"),
        ("/images/i", json!({"urls": ["http://x"], "transfer": {"proxy": "p:1"}}), "/images/i/transfer/proxy"),
        ("/images/i", json!({"urls": ["http://x"], "transfer": {"proxy": "socks4://p"}}), "/images/i/transfer/proxy"),
        ("/images/i", json!({"urls": ["http://x"], "transfer": {"rate": 0}}), "/images/i/transfer/rate"),
        ("/images/i", json!({"urls": ["http://x"], "transfer": {"rate": 65535}}), "/images/i/transfer/rate"),
        (
            "/images/i",
            json!({"urls": ["http://x"], "transfer": {"rate": 500_000, "connections": 8}}),
            "/images/i/transfer/rate",
        ),
        ("/policies", json!({"require_signature": true}), "/images/i"),
    ]);
}

#[test]
fn mistakes_of_how_disks_are_chosen_are_found_at_their_place() {
    let root = "/layouts/0/disks/root";
    found_at_their_places(&[
        ("/layouts/-", json!({"name": "l", "disks": {"a": {"image": "i"}}}), "/layouts/1/name"),
        ("/layouts/0/disks/root", json!({}), root),
        ("/layouts/0/disks/root/image", json!("none"), "/layouts/0/disks/root/image"),
        ("/layouts/0/disks/root/match", json!({"size": {"ge": "480G"}}), "/layouts/0/disks/root/match/size/ge"),
        ("/layouts/0/disks/root/match", json!({"size": {"glob": "4*"}}), "/layouts/0/disks/root/match/size/glob"),
        ("/layouts/0/disks/root/match", json!({"model": {"lt": 4}}), "/layouts/0/disks/root/match/model/lt"),
        ("/layouts/0/disks/root/match", json!({"class": "nvmee"}), "/layouts/0/disks/root/match/class"),
        ("/layouts/0/disks/root/match", json!({"removable": "no"}), "/layouts/0/disks/root/match/removable"),
        ("/layouts/0/disks/root/match", json!({"health": "ok"}), "/layouts/0/disks/root/match/health"),
        ("/layouts/0/disks/root/match", json!({"any": []}), "/layouts/0/disks/root/match/any"),
        ("/layouts/0/disks/root/match", json!({"disks": {"ge": 1}}), "/layouts/0/disks/root/match/disks"),
        ("/layouts/0/disks/root/count", json!(0), "/layouts/0/disks/root/count"),
        ("/layouts/0/disks/root/except", json!(["b"]), "/layouts/0/disks/root/except/0"),
        ("/layouts/0/disks/root/except", json!(["root"]), "/layouts/0/disks/root/except"),
    ]);
}

#[test]
fn mistakes_of_what_is_put_on_disks_are_found_at_their_place() {
    let root = "/layouts/0/disks/root";
    let partition = |over: Value| {
        let mut partition = json!({"name": "p", "type": "linux"});
        partition.as_object_mut().unwrap().extend(over.as_object().unwrap().clone());
        json!([partition])
    };
    found_at_their_places(&[
        ("/layouts/0/disks/root/protect", json!(true), root),
        ("/layouts/0/disks/root/on_existing", json!("preserve"), root),
        ("/layouts/0/disks/root/partitions", partition(json!({})), "/layouts/0/disks/root/partitions"),
        ("/layouts/0/disks/root/add", partition(json!({})), "/layouts/0/disks/root/add/0"),
        (
            "/layouts/0/disks/root/add",
            partition(json!({"size": "1GB", "type": "lnx"})),
            "/layouts/0/disks/root/add/0/type",
        ),
        (
            "/layouts/0/disks/root/add",
            partition(json!({"size": "1GB", "min": "1GB"})),
            "/layouts/0/disks/root/add/0/min",
        ),
        ("/layouts/0/disks/root/guids", json!({"disk": "x"}), "/layouts/0/disks/root/guids/disk"),
        (
            "/layouts/0/disks/root/guids",
            json!({"partitions": {"x": "new"}}),
            "/layouts/0/disks/root/guids/partitions/x",
        ),
    ]);
}

#[test]
fn mistakes_of_boot_seed_and_network_are_found_at_their_place() {
    found_at_their_places(&[
        ("/layouts/0/boot", json!({"set": "root", "label": ""}), "/layouts/0/boot/label"),
        ("/layouts/0/boot", json!({"set": "root", "label": " "}), "/layouts/0/boot/label"),
        ("/layouts/0/boot", json!({"set": "root", "label": "x".repeat(65)}), "/layouts/0/boot/label"),
        ("/layouts/0/boot", json!({"set": "root", "label": "a\u{7}b"}), "/layouts/0/boot/label"),
        ("/layouts/0/boot", json!({"set": "root", "label": "a\u{202e}b"}), "/layouts/0/boot/label"),
        ("/layouts/0/disks", json!({"a": {"image": "i"}, "b": {"image": "i"}}), "/layouts/0/boot"),
        ("/layouts/0/boot", json!({"set": "none"}), "/layouts/0/boot/set"),
        ("/layouts/0/tree", json!({"image": "t"}), "/layouts/0/tree"),
        (
            "/layouts/0/raid",
            json!({"r": {"level": "raid1", "members": {"partition": "root/x"}}}),
            "/layouts/0/raid/r/members",
        ),
        ("/seed", json!({"set": "none"}), "/seed/set"),
        ("/network", json!({"lan": {}}), "/network"),
        ("/network", json!({"UPPER": {}}), "/network/UPPER"),
        ("/network", json!({"lan": {"count": 2, "interface": {"addresses": ["10.0.0.1/8"]}}}), "/network/lan"),
        ("/network", json!({"lan": {"bond": {"mode": "fast"}}}), "/network/lan/bond/mode"),
        ("/network", json!({"lan": {"vlans": {"v": {"id": 0}}}}), "/network/lan/vlans/v/id"),
        ("/network", json!({"lan": {"match": {"name": "eth0"}}}), "/network/lan/match/name"),
    ]);
}

#[test]
fn a_file_says_where_it_goes_and_what_is_in_it() {
    let digest = format!("sha256:{}", "0".repeat(64));
    let right = [
        json!({ "path": "/etc/a", "contents": "x" }),
        json!({ "path": "/etc/a", "contents": { "attribute": "secret" }, "mode": "4755", "owner": 7, "group": "adm" }),
        json!({ "path": "/etc/a", "url": "http://x/y", "digest": digest, "set": "root" }),
    ];
    for file in right {
        assert_eq!(mistakes("/files", json!([file])), [], "{file}");
    }
    for (file, at) in [
        (json!({ "path": "etc/a", "contents": "" }), "/files/0/path"),
        (json!({ "path": "/etc/../a", "contents": "" }), "/files/0/path"),
        (json!({ "path": "/", "contents": "" }), "/files/0/path"),
        (json!({ "path": "/etc/", "contents": "" }), "/files/0/path"),
        (json!({ "path": "/run/a", "contents": "" }), "/files/0/path"),
        (json!({ "path": "/etc/a" }), "/files/0"),
        (json!({ "path": "/etc/a", "contents": "", "base64": "" }), "/files/0"),
        (json!({ "path": "/etc/a", "url": "http://x/y" }), "/files/0/digest"),
        (json!({ "path": "/etc/a", "contents": "", "digest": digest }), "/files/0/digest"),
        (json!({ "path": "/etc/a", "url": "ftp://x", "digest": digest }), "/files/0/url"),
        (json!({ "path": "/etc/a", "contents": "", "mode": "rw" }), "/files/0/mode"),
        (json!({ "path": "/etc/a", "contents": "", "mode": "99" }), "/files/0/mode"),
        (json!({ "path": "/etc/a", "contents": "", "owner": "" }), "/files/0/owner"),
        (json!({ "path": "/etc/a", "contents": "", "set": "other" }), "/files/0/set"),
    ] {
        let found = mistakes("/files", json!([file]));
        assert_eq!(found.first().map(|(pointer, _)| pointer.as_str()), Some(at), "{file}: {found:?}");
    }
    let twice = json!([{ "path": "/etc/a", "contents": "" }, { "path": "/etc/a", "contents": "" }]);
    assert_eq!(mistakes("/files", twice)[0].0, "/files/1/path");
}

#[test]
fn an_ignition_seed_has_what_ignition_knows() {
    assert_eq!(mistakes("/seed", json!({ "format": "ignition", "hostname": "h" })), []);
    for (more, at) in [
        (json!({}), "/seed"),
        (json!({ "hostname": "h", "vendor_data": "x" }), "/seed/vendor_data"),
        (json!({ "hostname": "h", "instance_id": "x" }), "/seed/instance_id"),
        (json!({ "hostname": "h", "network_config": {} }), "/seed/network_config"),
    ] {
        let mut seed = json!({ "format": "ignition" });
        seed.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        assert_eq!(mistakes("/seed", seed)[0].0, at);
    }
}

#[test]
fn a_manifest_says_everything_alone_and_a_signed_one_is_named() {
    let with = |more: Value| {
        let mut image = json!({ "manifest": "http://x/m.json" });
        image.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        mistakes("/images/i", image).into_iter().map(|(at, _)| at).collect::<Vec<_>>()
    };
    let key = json!({ "key": "RWRV5YaSboPdjiub4G6fJcNVHwqgBH0y/m1CkFQDftWOUCtuzCgOXrTr" });
    assert_eq!(with(json!({})), Vec::<String>::new());
    assert_eq!(with(json!({ "name": "debian", "least_version": "1", "signature": key })), Vec::<String>::new());
    assert_eq!(with(json!({ "signature": key })), ["/images/i/name"]);
    assert_eq!(with(json!({ "manifest": "ftp://x" })), ["/images/i/manifest"]);
    assert_eq!(with(json!({ "urls": ["http://x/y"] })), ["/images/i/urls"]);
    assert_eq!(with(json!({ "digest": { "wire": format!("sha256:{}", "0".repeat(64)) } })), ["/images/i/digest"]);
    assert_eq!(with(json!({ "delta": { "url": "http://x/y" } })), ["/images/i/delta"]);
    let alone = mistakes("/images/i", json!({ "urls": ["http://x/y"], "least_version": "1" }));
    assert_eq!(alone[0].0, "/images/i");
    assert_eq!(mistakes("/images/i", json!({}))[0].0, "/images/i/urls");
}
