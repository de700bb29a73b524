use super::super::attributes::Attributes;
use super::*;
use serde_json::json;

fn run(values: &[Value], rule: Value) -> Outcome {
    let set: DiskSet = serde_json::from_value(rule).unwrap();
    let attributes = Attributes::default();
    let items: Vec<Item> = values
        .iter()
        .map(|value| Item {
            view: View { value, complete: true, attributes: &attributes, counted: None },
            identity: value["id"].as_str().map(str::to_owned),
            by_path: value["at"].as_str(),
        })
        .collect();
    select(&items, Rule::of_set(&set))
}

#[test]
fn one_is_chosen_and_none_is_too_few() {
    assert_eq!(run(&[json!({})], json!({})), Outcome::Chosen(vec![0]));
    assert_eq!(run(&[], json!({})), Outcome::TooFew(0));
    assert_eq!(run(&[json!({})], json!({"count": 2})), Outcome::TooFew(1));
    assert_eq!(run(&[], json!({"min": 0})), Outcome::Chosen(vec![]));
    assert_eq!(run(&[], json!({"protect": true})), Outcome::Chosen(vec![]));
}

#[test]
fn equal_disks_at_the_cut_are_tied_unless_something_decides() {
    let two = [json!({"size": 1, "id": "b", "at": "1"}), json!({"size": 1, "id": "a", "at": "2"})];
    assert_eq!(run(&two, json!({})), Outcome::Tied(vec![1, 0]));
    assert_eq!(run(&two, json!({"order_by": [{"asc": "size"}]})), Outcome::Tied(vec![1, 0]));
    assert_eq!(run(&two, json!({"tie": "identity"})), Outcome::Chosen(vec![1]));
    assert_eq!(run(&two, json!({"tie": "path"})), Outcome::Chosen(vec![0]));
    assert_eq!(run(&two, json!({"count": 2})), Outcome::Chosen(vec![1, 0]));
    let weak = [json!({"size": 1, "id": "b"}), json!({"size": 1})];
    assert_eq!(run(&weak, json!({"tie": "identity"})), Outcome::Tied(vec![0, 1]));
    assert_eq!(run(&weak, json!({"tie": "path"})), Outcome::Tied(vec![0, 1]));
}

#[test]
fn explicit_keys_decide_and_ties_away_from_the_cut_do_not_matter() {
    let disks = [json!({"size": 3}), json!({"size": 1}), json!({"size": 1}), json!({"size": 2})];
    assert_eq!(run(&disks, json!({"order_by": [{"desc": "size"}]})), Outcome::Chosen(vec![0]));
    assert_eq!(run(&disks, json!({"order_by": [{"desc": "size"}], "count": 2})), Outcome::Chosen(vec![0, 3]));
    assert_eq!(run(&disks, json!({"order_by": [{"desc": "size"}], "count": 3})), Outcome::Tied(vec![1, 2]));
    assert_eq!(run(&disks, json!({"order_by": [{"asc": "size"}], "count": 2})), Outcome::Chosen(vec![1, 2]));
}

#[test]
fn an_unknown_key_decides_nothing() {
    let disks = [json!({"size": 3, "id": "a"}), json!({"id": "b"})];
    let rule = json!({"order_by": [{"desc": "size"}], "tie": "identity"});
    assert_eq!(run(&disks, rule), Outcome::Tied(vec![0, 1]));
}

#[test]
fn same_chooses_among_groups() {
    let disks = [json!({"m": "x", "size": 1}), json!({"m": "y", "size": 2}), json!({"m": "x", "size": 1}), json!({})];
    assert_eq!(run(&disks, json!({"count": 2, "same": ["m"]})), Outcome::Chosen(vec![0, 2]));
    assert_eq!(run(&disks, json!({"count": 3, "same": ["m"]})), Outcome::TooFew(2));
    let four =
        [json!({"m": "x", "s": 1}), json!({"m": "y", "s": 2}), json!({"m": "x", "s": 1}), json!({"m": "y", "s": 2})];
    assert!(matches!(run(&four, json!({"count": 2, "same": ["m"]})), Outcome::Tied(tied) if tied.len() == 4));
    let rule = json!({"count": 2, "same": ["m"], "order_by": [{"desc": "s"}]});
    assert_eq!(run(&four, rule), Outcome::Chosen(vec![1, 3]));
}

#[test]
fn spread_never_takes_two_from_one_place() {
    let disks =
        [json!({"c": 1, "size": 9}), json!({"c": 1, "size": 8}), json!({"c": 2, "size": 7}), json!({"size": 10})];
    let rule = json!({"count": 2, "spread": "c", "order_by": [{"desc": "size"}]});
    assert_eq!(run(&disks, rule), Outcome::Chosen(vec![0, 2]));
    assert_eq!(run(&disks, json!({"count": 3, "spread": "c"})), Outcome::TooFew(2));
    // Without keys, either disk of controller 1 would do.
    assert_eq!(run(&disks, json!({"count": 2, "spread": "c"})), Outcome::Tied(vec![0, 1]));
}
