//! Rules about network configuration that fits only one machine's network cards.

use crate::faults::FaultRule;
use crate::files::{Files, lines, variable};
use crate::look::Look;
use crate::report::Severity;

pub const FAULTS: &[FaultRule] = &[
    FaultRule {
        code: "check.nic_mac",
        severity: Severity::Error,
        why: "other machines have other network cards: they have no network, or their interfaces get unconfigured names",
        remedy: "match by driver or name pattern, or not at all; put what is specific to a machine into the seed",
        find: |look| found(look, macs),
    },
    FaultRule {
        code: "check.nic_name",
        severity: Severity::Error,
        why: "the name depends on the card's slot: on other machines no card has it",
        remedy: "match by pattern (en*, e*), or let cloud-init and the seed set up the network",
        find: names,
    },
];

fn found(look: &Look, find: fn(&Files) -> Vec<String>) -> Vec<String> {
    look.files().map(find).unwrap_or_default()
}

/// Six pairs of hexadecimal digits, but not the all-zero address.
fn is_mac(text: &str) -> bool {
    let text = text.trim_matches(['"', '\'', ',']);
    let parts: Vec<&str> = text.split([':', '-']).collect();
    let pair = |part: &&str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    parts.len() == 6 && parts.iter().all(pair) && !parts.iter().all(|part| *part == "00")
}

fn macs(files: &Files) -> Vec<String> {
    let mut found = Vec::new();
    let mut add =
        |path: &str, line: &str| found.push(format!("{path}: {}", line.chars().take(120).collect::<String>()));
    for path in all(files, &["/etc/udev/rules.d"], ".rules") {
        for line in lines(&files.text(&path).unwrap_or_default()) {
            if line.contains("net") && line.contains("ATTR{address}") && line.split('"').any(is_mac) {
                add(&path, line);
            }
        }
    }
    // `key: value` and `KEY=value`, for the keys that match an address.
    let keyed = [
        (&["/etc/netplan"][..], ".yaml", &["macaddress"][..]),
        (&["/etc/systemd/network"], ".link", &["macaddress", "permanentmacaddress"]),
        (&["/etc/systemd/network"], ".network", &["macaddress", "permanentmacaddress"]),
        (&["/etc/NetworkManager/system-connections"], ".nmconnection", &["mac-address"]),
    ];
    for (folders, end, keys) in keyed {
        for path in all(files, folders, end) {
            for line in lines(&files.text(&path).unwrap_or_default()) {
                let Some((key, value)) = line.split_once([':', '=']) else { continue };
                let key = key.trim().to_ascii_lowercase();
                if keys.contains(&key.as_str()) && value.split_whitespace().any(is_mac) {
                    add(&path, line);
                }
            }
        }
    }
    for (path, text) in ifcfg(files) {
        for name in ["HWADDR", "MACADDR"] {
            if let Some(mac) = variable(&text, name).filter(|mac| is_mac(mac)) {
                add(&path, &format!("{name}={mac}"));
            }
        }
    }
    for path in interfaces(files) {
        for line in lines(&files.text(&path).unwrap_or_default()) {
            if line.split_whitespace().any(|word| word == "hwaddress") && line.split_whitespace().any(is_mac) {
                add(&path, line);
            }
        }
    }
    found
}

fn all(files: &Files, folders: &[&str], end: &str) -> Vec<String> {
    folders.iter().flat_map(|folder| files.ending(folder, end)).collect()
}

/// ifcfg files of Red Hat and SUSE.
fn ifcfg(files: &Files) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for folder in ["/etc/sysconfig/network-scripts", "/etc/sysconfig/network"] {
        for entry in files.list(folder).into_iter().filter(|entry| entry.name.starts_with("ifcfg-")) {
            let path = format!("{folder}/{}", entry.name);
            if let Some(text) = files.text(&path) {
                found.push((path, text));
            }
        }
    }
    found
}

fn interfaces(files: &Files) -> Vec<String> {
    let mut paths = vec!["/etc/network/interfaces".to_owned()];
    paths.extend(
        files
            .list("/etc/network/interfaces.d")
            .into_iter()
            .map(|one| format!("/etc/network/interfaces.d/{}", one.name)),
    );
    paths
}

/// Names that the kernel or udev gives to the card of one machine. `eth0` is the first card on every machine where udev
/// renames nothing.
fn is_fixed(name: &str, old_names: bool) -> bool {
    let name = name.trim_matches(['"', '\'', ' ']);
    let rest = |prefix: &str| name.strip_prefix(prefix).filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    if rest("eth").is_some() {
        return !old_names;
    }
    let slot = ["eno", "ens", "enp", "wlp", "ib", "ibs", "ibp"].iter().any(|prefix| rest(prefix).is_some());
    let mac = name.strip_prefix("enx").is_some_and(|rest| rest.len() == 12);
    let domain = name.strip_prefix("enP").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    (slot || mac || domain) && !name.contains(['*', '?', '['])
}

