//! Predictable names of this machine's interfaces, compared with what udev makes of them.

use crate::support;
use hwinventory::model::PredictableNames;
use std::process::Command;

/// The properties of `net_id`; `None` where this udev does not know the scheme.
fn udev(interface: &str) -> Option<PredictableNames> {
    let output = Command::new("udevadm")
        .args(["test-builtin", "net_id", &format!("/sys/class/net/{interface}")])
        .env("NET_NAMING_SCHEME", "v252")
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let get = |key: &str| text.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix('=')).map(str::to_owned);
    (get("ID_NET_NAMING_SCHEME").as_deref() == Some("v252")).then(|| PredictableNames {
        name: None,
        onboard: get("ID_NET_NAME_ONBOARD"),
        slot: get("ID_NET_NAME_SLOT"),
        path: get("ID_NET_NAME_PATH"),
        mac: get("ID_NET_NAME_MAC"),
        label: get("ID_NET_LABEL_ONBOARD"),
    })
}

#[test]
fn names_are_as_udev_makes_them() {
    if !support::has("udevadm") {
        return;
    }
    let inventory = hwinventory::collect(&hwinventory::Options { probe_signatures: false, ..Default::default() });
    for nic in &inventory.nics.data {
        let Some(expected) = udev(&nic.name) else {
            println!("not compared: udev has no scheme v252 for {}", nic.name);
            continue;
        };
        let found = PredictableNames { name: None, ..nic.names.clone().unwrap_or_default() };
        assert_eq!(found, expected, "{}", nic.name);
    }
}
