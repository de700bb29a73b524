use super::*;
use crate::error::Coded;
use crate::protocol::Order;
use crate::protocol::order::{PAYLOAD_TYPE, parse_bytes};
use burin_http::Clock;
use burin_sign::{Envelope, PublicKey, SecretKey};
use hwinventory::Inventory;
use serde_json::{Value, json};
use std::time::SystemTime;

fn order(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut order = json!({
        "version": "order/v1", "id": "web-17",
        "valid": {"machines": ["Q3QM12"], "not_before": "2026-11-22T09:00:00Z", "not_after": "2026-11-22T10:00:00Z"},
        "images": {"i": {"urls": ["https://h/i"], "digest": {"wire": format!("sha256:{}", "0".repeat(64))}}},
        "layouts": [{"name": "l", "disks": {"root": {"image": "i"}}}],
    });
    change(&mut order);
    order.to_string().into_bytes()
}

fn key() -> SecretKey {
    SecretKey::generate().unwrap().0
}

fn signed(bytes: &[u8], key: &SecretKey) -> Vec<u8> {
    Envelope::sign(PAYLOAD_TYPE, bytes, &[key]).to_bytes()
}

fn rules(policy: Value) -> Rules {
    let mut policy = policy;
    policy["version"] = json!("policy/v1");
    Rules::parse(policy.to_string().as_bytes()).unwrap()
}

fn wants(keys: &[&SecretKey]) -> Rules {
    let keys: Vec<String> = keys.iter().map(|key| key.public().to_string()).collect();
    rules(json!({"orders": {"keys": keys}}))
}

fn at(text: &str) -> SystemTime {
    crate::protocol::order::time(text).unwrap()
}

/// The input of a test, with everything valid.
struct Here {
    inventory: Inventory,
    key: Option<PublicKey>,
    clock: Clock,
    now: SystemTime,
    done: bool,
}

impl Default for Here {
    fn default() -> Self {
        let (inventory, key, clock) = (Inventory::default(), None, Clock::trusted());
        Self { inventory, key, clock, now: at("2026-11-22T09:30:00Z"), done: false }
    }
}

impl Here {
    fn judge(&self, rules: Option<&Rules>, raw: &[u8]) -> Result<Vec<PublicKey>, &'static str> {
        let order: Order = match admit(rules, raw) {
            Ok(admitted) => admitted.order,
            Err(refused) => return Err(refused.code()),
        };
        let Self { inventory, key, clock, now, done } = self;
        let here = Circumstances { inventory, key: *key, clock, now: *now, done: *done };
        judge(rules, &order, raw, here).map_err(|refused| refused.code())
    }
}

#[test]
fn without_a_policy_everything_works_as_it_comes() {
    let (raw, key) = (order(|_| {}), key());
    assert_eq!(Here::default().judge(None, &raw), Ok(vec![]));
    // A signed one too, because no key was given to compare the signature with.
    assert_eq!(Here::default().judge(None, &signed(&raw, &key)), Ok(vec![]));
    let plain = order(|order| drop(order.as_object_mut().unwrap().remove("valid")));
    assert!(
        !needs_judgement(None, &parse_bytes(&plain).unwrap()) && needs_judgement(None, &parse_bytes(&raw).unwrap())
    );
}

#[test]
fn only_signed_orders_are_read_where_the_ramdisk_wants_them() {
    let (ours, other, theirs) = (key(), key(), key());
    let rules = wants(&[&ours, &other]);
    let judge = |raw: &[u8]| Here::default().judge(Some(&rules), raw);
    let raw = order(|_| {});
    assert_eq!(judge(&signed(&raw, &ours)), Ok(vec![ours.public()]));
    assert_eq!(judge(&signed(&raw, &other)), Ok(vec![other.public()]));
    assert_eq!(judge(&raw), Err("order.unsigned"));
    assert_eq!(judge(&signed(&raw, &theirs)), Err("sign.signature"));
    // An unsigned order is not even parsed: the same result for something that is not an order at all.
    assert_eq!(judge(b"{}"), Err("order.unsigned"));
    assert_eq!(judge(&signed(b"not JSON", &theirs)), Err("sign.signature"));
    assert_eq!(judge(&signed(b"not JSON", &ours)), Err("order.not_json"));
    let receipt = Envelope::sign("application/vnd.in-toto+json", &raw, &[&ours]).to_bytes();
    assert_eq!(judge(&receipt), Err("sign.payload_type"), "another document of the same key");
}

