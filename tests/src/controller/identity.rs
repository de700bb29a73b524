//! Identifies a machine. Board makers ship default UUIDs, blades share the serial number of their chassis, and a USB
//! adapter is moved from one machine to the next: no single name is trusted against all the others.

use super::orders::{key, keys};
use super::state::State;
use burin::protocol::Identity;

/// Comparison of one kind of name between two machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Same,
    Other,
    Nothing,
}

fn compare(a: Option<&str>, b: Option<&str>) -> Said {
    match (a, b) {
        (Some(a), Some(b)) if a.eq_ignore_ascii_case(b) => Said::Same,
        (Some(_), Some(_)) => Said::Other,
        _ => Said::Nothing,
    }
}

fn macs(names: &Identity) -> Vec<String> {
    names.boot_mac.iter().chain(&names.macs).map(|mac| mac.to_ascii_lowercase().replace('-', ":")).collect()
}

/// Removes placeholders: firmware passes its default values to iPXE.
pub(super) fn real(names: Identity) -> Identity {
    let Identity { system_uuid, serial, macs, boot_mac } = names;
    // Text that is not a UUID is a name given by a person.
    let is_uuid = system_uuid.as_deref().is_some_and(|text| uuid::Uuid::parse_str(text).is_ok());
    let system_uuid = if is_uuid { hwinventory::real_uuid(system_uuid) } else { system_uuid };
    Identity { system_uuid, serial: hwinventory::real(serial), macs, boot_mac }
}

/// Whether both are names of one machine.
pub(super) fn same(a: &Identity, b: &Identity) -> bool {
    let uuid = compare(a.system_uuid.as_deref(), b.system_uuid.as_deref());
    let serial = compare(a.serial.as_deref(), b.serial.as_deref());
    let (ours, theirs) = (macs(a), macs(b));
    if ours.is_empty() || theirs.is_empty() {
        return match uuid {
            Said::Same => serial != Said::Other,
            Said::Other => false,
            Said::Nothing => serial == Said::Same,
        };
    }
    match ours.iter().any(|mac| theirs.contains(mac)) {
        // An adapter that was moved from another machine: the board's names differ.
        true => !(uuid == Said::Other && serial == Said::Other),
        // All network cards were exchanged: both of the board's names must match.
        false => uuid == Said::Same && serial == Said::Same,
    }
}

impl State {
    /// The name of the machine that sends hello: its existing one, otherwise the strongest of its names that no other
    /// machine has.
    pub(super) fn name(&self, identity: &Identity, boot_id: &str) -> String {
        let known = self.machines.iter().find(|(_, view)| view.is(identity));
        if let Some((name, _)) = known {
            return name.clone();
        }
        let mut names = keys(None, identity).into_iter().filter(|name| name != "default");
        names.find(|name| !self.machines.contains_key(name)).unwrap_or_else(|| key(boot_id))
    }

    /// The keys under which a machine's order may be stored, strongest first, without those that another machine has
    /// too.
    pub(super) fn order_keys(&self, machine: Option<&str>, identity: &Identity) -> Vec<String> {
        let others: Vec<String> = (self.machines.iter())
            .filter(|(name, view)| machine != Some(name.as_str()) && !view.is(identity))
            .flat_map(|(name, view)| {
                let names = view.hello.as_ref().map(|hello| keys(Some(name), &hello.identity));
                names.unwrap_or_default()
            })
            .collect();
        let own = machine.map(key);
        let mut found = keys(machine, identity);
        found.retain(|name| name == "default" || Some(name) == own.as_ref() || !others.contains(name));
        found
    }
}

#[cfg(test)]
mod tests {
    use super::super::state::JournalRecord;
    use super::*;
    use burin::protocol::{Hello, hello};

    /// AMI's placeholder, on boards of many manufacturers.
    const DEFAULT: &str = "03000200-0400-0500-0006-000700080009";

