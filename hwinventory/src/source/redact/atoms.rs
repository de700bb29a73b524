//! Splits composite names such as `naa.5000...` or `LVM-...`: the prefix with their kind is kept, the rest is redacted.

/// The secret parts of a name. Most names are one as a whole.
pub fn atoms(name: &str) -> Vec<String> {
    let mut found = Vec::new();
    take_apart(name.trim(), &mut found);
    found.retain(|atom| !atom.is_empty());
    found
}

fn take_apart(name: &str, found: &mut Vec<String>) {
    if let Some(rest) = ["naa.", "eui.", "uuid.", "0x"].iter().find_map(|p| name.strip_prefix(p)) {
        found.push(rest.to_owned());
    } else if let Some(rest) = name.strip_prefix("t10.") {
        found.push(last_word(rest));
    } else if let Some(rest) = name.strip_prefix("nvme.") {
        found.extend(nvme_wwid(rest));
    } else if let Some(map) = device_mapper(name) {
        found.extend(map);
    } else if name.starts_with("nqn.") || name.starts_with("iqn.") {
        qualified(name, found);
    } else if let Some(address) = named_by_address(name) {
        found.push(address.to_owned());
    } else if let Some(id) = mbr_partition(name) {
        found.push(id.to_owned());
    } else {
        found.push(name.to_owned());
    }
}

/// Of vendor, product and serial number the last is what tells the device.
fn last_word(text: &str) -> String {
    text.split([' ', '_']).rfind(|word| !word.is_empty()).unwrap_or_default().to_owned()
}

/// `VENDOR-SERIAL-MODEL-NSID`, serial and model in hexadecimal: how Linux calls a namespace without an id of its own.
fn nvme_wwid(rest: &str) -> Option<String> {
    let digits = rest.split('-').nth(1)?.as_bytes();
    let bytes: Option<Vec<u8>> =
        digits.chunks_exact(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect();
    crate::parse::bytes::ascii(&bytes?)
}

/// UUIDs of maps start with the name of who made them.
fn device_mapper(name: &str) -> Option<Vec<String>> {
    if let Some((partition, rest)) = name.split_once('-')
        && partition.strip_prefix("part").is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    {
        return Some(atoms(rest));
    }
    if let Some(wwid) = name.strip_prefix("mpath-") {
        return Some(multipath(wwid));
    }
    if let Some(rest) = name.strip_prefix("LVM-") {
        // Volume group and logical volume, 32 characters each; what follows is the kind of an internal volume.
        return Some([rest.get(..32), rest.get(32..64)].into_iter().flatten().map(str::to_owned).collect());
    }
    let maker = name.split('-').next()?;
    if !matches!(maker, "CRYPT" | "DMRAID" | "VDO" | "stratis" | "Stratis" | "BCACHE") {
        return None;
    }
    let ids = name.split(['-', '_']).filter(|part| part.len() >= 10 && !part.contains(char::is_whitespace));
    Some(ids.map(str::to_owned).chain(uuids(name)).collect())
}

/// The WWID as multipathd has it from udev: a digit for the kind of designator, or `S` for vendor, model and serial number.
fn multipath(wwid: &str) -> Vec<String> {
    if ["eui.", "uuid.", "nvme.", "naa."].iter().any(|p| wwid.starts_with(p)) {
        return atoms(wwid);
    }
    match (wwid.chars().next(), wwid.get(1..)) {
        (Some('2' | '3' | '8'), Some(id)) => vec![id.to_owned()],
        (Some('0' | '1' | 'S'), Some(words)) => vec![last_word(words)],
        _ => vec![wwid.to_owned()],
    }
}

/// Of `nqn.2014-08.org.nvmexpress:uuid:UUID` and the like what stands behind the naming authority. Linux makes names of
/// vendor ids, serial number and model for controllers that have none (`nvme_init_subnqn`).
fn qualified(name: &str, found: &mut Vec<String>) {
    let Some((authority, rest)) = name.split_once(':') else { return };
    if let Some(uuid) = rest.strip_prefix("uuid:") {
        found.push(uuid.to_owned());
    } else if authority == "nqn.2014.08.org.nvmexpress" {
        found.extend(rest.get(8..28).map(|serial| serial.trim().to_owned()));
    } else {
        found.push(rest.to_owned());
    }
}

/// `enx525400123456`: an interface that is called by its address.
fn named_by_address(name: &str) -> Option<&str> {
    let address = ["enx", "wlx", "wwx"].iter().find_map(|kind| name.strip_prefix(kind))?;
    (address.len() == 12 && address.bytes().all(|b| b.is_ascii_hexdigit())).then_some(address)
}

/// `DISKID-NN`: the number of the partition is no secret.
fn mbr_partition(name: &str) -> Option<&str> {
    let (id, number) = name.split_once('-')?;
    let hex = |text: &str, length: usize| text.len() == length && text.bytes().all(|b| b.is_ascii_hexdigit());
    (hex(id, 8) && hex(number, 2)).then_some(id)
}

/// Every UUID in a text.
pub fn uuids(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_ascii_hexdigit() && c != '-');
    let mut found = Vec::new();
    for word in words {
        // Words before and after may be joined by dashes too.
        let starts = (0..word.len()).filter(|&at| at == 0 || word.as_bytes().get(at - 1) == Some(&b'-'));
        let uuid = starts.filter_map(|at| word.get(at..at + 36)).find(|w| uuid::Uuid::parse_str(w).is_ok());
        found.extend(uuid.map(str::to_owned));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_stay() {
        let vg = "abcdefghijklmnopqrstuvwxyz012345";
        let lv = "543210zyxwvutsrqponmlkjihgfedcba";
        let lvm = format!("LVM-{vg}{lv}-tpool");
        let luks = "CRYPT-LUKS2-0123456789abcdef0123456789abcdef-root";
        for (name, expected) in [
            ("naa.5000c500a1b2c3d4", vec!["5000c500a1b2c3d4"]),
            ("t10.MADEUP  SERIAL-0001", vec!["SERIAL-0001"]),
            ("t10.ATA     DISK MODEL X                 Z1X", vec!["Z1X"]),
            ("nvme.8086-53455249414c3031-4d4f44454c-00000001", vec!["SERIAL01"]),
            ("mpath-36005076300000000000000000000cafe", vec!["6005076300000000000000000000cafe"]),
            ("part2-mpath-SMADEUP_X_SERIAL-0001", vec!["SERIAL-0001"]),
            (lvm.as_str(), vec![vg, lv]),
            (luks, vec!["0123456789abcdef0123456789abcdef"]),
            ("nqn.2014.08.org.nvmexpress:144d144dS463NF0M            Samsung", vec!["S463NF0M"]),
            ("iqn.2001-05.com.example:array-17", vec!["array-17"]),
            ("f5a5c5d3-01", vec!["f5a5c5d3"]),
            ("enx525400123456", vec!["525400123456"]),
            ("Z1X4ABCD", vec!["Z1X4ABCD"]),
            ("", vec![]),
        ] {
            assert_eq!(atoms(name), expected, "{name}");
        }
        assert_eq!(uuids("luks-00112233-4455-6677-8899-aabbccddeeff x=1"), ["00112233-4455-6677-8899-aabbccddeeff"]);
    }
}