/// What two readers could take for two things.
#[test]
fn an_envelope_that_says_two_things_is_refused() {
    let ours = key();
    let rules = wants(&[&ours]);
    let with = |rules: Option<&Rules>, raw: &str| Here::default().judge(rules, raw.as_bytes()).map(drop);
    let right = String::from_utf8(signed(&order(|_| {}), &ours)).unwrap();
    let rest = right.strip_prefix('{').unwrap();
    let other = Envelope::unsigned(PAYLOAD_TYPE, &order(|order| order["id"] = json!("other")));
    assert_eq!(with(Some(&rules), &right), Ok(()));
    for (raw, signed, plain) in [
        (format!("{{\"payload\":\"{}\",{rest}", other.payload), "sign.not_an_envelope", "sign.not_an_envelope"),
        (format!("{{\"signatures\":[],{rest}"), "sign.not_an_envelope", "sign.not_an_envelope"),
        (format!("{{\"payloadType\":\"text/plain\",{rest}"), "order.unsigned", "order.unknown_key"),
        (format!("{right}{right}"), "order.unsigned", "order.not_json"),
        (format!("\u{feff}{right}"), "order.unsigned", "order.not_json"),
        ("[".repeat(100_000), "order.unsigned", "order.not_json"),
    ] {
        assert_eq!(with(Some(&rules), &raw), Err(signed), "{raw:.80}");
        assert_eq!(with(None, &raw), Err(plain), "{raw:.80}");
    }
    // Signed, and still not one thing: a key twice, and an envelope in an envelope.
    let text = String::from_utf8(order(|_| {})).unwrap();
    let twice = text.replacen('{', "{\"id\":\"other\",", 1);
    for (payload, code) in [(twice.as_bytes(), "order.invalid"), (right.as_bytes(), "order.unknown_key")] {
        assert_eq!(with(Some(&rules), &String::from_utf8(signed(payload, &ours)).unwrap()), Err(code));
    }
}

#[test]
fn what_a_front_made_of_an_order_is_what_was_signed() {
    let key = key();
    let rules = wants(&[&key]);
    let raw = signed(&order(|_| {}), &key);
    let other = parse_bytes(&order(|order| order["id"] = json!("another"))).unwrap();
    let Here { inventory, clock, now, .. } = Here::default();
    let here = Circumstances { inventory: &inventory, key: None, clock: &clock, now, done: false };
    assert_eq!(judge(Some(&rules), &other, &raw, here).unwrap_err().code(), "order.not_the_same");
    // A front whose orders have no signatures (Ironic's) cannot be used.
    assert_eq!(judge(Some(&rules), &other, b"{}", here).unwrap_err().code(), "order.unsigned");
}

#[test]
fn a_signed_order_is_for_one_machine_and_ends() {
    let key = key();
    let rules = wants(&[&key]);
    let judge = |change: fn(&mut Value)| Here::default().judge(Some(&rules), &signed(&order(change), &key));
    assert_eq!(judge(|order| drop(order.as_object_mut().unwrap().remove("valid"))), Err("policy.unbound"));
    assert_eq!(judge(|order| order["valid"]["machines"] = json!([])), Err("policy.unbound"));
    assert_eq!(judge(|order| order["valid"]["not_after"] = Value::Null), Err("policy.unbound"));
    assert!(judge(|order| order["valid"] = json!({"when": {}, "not_after": "2030-01-01T00:00:00Z"})).is_ok());
}

