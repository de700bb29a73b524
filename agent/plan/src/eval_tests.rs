use super::*;

fn attributes(values: Value) -> Attributes {
    let order = json!({ "version": "order/v1", "id": "x", "layouts": [], "attributes": values });
    let order = burin_protocol::order::parse_value(&order).unwrap();
    let line = [("slots".to_owned(), "2".to_owned()), ("big".to_owned(), "1TB".to_owned())].into();
    Attributes::gather(&hwinventory_types::Inventory::default(), &order, &line)
}

fn ask(text: Value) -> Truth {
    ask_of(text, true)
}

fn ask_of(text: Value, complete: bool) -> Truth {
    let disk = json!({
        "size": 480_103_981_056u64, "class": "ssd", "model": " MZ7L3480 ", "rotational": false, "by_id": ["a", "b"],
        "holders": [], "partitions": [{"label": "ESP"}, {"size": 5}], "health": { "temperature": -3 }
    });
    let attributes = attributes(json!({ "serial": "S1", "classes": ["ssd", "nvme"], "n": 3, "flag": true }));
    let disks = [(json!({"class": "nvme"}), true), (json!({}), true)];
    let counted = Some(Counted { disks: Some(&disks), nics: None });
    let view = View { value: &disk, complete, attributes: &attributes, counted };
    predicate(&serde_json::from_value(text).unwrap(), view).0
}

#[test]
fn every_operator_is_true_false_or_unknown() {
    for (text, expected) in [
        (json!({}), Truth::True),
        (json!({"class": "SSD"}), Truth::True),
        (json!({"class": ["hdd", "ssd"]}), Truth::True),
        (json!({"class": {"in": {"attribute": "classes"}}}), Truth::True),
        (json!({"class": {"ne": "ssd"}}), Truth::False),
        (json!({"model": "MZ7L3480"}), Truth::True),
        (json!({"model": {"glob": "mz7*"}}), Truth::True),
        (json!({"model": {"lt": "Z"}}), Truth::Unknown),
        (json!({"size": {"ge": "480GB", "lt": "500GB"}}), Truth::True),
        (json!({"size": {"between": ["480103981056B", "480103981056B"]}}), Truth::True),
        (json!({"size": {"gt": 480103981056u64}}), Truth::False),
        (json!({"size": {"nominal": "480GB"}}), Truth::True),
        (json!({"size": {"nominal": "500GB"}}), Truth::False),
        (json!({"size": {"within": {"of": "500GB", "percent": 5}}}), Truth::True),
        (json!({"size": {"lt": {"attribute": "big"}}}), Truth::True),
        (json!({"size": {"lt": {"attribute": "absent"}}}), Truth::Unknown),
        (json!({"rotational": false}), Truth::True),
        (json!({"health.temperature": {"lt": 0}}), Truth::True),
        (json!({"serial": "S1"}), Truth::Unknown),
        (json!({"not": {"serial": "S1"}}), Truth::Unknown),
        (json!({"serial": {"ne": "S1"}}), Truth::Unknown),
        (json!({"any": [{"serial": "S1"}, {"class": "ssd"}]}), Truth::True),
        (json!({"any": [{"serial": "S1"}, {"class": "hdd"}]}), Truth::Unknown),
        (json!({"any": []}), Truth::False),
        (json!({"all": [{"serial": "S1"}, {"class": "hdd"}]}), Truth::False),
        (json!({"not": {"class": "hdd"}}), Truth::True),
        (json!({"serial": {"exists": false}}), Truth::True),
        (json!({"model": {"exists": true}}), Truth::True),
        (json!({"holders": {"exists": false}}), Truth::True),
        (json!({"holders": "x"}), Truth::False),
        (json!({"holders": {"ne": "x"}}), Truth::True),
        (json!({"by_id": "b"}), Truth::True),
        (json!({"by_id": {"ne": "b"}}), Truth::False),
        (json!({"partitions.label": "esp"}), Truth::True),
        (json!({"partitions.kind": "x"}), Truth::Unknown),
        (json!({"attribute.n": {"ge": 3}}), Truth::True),
        (json!({"attribute.flag": true}), Truth::True),
        (json!({"attribute.slots": {"ge": 2}}), Truth::True),
        (json!({"attribute.big": {"ge": "1000GB"}}), Truth::True),
        (json!({"attribute.none": "x"}), Truth::Unknown),
        (json!({"attribute.none": {"exists": false}}), Truth::True),
        (json!({"disks": {"match": {"class": "nvme"}, "ge": 1}}), Truth::True),
        (json!({"disks": {"match": {"class": "nvme"}, "ge": 2}}), Truth::Unknown),
        (json!({"disks": {"match": {"class": "nvme"}, "ge": 3}}), Truth::False),
        (json!({"disks": {"eq": 2}}), Truth::True),
        (json!({"nics": {"ge": 0}}), Truth::Unknown),
    ] {
        assert_eq!(ask(text.clone()), expected, "{text}");
    }
}

