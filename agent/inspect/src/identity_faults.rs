//! Rules about identifiers that would be the same on every machine although they must be unique, and about secrets left
//! in an image.

use crate::faults::FaultRule;
use crate::files::lines;
use crate::look::Look;
use crate::report::Severity;

pub const FAULTS: &[FaultRule] = &[
    FaultRule {
        code: "check.machine_id",
        severity: Severity::Error,
        why: "every machine gets the same one: DHCP gives them the same address, journals and monitoring mix them up",
        remedy: "just before publishing, truncate -s 0 /etc/machine-id, and make /var/lib/dbus/machine-id a link to it",
        find: machine_id,
    },
    FaultRule {
        code: "check.host_keys",
        severity: Severity::Error,
        why: "every machine has the same SSH host key: anybody with the image can impersonate any of them",
        remedy: "rm /etc/ssh/ssh_host_*_key*; cloud-init, or a unit that runs ssh-keygen -A, makes them at the first boot",
        find: |look| keys(look, &["/etc/ssh", "/etc/dropbear", "/etc/dropbear-initramfs", "/etc/dropbear/initramfs"]),
    },
    FaultRule {
        code: "check.password",
        severity: Severity::Error,
        why: "anybody who knows it, or can crack it from the image, can log in to every machine",
        remedy: "passwd -l USER; give users their keys or passwords in the seed",
        find: |look| shadow(look, |field| !field.is_empty() && !field.starts_with(['!', '*', 'x'])),
    },
    FaultRule {
        code: "check.password_empty",
        severity: Severity::Error,
        why: "anybody can log in without a password",
        remedy: "passwd -l USER",
        find: |look| shadow(look, str::is_empty),
    },
    FaultRule {
        code: "check.private_key",
        severity: Severity::Error,
        why: "anybody with the image has the key",
        remedy: "remove it, treat it as compromised, and give machines that need a key one in another way",
        find: private_keys,
    },
    FaultRule {
        code: "check.authorized_keys",
        severity: Severity::Warning,
        why: "anybody with these keys can log in to every machine",
        remedy: "give keys in the seed instead, unless they are meant for all machines",
        find: |look| homes(look, &[".ssh/authorized_keys", ".ssh/authorized_keys2"]),
    },
    FaultRule {
        code: "check.host_identity",
        severity: Severity::Error,
        why: "storage and management services take all machines for the same one",
        remedy: "remove the file, or have it made at the first boot",
        find: host_identity,
    },
    FaultRule {
        code: "check.registered",
        severity: Severity::Error,
        why: "every machine is the same client of that service, with its secrets",
        remedy: "unregister before publishing, or remove the state; register each machine at its first boot",
        find: |look| there(look, REGISTERED),
    },
    FaultRule {
        code: "check.random_seed",
        severity: Severity::Warning,
        why: "every machine starts with the same random seed",
        remedy: "remove it",
        find: |look| {
            there(
                look,
                &["/var/lib/systemd/random-seed", "/var/lib/urandom/random-seed", "/var/lib/systemd/credential.secret"],
            )
        },
    },
    FaultRule {
        code: "check.hostname",
        severity: Severity::Warning,
        why: "every machine has this name until another is set",
        remedy: "remove /etc/hostname, or let the seed set the name",
        find: hostname,
    },
    FaultRule {
        code: "check.lvm_devices",
        severity: Severity::Warning,
        why: "LVM then uses these devices only, and they were the build machine's",
        remedy: "rm /etc/lvm/devices/system.devices",
        find: |look| there(look, &["/etc/lvm/devices/system.devices"]),
    },
    FaultRule {
        code: "check.mdadm_home",
        severity: Severity::Warning,
        why: "arrays on other machines count as foreign and get other names",
        remedy: "set HOMEHOST <ignore> or <none> in mdadm.conf, and remove its ARRAY lines",
        find: mdadm,
    },
];

/// Services whose state belongs to one machine.
const REGISTERED: &[&str] = &[
    "/etc/pki/consumer/cert.pem",
    "/etc/pki/consumer/key.pem",
    "/etc/sysconfig/rhn/systemid",
    "/etc/zypp/credentials.d/SCCcredentials",
    "/var/lib/ubuntu-advantage/private/machine-token.json",
    "/etc/salt/pki/minion/minion.pem",
    "/etc/puppetlabs/puppet/ssl/private_keys",
    "/var/lib/tailscale/tailscaled.state",
    "/etc/wireguard/wg0.conf",
    "/var/lib/kubelet/pki/kubelet-client-current.pem",
    "/etc/kubernetes/kubelet.conf",
    "/var/lib/landscape/client/broker.bpickle",
    "/etc/krb5.keytab",
    "/var/lib/sss/secrets/secrets.ldb",
    "/var/lib/teleport/host_uuid",
    "/etc/chef/client.pem",
    "/var/ossec/etc/client.keys",
];

fn there(look: &Look, paths: &[&str]) -> Vec<String> {
    let Some(files) = look.files() else { return Vec::new() };
    let is = |path: &&&str| files.has(path) || (files.is_folder(path) && !files.list(path).is_empty());
    paths.iter().filter(is).map(|path| (*path).to_owned()).collect()
}