#[test]
fn an_order_of_yesterday_is_refused_by_every_clock_that_may_be_right() {
    let key = key();
    let (rules, raw) = (wants(&[&key]), signed(&order(|_| {}), &key));
    let judged = |clock: Clock, now: &str, rules: Option<&Rules>| {
        Here { clock, now: at(now), ..Here::default() }.judge(rules, &raw)
    };
    let known = |now| judged(Clock::trusted(), now, Some(&rules)).map(drop);
    assert_eq!(known("2026-11-22T09:00:00Z"), Ok(()));
    assert_eq!(known("2026-11-22T10:00:00Z"), Ok(()));
    assert_eq!(known("2026-11-22T08:59:59Z"), Err("order.too_early"));
    assert_eq!(known("2026-11-22T10:00:01Z"), Err("order.too_late"));
    // An order's own restrictions apply, signed or not, with a policy or without.
    assert_eq!(judged(Clock::trusted(), "2027-01-01T00:00:00Z", None), Err("order.too_late"));
    // An untrusted clock is not enough for a signed order, but enough to detect one that has expired.
    let unknown = || Clock::untrusted(at("2026-01-01T00:00:00Z"), |_| false);
    assert_eq!(judged(unknown(), "2026-11-22T09:30:00Z", Some(&rules)), Err("policy.no_time"));
    assert_eq!(judged(unknown(), "2026-11-22T09:30:00Z", None), Ok(vec![]));
    assert_eq!(judged(unknown(), "2026-11-22T10:30:00Z", None), Err("order.too_late"));
    // The controller contradicts a time server that turns the clock back: both must agree.
    let turned_back = Clock::by_time_server(at("2026-01-01T00:00:00Z"), |_| {});
    turned_back.observe("Sun, 22 Nov 2026 23:00:00 GMT", at("2026-11-22T09:30:00Z"));
    assert_eq!(judged(turned_back, "2026-11-22T09:30:00Z", Some(&rules)), Err("order.too_late"));
}

#[test]
fn an_order_for_this_boot_is_for_no_other() {
    let (key, machine, next_boot) = (key(), key(), key());
    let strict = rules(json!({"orders": {"keys": [key.public().to_string()], "this_boot": true}}));
    let raw = |named: Option<&SecretKey>| {
        let named = named.map(|key| key.public().to_string());
        signed(&order(|order| order["valid"]["key"] = json!(named)), &key)
    };
    let judged =
        |at: &SecretKey, raw: &[u8]| Here { key: Some(at.public()), ..Here::default() }.judge(Some(&strict), raw);
    assert!(judged(&machine, &raw(Some(&machine))).is_ok());
    assert_eq!(judged(&next_boot, &raw(Some(&machine))), Err("order.other_boot"), "the same order, replayed");
    assert_eq!(judged(&machine, &raw(None)), Err("policy.any_boot"));
    let nothing = Here::default().judge(Some(&strict), &raw(Some(&machine)));
    assert_eq!(nothing, Err("order.other_boot"), "a machine without a key");
    let done = Here { key: Some(machine.public()), done: true, ..Here::default() };
    assert_eq!(done.judge(Some(&strict), &raw(Some(&machine))), Err("policy.replayed"));
}

#[test]
fn what_was_signed_before_can_be_withdrawn() {
    let key = key();
    let least = |time: &str| rules(json!({"orders": {"keys": [key.public().to_string()], "least_not_before": time}}));
    let judge = |rules: &Rules, raw: &[u8]| Here::default().judge(Some(rules), &signed(raw, &key)).map(drop);
    assert_eq!(judge(&least("2026-11-22T09:00:00Z"), &order(|_| {})), Ok(()));
    assert_eq!(judge(&least("2026-11-22T09:00:01Z"), &order(|_| {})), Err("policy.withdrawn"));
    let undated = order(|order| order["valid"]["not_before"] = Value::Null);
    assert_eq!(judge(&least("2026-11-22T09:00:00Z"), &undated), Err("policy.withdrawn"));
}

