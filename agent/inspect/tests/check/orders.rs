//! Orders checked against images.

use crate::support::{Planted, has, look};
use burin_inspect::{CheckOptions, Report};
use burin_protocol::order;

fn tried(image: &Planted, disk: &str, more: &str) -> Report {
    let text = format!(
        r#"{{"version": "order/v1", "id": "try", "images": {{"x": {{"urls": ["http://x/y"]}}}}, {more}
            "layouts": [{{"name": "only", "disks": {{"root": {{"image": "x", "match": {{"serial": "none"}}{disk}}}}}}}]}}"#
    );
    let order = order::parse(&text).unwrap();
    look(&image.ext4(), &CheckOptions { accepted: Vec::new(), order: Some((order, None, None)) })
}

fn refused(report: &Report) -> Vec<&str> {
    let steps = &report.order.as_ref().unwrap().steps;
    steps.iter().filter(|step| !step.possible).filter_map(|step| step.code.as_deref()).collect()
}

#[test]
fn each_step_is_judged_by_the_table_and_by_what_is_inside() {
    if !["mke2fs", "sfdisk", "mformat", "mcopy"].into_iter().all(has) {
        return;
    }
    let image = Planted::clean();
    let seed = r#""seed": {"format": "nocloud", "partition": "root", "user_data": "x"},"#;
    let good = tried(&image, r#", "grow": "root""#, seed);
    assert_eq!(refused(&good), Vec::<&str>::new(), "{:#?}", good.order);
    assert!(good.is_good() && good.order.as_ref().unwrap().steps.len() >= 4, "{:#?}", good.order);

    let bad = tried(&image, r#", "grow": 1"#, r#""seed": {"format": "nocloud", "partition": 7, "user_data": "x"},"#);
    // The partition, its filesystem, and the seed.
    assert_eq!(refused(&bad), ["image.not_growable", "image.not_growable", "image.no_partition"], "{:#?}", bad.order);
    assert!(!bad.is_good());

    let mut behind = Planted::clean();
    behind.behind = Some(("S", 4));
    let blocked = tried(&behind, r#", "grow": "root""#, "");
    assert_eq!(refused(&blocked), ["image.grow_blocked"], "{:#?}", blocked.order);
}