#[test]
fn a_partial_reading_does_not_say_what_is_not_there() {
    assert_eq!(ask_of(json!({"serial": {"exists": false}}), false), Truth::Unknown);
    assert_eq!(ask_of(json!({"serial": {"exists": true}}), false), Truth::Unknown);
    assert_eq!(ask_of(json!({"model": {"exists": true}}), false), Truth::True);
}

#[test]
fn whole_numbers_are_compared_exactly() {
    let disk = json!({ "size": u64::MAX });
    let attributes = attributes(json!({}));
    let view = View { value: &disk, complete: true, attributes: &attributes, counted: None };
    let text = json!({ "size": { "eq": u64::MAX - 1 } });
    assert_eq!(predicate(&serde_json::from_value(text).unwrap(), view).0, Truth::False);
}

#[test]
fn each_condition_is_reported_with_what_was_observed() {
    let disk = json!({ "class": "ssd" });
    let attributes = attributes(json!({}));
    let view = View { value: &disk, complete: true, attributes: &attributes, counted: None };
    let text = json!({ "class": "nvme", "any": [{"size": {"ge": "1TB"}}], "all": [{"model": "x"}] });
    let (truth, checks) = predicate(&serde_json::from_value(text).unwrap(), view);
    assert_eq!(truth, Truth::False);
    let rows: Vec<_> = checks.iter().map(|c| (c.at.as_str(), c.wanted.as_str(), c.truth)).collect();
    assert!(rows.contains(&("/class", "class = nvme", Truth::False)), "{rows:?}");
    assert!(rows.contains(&("/any", "(size ≥ 1TB)", Truth::Unknown)), "{rows:?}");
    assert!(rows.contains(&("/all/0/model", "model = x", Truth::Unknown)), "{rows:?}");
}

#[test]
fn what_was_not_read_of_a_list_keeps_it_undecided() {
    let ask = |partitions: Value, complete: bool, text: Value| {
        let disk = json!({ "partitions": partitions });
        let attributes = attributes(json!({}));
        let view = View { value: &disk, complete, attributes: &attributes, counted: None };
        predicate(&serde_json::from_value(text).unwrap(), view).0
    };
    let label = json!({"partitions.signatures.label": "archive"});
    let one_unread = json!([{"signatures": [{"label": "x"}]}, {"number": 2}]);
    assert_eq!(ask(one_unread.clone(), true, label.clone()), Truth::Unknown);
    assert_eq!(ask(one_unread, true, json!({"not": label.clone()})), Truth::Unknown);
    assert_eq!(ask(json!([{"signatures": []}, {"number": 2}]), true, label.clone()), Truth::Unknown);
    assert_eq!(ask(json!([{"signatures": [{"label": "archive"}]}, {"number": 2}]), true, label.clone()), Truth::True);
    assert_eq!(ask(json!([{"signatures": [{"label": "x"}]}, {"signatures": [{}]}]), true, label.clone()), Truth::False);
    assert_eq!(ask(json!([{"signatures": [{"label": "x"}]}, {"signatures": [{}]}]), false, label), Truth::Unknown);
    let blank = json!({"signatures": {"exists": false}});
    let disk = json!({});
    let attributes = attributes(json!({}));
    let view = View { value: &disk, complete: true, attributes: &attributes, counted: None };
    assert_eq!(predicate(&serde_json::from_value(blank).unwrap(), view).0, Truth::Unknown);
}