#[test]
fn images_have_to_be_proven_as_the_ramdisk_says() {
    let (ours, theirs) = ("RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3", "RWQ");
    let judged = |policy: Value, image: Value| {
        let raw = order(|order| order["images"]["i"] = image);
        Here::default().judge(Some(&rules(policy)), &raw).map(drop)
    };
    let digest = format!("sha256:{}", "0".repeat(64));
    let bare = json!({"urls": ["https://h/i"]});
    let pinned = json!({"urls": ["https://h/i"], "digest": {"content": digest}});
    let by = |key: &str| json!({"urls": ["https://h/i"], "signature": {"key": key}});
    let by_sums = json!({"urls": ["https://h/i"], "sums": {"url": "https://h/s", "signature": {"key": ours}}});
    let summed = json!({"urls": ["https://h/i"], "sums": {"url": "https://h/s"}});
    let signature = json!({"images": {"require": "signature", "keys": [ours]}});
    let any = json!({"images": {"require": "signature"}});
    let either = json!({"images": {"require": "digest", "keys": [ours]}});
    for (policy, image, right) in [
        (&signature, by(ours), true),
        (&signature, by_sums, true),
        (&signature, by(theirs), false),
        (&signature, pinned.clone(), false),
        (&signature, bare.clone(), false),
        (&signature, summed.clone(), false),
        (&any, by(theirs), true),
        (&any, pinned.clone(), false),
        (&either, pinned, true),
        (&either, by(ours), true),
        (&either, by(theirs), false),
        (&either, bare, false),
        (&either, summed, false),
    ] {
        let expected = if right { Ok(()) } else { Err("policy.image") };
        assert_eq!(judged(policy.clone(), image.clone()), expected, "{policy} {image}");
    }
    // Another key in the same format is a different key, and only the reference itself pins.
    let pem = |of: &str| format!("-----BEGIN PUBLIC KEY-----\n{of}\n-----END PUBLIC KEY-----\n");
    let cosign = json!({"images": {"require": "signature", "keys": [pem("MFkwEwYH")]}});
    let digest = json!({"images": {"require": "digest"}});
    let hex = "0".repeat(64);
    for (policy, image, right) in [
        (&cosign, json!({"urls": ["oci://h/i:1"], "signature": {"key": pem("MFkwEwYH")}}), true),
        (&cosign, json!({"urls": ["oci://h/i:1"], "signature": {"key": pem("AAAAAAAA")}}), false),
        (&digest, json!({"urls": [format!("oci://h/i@sha256:{hex}")]}), true),
        (&digest, json!({"urls": [format!("oci://h/i:1#x@sha256:{hex}")]}), false),
        (&digest, json!({"urls": ["oci://h/i@sha256:0"]}), false),
    ] {
        let expected = if right { Ok(()) } else { Err("policy.image") };
        assert_eq!(judged(policy.clone(), image.clone()), expected, "{policy} {image}");
    }
    // Only a manifest states a version; whether it is too old is checked when it has been fetched.
    let versions = json!({"images": {"require": "signature", "least_versions": {"debian": "13"}}});
    for (image, right) in [
        (json!({"manifest": "https://h/m", "signature": {"key": ours}}), true),
        (json!({"manifest": "https://h/m"}), false),
        (by(ours), false),
    ] {
        let expected = if right { Ok(()) } else { Err("policy.image") };
        assert_eq!(judged(versions.clone(), image.clone()), expected, "{image}");
    }
    let https = json!({"require_https": true});
    for (image, right) in [
        (json!({"urls": ["https://h/i"]}), true),
        (json!({"urls": ["oci://h/i:1"]}), true),
        (json!({"urls": ["oci+http://h/i:1"]}), false),
        (json!({"urls": ["https://h/i", "http://h/i"]}), false),
        (json!({"urls": ["https://h/i"], "sums": {"url": "http://h/s"}}), false),
        (json!({"urls": ["https://h/i"], "signature": {"key": ours, "url": "http://h/s"}}), false),
        (json!({"urls": ["https://h/i"], "delta": {"url": "http://h/d"}}), false),
        (json!({"manifest": "https://h/m"}), true),
        (json!({"manifest": "http://h/m"}), false),
    ] {
        let expected = if right { Ok(()) } else { Err("policy.https") };
        assert_eq!(judged(https.clone(), image.clone()), expected, "{image}");
    }
    let digest = format!("sha256:{}", "0".repeat(64));
    for (url, expected) in [("https://h/f", Ok(())), ("http://h/f", Err("policy.https"))] {
        let raw = order(|order| order["files"] = json!([{ "path": "/etc/motd", "url": url, "digest": digest }]));
        assert_eq!(Here::default().judge(Some(&rules(https.clone())), &raw).map(drop), expected, "{url}");
    }
}