    fn identity(uuid: &str, serial: &str, macs: &[&str]) -> Identity {
        let filled = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let macs = macs.iter().map(|mac| (*mac).to_owned()).collect();
        Identity { system_uuid: filled(uuid), serial: filled(serial), macs, boot_mac: None }
    }

    fn greet(state: &mut State, identity: &Identity) -> String {
        let machine = state.name(identity, "boot-1");
        let hello = Hello {
            version: hello::VERSION.to_owned(),
            identity: identity.clone(),
            boot_id: "boot-1".into(),
            instance: "i".into(),
            agent_version: "0".into(),
            capabilities: vec![],
            inventory: serde_json::Value::Null,
            last_crash: None,
            last_state: None,
            api: None,
            key: None,
            attestation: None,
        };
        let token = format!("token of {machine}");
        state.apply(JournalRecord::Hello { machine: machine.clone(), hello: Box::new(hello), token });
        machine
    }

    #[test]
    fn one_uuid_on_two_boards_is_two_machines() {
        let mut state = State::default();
        let first = identity(DEFAULT, "S1", &["52:54:00:00:00:01"]);
        let second = identity(DEFAULT, "S2", &["52:54:00:00:00:02"]);
        let third = identity(DEFAULT, "", &["52:54:00:00:00:03"]);
        let names = [&first, &second, &third].map(|identity| greet(&mut state, identity));
        assert_eq!(names, [DEFAULT, "s2", "52-54-00-00-00-03"]);
        assert!(state.by_token(DEFAULT, &format!("token of {DEFAULT}")), "the first one's token still holds");
        // Each is recognised again, even by the few names in the script.
        assert_eq!(
            [&third, &second, &first].map(|identity| greet(&mut state, identity)),
            ["52-54-00-00-00-03", "s2", DEFAULT]
        );
        let asked = Identity { boot_mac: Some("52:54:00:00:00:02".into()), ..identity(DEFAULT, "", &[]) };
        assert_eq!(state.name(&asked, "x"), "s2");

        let keys = |name: &str, identity: &Identity| state.order_keys(Some(name), identity);
        assert_eq!(
            keys("s2", &second),
            ["s2", "s2", "52-54-00-00-00-02", "default"],
            "not what lies there for the first"
        );
        assert_eq!(keys(DEFAULT, &first)[0], DEFAULT);
        let unknown = identity(DEFAULT, "S9", &["52:54:00:00:00:09"]);
        assert_eq!(state.order_keys(None, &unknown), ["s9", "52-54-00-00-00-09", "default"]);
    }

    #[test]
    fn what_nobody_filled_in_is_no_name() {
        let names = real(identity(DEFAULT, "To be filled by O.E.M.", &["52:54:00:00:00:01"]));
        assert_eq!(names, identity("", "", &["52:54:00:00:00:01"]));
        assert_eq!(names.source("b"), "/mac/52:54:00:00:00:01");
        let kept = identity("4c4c4544-0051-3310-8051-b4c04f4d3132", "Q3QM12", &[]);
        assert_eq!(real(kept.clone()), kept);
    }

    #[test]
    fn one_machine_stays_one() {
        let board = identity("4c4c4544", "S1", &["a", "b"]);
        for (same_machine, other) in [
            (true, identity("4c4c4544", "S1", &["c"])),
            (true, identity("4C4C4544", "", &["b"])),
            (true, identity("", "", &["a"])),
            (true, identity("4c4c4544", "", &[])),
            (true, identity("", "S1", &[])),
            (false, identity("4c4c4544", "", &["c"])),
            (false, identity("4c4c4544", "S2", &[])),
            (false, identity("5c4c4544", "S1", &[])),
            (false, identity("5c4c4544", "S2", &["a"])),
            (false, identity("", "S1", &["c"])),
            (false, identity("", "", &[])),
        ] {
            assert_eq!(same(&board, &other), same_machine, "{other:?}");
            assert_eq!(same(&other, &board), same_machine, "{other:?}");
        }
    }
}
