//! Software RAID, as the md driver describes an assembled array (Documentation/admin-guide/md.rst of the kernel).

use crate::model::{MdMember, MdMembership};
use crate::source::Reader;

pub fn array(reader: &Reader, real: &str) -> MdMembership {
    let directory = format!("{real}/md");
    let text = |name: &str| reader.quiet_text(&format!("{directory}/{name}"));
    let number = |name: &str| text(name).and_then(|t| t.split_whitespace().next()?.parse::<u64>().ok());
    let names = reader.list(&directory);
    let mut members: Vec<MdMember> =
        names.iter().filter_map(|n| n.strip_prefix("dev-")).map(|device| member(reader, &directory, device)).collect();
    // Slots come first, in order; spares have none.
    members.sort_by(|a, b| (a.slot.is_none(), a.slot, &a.device).cmp(&(b.slot.is_none(), b.slot, &b.device)));
    MdMembership {
        array: real.rsplit('/').next().map(str::to_owned),
        // External metadata (IMSM, DDF) has none: zeros are no name.
        uuid: text("uuid").filter(|uuid| uuid.bytes().any(|b| !matches!(b, b'0' | b'-' | b':'))),
        level: text("level"),
        state: text("array_state"),
        raid_disks: number("raid_disks"),
        degraded: number("degraded"),
        metadata_version: text("metadata_version").filter(|v| v != "none"),
        chunk_size: number("chunk_size").filter(|&n| n > 0),
        sync_action: text("sync_action"),
        members,
        ..MdMembership::default()
    }
}

fn member(reader: &Reader, directory: &str, device: &str) -> MdMember {
    let text = |name: &str| reader.quiet_text(&format!("{directory}/dev-{device}/{name}"));
    let slot = text("slot").and_then(|t| t.parse().ok());
    MdMember {
        device: device.to_owned(),
        role: text("state").and_then(|state| role(&state, slot)).map(str::to_owned),
        slot,
        errors: text("errors").and_then(|t| t.parse().ok()),
    }
}

/// `state` is a list of flags; a spare with a place in the array is being rebuilt.
fn role(state: &str, slot: Option<u64>) -> Option<&'static str> {
    let has = |flag: &str| state.split(',').any(|f| f.trim() == flag);
    Some(match () {
        () if has("faulty") => "faulty",
        () if has("journal") => "journal",
        () if has("replacement") => "replacement",
        () if has("in_sync") => "active",
        () if has("spare") && slot.is_some() => "rebuilding",
        () if has("spare") => "spare",
        () => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::role;

    #[test]
    fn roles() {
        for (state, slot, expected) in [
            ("in_sync", Some(0), Some("active")),
            ("in_sync,write_mostly,failfast", Some(1), Some("active")),
            ("faulty,write_error", None, Some("faulty")),
            ("spare", None, Some("spare")),
            ("spare", Some(2), Some("rebuilding")),
            ("journal", None, Some("journal")),
            ("in_sync,replacement", Some(3), Some("replacement")),
            ("blocked", None, None),
        ] {
            assert_eq!(role(state, slot), expected, "{state}");
        }
    }
}