#[test]
fn disks_have_to_be_erased_as_thoroughly_as_the_ramdisk_says() {
    let disks = json!({ "root": { "wipe": true }, "kept": { "on_existing": "preserve" },
        "guarded": { "protect": true, "match": { "serial": "S" } } });
    let judged = |least: &str, erase: Option<&str>| {
        let raw = order(|order| {
            order["layouts"] = json!([{ "name": "only", "disks": disks }]);
            if let Some(erase) = erase {
                order["layouts"][0]["disks"]["root"]["erase"] = json!(erase);
            }
        });
        Here::default().judge(Some(&rules(json!({ "least_erase": least }))), &raw).map(drop)
    };
    for (least, erase, right) in [
        ("signatures", None, true),
        ("zeros", None, false),
        ("zeros", Some("signatures"), false),
        ("zeros", Some("zeros"), true),
        ("zeros", Some("secure-erase"), true),
        ("secure-erase", Some("zeros"), false),
        ("secure-erase", Some("secure-erase"), true),
    ] {
        assert_eq!(judged(least, erase), if right { Ok(()) } else { Err("policy.erase") }, "{least} {erase:?}");
    }
}

#[test]
fn a_layout_that_erases_less_is_refused_whether_it_applies_or_not() {
    let set = |erase: &str| json!({ "root": { "wipe": true, "erase": erase } });
    let raw = order(|order| {
        order["layouts"] = json!([
            { "name": "first", "disks": set("zeros"), "priority": 1 }, { "name": "second", "disks": set("signatures") }
        ]);
    });
    let rules = rules(json!({ "least_erase": "zeros" }));
    let Here { inventory, clock, now, .. } = Here::default();
    let here = Circumstances { inventory: &inventory, key: None, clock: &clock, now, done: false };
    let refused = judge(Some(&rules), &parse_bytes(&raw).unwrap(), &raw, here).unwrap_err();
    assert!(refused.to_string().contains("layout `second`, disk set `root`: its `erase` is `signatures`"), "{refused}");
    assert_eq!(refused.hint().as_deref(), Some("let the set say \"erase\": \"zeros\", or more"));
}

#[test]
fn the_way_it_was_booted_counts() {
    let raw = order(|_| {});
    let judged = |policy: &str, change: fn(&mut Inventory)| {
        let mut here = Here::default();
        change(&mut here.inventory);
        here.judge(Some(&rules(json!({ "boot": policy }))), &raw).map(drop)
    };
    assert_eq!(judged("secure-boot", |machine| machine.firmware.data.secure_boot = Some(true)), Ok(()));
    assert_eq!(judged("secure-boot", |machine| machine.firmware.data.secure_boot = Some(false)), Err("policy.boot"));
    assert_eq!(judged("secure-boot", |_| {}), Err("policy.boot"), "not known is not on");
    assert_eq!(judged("lockdown", |machine| machine.kernel.data.lockdown = Some("integrity".into())), Ok(()));
    assert_eq!(judged("lockdown", |machine| machine.kernel.data.lockdown = Some("none".into())), Err("policy.boot"));
    assert_eq!(judged("lockdown", |_| {}), Err("policy.boot"));
}

#[test]
fn a_policy_that_cannot_be_read_is_not_no_policy() {
    let root = tempfile::tempdir().unwrap();
    assert!(matches!(Rules::load(root.path()), Ok(None)));
    let path = root.path().join(PLACE);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    for (text, code) in [
        ("", "policy.invalid"),
        ("{}", "policy.invalid"),
        (r#"{"version": "policy/v1", "orders": {"keys": ["nonsense"]}}"#, "policy.key"),
    ] {
        std::fs::write(&path, text).unwrap();
        assert_eq!(Rules::load(root.path()).unwrap_err().code(), code, "{text}");
    }
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert_eq!(Rules::load(root.path()).unwrap_err().code(), "policy.file");
    std::fs::remove_dir(&path).unwrap();
    let key = key().public().to_string();
    std::fs::write(&path, json!({"version": "policy/v1", "orders": {"keys": [key]}}).to_string()).unwrap();
    assert!(Rules::load(root.path()).unwrap().unwrap().requires_signed_orders());
}
