//! Draws what will be on the disks as a tree, from the disks up. Every kind of step describes what it leaves behind, so
//! nothing here depends on the kind.

use burin_protocol::Plan;
use burin_protocol::plan::words::decimal;
use burin_protocol::plan::{Device, Fate, Node};
use std::fmt::Write;

/// No layout has so many layers.
const HIGHEST: usize = 16;

/// Empty if the plan leaves nothing to draw.
pub fn draw(plan: &Plan) -> String {
    let nodes: Vec<Node> = plan.steps.iter().flat_map(|step| step.nodes(plan)).collect();
    let mut drawing = Drawing { nodes: &nodes, drawn: Vec::new(), out: String::new() };
    for (index, disk) in plan.disks.iter().enumerate().filter(|(_, disk)| disk.fate == Fate::Overwritten) {
        let device = Device::Disk { disk: index };
        if nodes.iter().any(|node| node.lies_on(&device)) {
            let on_it = drawing.on_it(&device);
            let _ = writeln!(drawing.out, "  [{index}] {}, {}{on_it}", disk.device, decimal(disk.size));
            drawing.above(&device, "  ", HIGHEST);
        }
    }
    match drawing.out.is_empty() {
        true => String::new(),
        false => format!("\nWhat will be on them\n{}", drawing.out),
    }
}

struct Drawing<'a> {
    nodes: &'a [Node],
    /// A device on several others is drawn above the first of them.
    drawn: Vec<&'a Node>,
    out: String,
}

impl<'a> Drawing<'a> {
    /// A device's contents that have nothing on top, appended to its line.
    fn on_it(&self, device: &Device) -> String {
        let leaves = self.nodes.iter().filter(|node| node.device.is_none() && node.lies_on(device));
        let words: Vec<&str> = leaves.map(|node| node.words.as_str()).collect();
        if words.is_empty() { String::new() } else { format!(": {}", words.join(", ")) }
    }

    fn above(&mut self, device: &Device, indent: &str, left: usize) {
        let nodes: &'a [Node] = self.nodes;
        let standing: Vec<(&'a Node, &'a Device)> = nodes
            .iter()
            .filter(|node| node.lies_on(device))
            .filter_map(|node| Some((node, node.device.as_ref()?)))
            .collect();
        for (place, (node, own)) in standing.iter().enumerate().filter(|_| left > 0) {
            let last = place + 1 == standing.len();
            let corner = if last { "└─" } else { "├─" };
            if self.drawn.contains(node) {
                let short = node.words.split(',').next().unwrap_or_default();
                let _ = writeln!(self.out, "{indent}{corner} {short}, as above");
                continue;
            }
            self.drawn.push(node);
            let on_it = self.on_it(own);
            let _ = writeln!(self.out, "{indent}{corner} {}{on_it}", node.words);
            let bar = if last { "  " } else { "│ " };
            self.above(own, &format!("{indent}{bar} "), left - 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::machine;
    use super::super::{explain, plan};
    use burin_protocol::order::parse_value;
    use serde_json::{Value, json};
    use std::collections::BTreeMap;

    fn tree(disks: &Value, order: &Value) -> String {
        let plan = plan(&machine(&json!({ "disks": disks })), &parse_value(order).unwrap(), &BTreeMap::new()).unwrap();
        let text = explain(&plan);
        let (_, after) = text.split_once("What will be on them\n").unwrap();
        after.split_once("\n\n").unwrap().0.to_owned()
    }

    #[test]
    fn an_array_stands_on_its_first_member_and_the_others_refer_to_it() {
        let order = json!({
            "version": "order/v1", "id": "t",
            "images": { "t": { "urls": ["https://x/t.tar"], "format": "tar" } },
            "layouts": [ { "name": "l", "disks": { "os": { "count": 3, "partitions": [
                { "name": "esp", "type": "esp", "size": "512MiB", "filesystem": { "type": "vfat" }, "mount": "/boot/efi" },
                { "name": "root", "type": "raid" },
                { "name": "swap", "type": "swap", "size": "1GiB", "filesystem": { "type": "swap", "label": "s" } }
            ] } },
            "raid": { "root": { "level": "raid5", "members": { "partition": "os/root" },
                "filesystem": { "type": "ext4" }, "mount": "/" } },
            "tree": { "image": "t" } } ]
        });
        let found = tree(&json!([{ "serial": "A" }, { "serial": "B" }, { "serial": "C" }]), &order);
        let lines: Vec<&str> = found.lines().collect();
        assert_eq!(
            lines[..5],
            [
                "  [0] /dev/sd0, 480.1 GB",
                "  ├─ 1 \"esp\" 536.9 MB: vfat, at /boot/efi",
                "  ├─ 2 \"root\" 478.5 GB",
                "  │  └─ array root, raid5 of 3, chunks of 512 KiB, 956.7 GB: ext4, at /",
                "  └─ 3 \"swap\" 1.1 GB: swap \"s\"",
            ],
            "{found}"
        );
        assert_eq!(lines[8], "  │  └─ array root, as above", "{found}");
        assert_eq!(lines.len(), 15, "{found}");
    }

    #[test]
    fn an_image_and_what_is_added_to_it() {
        let order = json!({
            "version": "order/v1", "id": "i", "images": { "i": { "urls": ["https://x/i.raw"] } },
            "layouts": [ { "name": "l", "disks": { "os": { "image": "i",
                "add": [ { "name": "data", "type": "linux", "size": "1GiB", "filesystem": { "type": "xfs" } } ] } } } ]
        });
        let found = tree(&json!([{ "serial": "A" }]), &order);
        assert_eq!(found, "  [0] /dev/sd0, 480.1 GB: image `i`\n  └─ \"data\" 1.1 GB: xfs");
    }
}