fn machine_id(look: &Look) -> Vec<String> {
    let Some(files) = look.files() else { return Vec::new() };
    let mut found = Vec::new();
    for path in ["/etc/machine-id", "/var/lib/dbus/machine-id"] {
        // A link to /etc/machine-id is reported only once.
        if path != "/etc/machine-id" && files.link(path).is_some() {
            continue;
        }
        let text = files.text(path).unwrap_or_default();
        let id = text.trim();
        if !id.is_empty() && id != "uninitialized" {
            found.push(format!("{path} holds {}...", id.chars().take(8).collect::<String>()));
        }
    }
    found
}

/// Files that start like a private key, or are dropbear's.
fn keys(look: &Look, folders: &[&str]) -> Vec<String> {
    let Some(files) = look.files() else { return Vec::new() };
    let mut found = Vec::new();
    for folder in folders {
        for path in files.ending(folder, "_key") {
            if files.has(&path) {
                found.push(path);
            }
        }
    }
    found
}

/// Lines of /etc/shadow whose password field is `bad`.
fn shadow(look: &Look, bad: impl Fn(&str) -> bool) -> Vec<String> {
    let Some(files) = look.files() else { return Vec::new() };
    let mut found = Vec::new();
    for path in ["/etc/shadow", "/etc/passwd"] {
        for line in lines(&files.text(path).unwrap_or_default()) {
            let mut fields = line.split(':');
            if let (Some(user), Some(password)) = (fields.next(), fields.next())
                && bad(password)
            {
                found.push(format!("{path}: user {user}"));
            }
        }
    }
    found
}

/// Users' home folders: name, path.
fn home_folders(look: &Look) -> Vec<String> {
    let Some(files) = look.files() else { return Vec::new() };
    let mut found = vec!["/root".to_owned()];
    for line in lines(&files.text("/etc/passwd").unwrap_or_default()) {
        if let Some(home) = line.split(':').nth(5).filter(|home| home.len() > 1 && home.starts_with('/')) {
            found.push(home.trim_end_matches('/').to_owned());
        }
    }
    found.extend(files.list("/home").into_iter().map(|entry| format!("/home/{}", entry.name)));
    found.sort();
    found.dedup();
    found
}

fn homes(look: &Look, names: &[&str]) -> Vec<String> {
    let Some(files) = look.files() else { return Vec::new() };
    let paths = home_folders(look).into_iter().flat_map(|home| names.iter().map(move |name| format!("{home}/{name}")));
    paths.filter(|path| files.has(path)).collect()
}

fn private_keys(look: &Look) -> Vec<String> {
    let Some(files) = look.files() else { return Vec::new() };
    let mut found =
        homes(look, &[".aws/credentials", ".netrc", ".git-credentials", ".docker/config.json", ".vault-token"]);
    for home in home_folders(look) {
        for entry in files.list(&format!("{home}/.ssh")) {
            let path = format!("{home}/.ssh/{}", entry.name);
            let text = files.bytes(&path, 64 << 10).unwrap_or_default();
            if String::from_utf8_lossy(&text).contains("PRIVATE KEY-----") {
                found.push(path);
            }
        }
    }
    // The snake-oil key of Debian's ssl-cert is of the same kind: it is made once, at installation.
    for path in files.ending("/etc/ssl/private", ".key") {
        if files.has(&path) {
            found.push(path);
        }
    }
    found
}

fn host_identity(look: &Look) -> Vec<String> {
    let Some(files) = look.files() else { return Vec::new() };
    let mut found =
        there(look, &["/etc/nvme/hostid", "/etc/nvme/hostnqn", "/etc/hostid", "/var/lib/dhcp/dhclient6.leases"]);
    let initiator = files.text("/etc/iscsi/initiatorname.iscsi").unwrap_or_default();
    if lines(&initiator).any(|line| line.starts_with("InitiatorName=") && line.len() > "InitiatorName=".len()) {
        found.push("/etc/iscsi/initiatorname.iscsi has an InitiatorName".to_owned());
    }
    for folder in ["/var/lib/dhcp", "/var/lib/NetworkManager", "/var/lib/dhclient", "/var/lib/dhcpcd"] {
        let leases = files.list(folder).into_iter().filter(|entry| {
            entry.name.ends_with(".lease")
                || entry.name.ends_with(".leases")
                || matches!(entry.name.as_str(), "duid" | "secret_key")
        });
        let paths = leases.map(|entry| format!("{folder}/{}", entry.name));
        found.extend(paths.filter(|path| files.has(path)));
    }
    found.sort();
    found.dedup();
    found
}

fn hostname(look: &Look) -> Vec<String> {
    let text = look.files().and_then(|files| files.text("/etc/hostname")).unwrap_or_default();
    let name = lines(&text).next().unwrap_or_default().to_owned();
    let neutral =
        ["", "localhost", "localhost.localdomain", "localhost.localnet", "(none)", "debian", "ubuntu", "fedora"];
    if neutral.contains(&name.as_str()) { Vec::new() } else { vec![format!("/etc/hostname says {name}")] }
}

fn mdadm(look: &Look) -> Vec<String> {
    let Some(files) = look.files() else { return Vec::new() };
    let mut found = Vec::new();
    for path in ["/etc/mdadm/mdadm.conf", "/etc/mdadm.conf"] {
        for line in lines(&files.text(path).unwrap_or_default()) {
            let mut words = line.split_whitespace();
            match (words.next(), words.next()) {
                (Some("HOMEHOST"), Some(host)) if !host.starts_with('<') => found.push(format!("{path}: {line}")),
                (Some("ARRAY"), Some(name)) if name != "<ignore>" => found.push(format!("{path}: {line}")),
                _ => {}
            }
        }
    }
    found
}