fn names(look: &Look) -> Vec<String> {
    let Some(files) = look.files() else { return Vec::new() };
    let lines_of = &look.boot.command_lines;
    let old_names = !lines_of.is_empty()
        && lines_of.iter().all(|line| line.words.split_whitespace().any(|word| word == "net.ifnames=0"));
    let fixed = |name: &&str| is_fixed(name, old_names);
    let mut found = Vec::new();
    for path in interfaces(files) {
        for line in lines(&files.text(&path).unwrap_or_default()) {
            let words: Vec<&str> = line.split_whitespace().collect();
            if let ["iface", name, ..] = words.as_slice()
                && fixed(name)
            {
                found.push(format!("{path}: {line}"));
            }
        }
    }
    for (path, text) in ifcfg(files) {
        if let Some(name) = variable(&text, "DEVICE").filter(|name| fixed(&name.as_str())) {
            found.push(format!("{path}: DEVICE={name}"));
        }
    }
    for path in all(files, &["/etc/systemd/network"], ".network") {
        let text = files.text(&path).unwrap_or_default();
        if let Some(name) = in_match(&text, "Name").filter(|names| names.split_whitespace().all(|name| fixed(&name))) {
            found.push(format!("{path}: Name={name}"));
        }
    }
    for path in all(files, &["/etc/NetworkManager/system-connections"], ".nmconnection") {
        let text = files.text(&path).unwrap_or_default();
        if let Some(name) = variable(&text, "interface-name").filter(|name| fixed(&name.as_str())) {
            found.push(format!("{path}: interface-name={name}"));
        }
    }
    for path in all(files, &["/etc/netplan"], ".yaml") {
        found.extend(netplan(&files.text(&path).unwrap_or_default(), &fixed).map(|name| format!("{path}: {name}")));
    }
    found
}

/// A key of the section [Match].
fn in_match(text: &str, key: &str) -> Option<String> {
    let section = text.split("[Match]").nth(1)?;
    variable(section.split("\n[").next()?, key)
}

/// The first device below `ethernets:` with a fixed name: without `match:`, the name is that of the card.
fn netplan(text: &str, fixed: &impl Fn(&&str) -> bool) -> Option<String> {
    let mut below: Option<usize> = None;
    let mut device: Option<(usize, String)> = None;
    let mut matched = false;
    for line in text.lines().filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#')) {
        let depth = line.len() - line.trim_start().len();
        let word = line.trim();
        if let Some((own, name)) = device.clone() {
            if depth > own {
                matched |= word.starts_with("match:");
                continue;
            }
            if !matched {
                return Some(name);
            }
            device = None;
        }
        match below {
            _ if word.starts_with("ethernets:") => below = Some(depth),
            Some(ethernets) if depth > ethernets => {
                let name = word.split(':').next().unwrap_or_default().trim_matches('"');
                if fixed(&name) {
                    (device, matched) = (Some((depth, name.to_owned())), false);
                }
            }
            Some(_) => below = None,
            None => {}
        }
    }
    device.filter(|_| !matched).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_cards_and_names_for_all() {
        for name in ["ens3", "eno1", "enp0s31f6", "enx525400123456", "enP2p1s0", "eth0"] {
            assert!(is_fixed(name, false), "{name}");
        }
        for name in ["en*", "e*", "lo", "br0", "bond0", "all-en", "id0", "enp*"] {
            assert!(!is_fixed(name, false), "{name}");
        }
        assert!(!is_fixed("eth0", true) && is_fixed("ens3", true));
        assert!(is_mac("52:54:00:12:34:56") && !is_mac("00:00:00:00:00:00") && !is_mac("52:54:00"));
    }

    #[test]
    fn netplan_names_devices_or_matches_them() {
        let fixed = |name: &&str| is_fixed(name, false);
        let by_name = "network:\n  version: 2\n  ethernets:\n    ens3:\n      dhcp4: true\n";
        assert_eq!(netplan(by_name, &fixed).as_deref(), Some("ens3"));
        let by_match =
            "network:\n  ethernets:\n    ens3:\n      match:\n        name: en*\n      dhcp4: true\n  bonds: {}\n";
        assert_eq!(netplan(by_match, &fixed), None);
        let second = "network:\n  ethernets:\n    any:\n      match: {name: \"en*\"}\n    eno2: {dhcp4: true}\n";
        assert_eq!(netplan(second, &fixed).as_deref(), Some("eno2"));
        assert_eq!(netplan("network: {version: 2}\n", &fixed), None);
    }
}
