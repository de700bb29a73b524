//! Rules about leftovers of the image's build, or of a boot of it.

use crate::faults::FaultRule;
use crate::files::{Files, lines, variable};
use crate::look::Look;
use crate::report::Severity;

/// Logs larger than this are reported.
const MANY: u64 = 1 << 20;

pub const FAULTS: &[FaultRule] = &[
    FaultRule {
        code: "check.seed_left",
        severity: Severity::Error,
        why: "cloud-init takes the machine for one that it has already set up, or reads the old seed before the order's",
        remedy: "run cloud-init clean --logs --seed (or rm -r /var/lib/cloud) just before publishing",
        find: seeds,
    },
    FaultRule {
        code: "check.seed_partition",
        severity: Severity::Warning,
        why: "its seed would be read before, or instead of, an order's; an order with another one is refused",
        remedy: "remove the partition, or have the order's seed use it",
        find: |look| {
            let named = |text: &str| ["cidata", "config-2"].iter().any(|name| text.eq_ignore_ascii_case(name));
            let seeds = look.volumes.iter().filter(|one| named(&one.name) || one.label.as_deref().is_some_and(named));
            seeds
                .map(|one| format!("{} is a seed ({})", one.called(), one.label.as_deref().unwrap_or(&one.name)))
                .collect()
        },
    },
    FaultRule {
        code: "check.no_cloud_init",
        severity: Severity::Warning,
        why: "nothing reads the seed of an order",
        remedy: "install cloud-init, or give machines their name, keys and network in another way",
        find: |look| match (look.files(), &look.cloud_init) {
            (Some(files), None) if !reads_seeds(files) => {
                vec!["neither cloud-init nor Ignition nor cloudbase-init is in the image".to_owned()]
            }
            _ => Vec::new(),
        },
    },
    FaultRule {
        code: "check.cloud_init_off",
        severity: Severity::Warning,
        why: "nothing reads the seed of an order",
        remedy: "rm /etc/cloud/cloud-init.disabled, or remove cloud-init=disabled from the kernel command line",
        find: |look| {
            let word = look.all_words().find(|(_, word)| *word == "cloud-init=disabled");
            let file = look.cloud_init.as_ref().is_some_and(|found| !found.enabled);
            let file = file.then(|| "/etc/cloud/cloud-init.disabled is there".to_owned());
            file.into_iter().chain(word.map(|(from, word)| format!("{word} in {from}"))).collect()
        },
    },
    FaultRule {
        code: "check.datasource",
        severity: Severity::Error,
        why: "cloud-init does not look for the seeds that an order writes",
        remedy: "set datasource_list: [NoCloud, ConfigDrive, None], or no list at all (/etc/cloud/cloud.cfg.d)",
        find: |look| {
            let list = look.cloud_init.as_ref().map(|found| found.datasources.as_slice()).unwrap_or_default();
            let local = list.iter().any(|name| matches!(name.as_str(), "NoCloud" | "ConfigDrive"));
            if list.is_empty() || local { Vec::new() } else { vec![format!("datasource_list: {}", list.join(", "))] }
        },
    },
    FaultRule {
        code: "check.proxy",
        severity: Severity::Warning,
        why: "other sites do not have this proxy: packages cannot be installed",
        remedy: "remove the line before publishing",
        find: |look| found(look, proxies),
    },
    FaultRule {
        code: "check.services_held",
        severity: Severity::Error,
        why: "packages installed later do not start their services",
        remedy: "rm /usr/sbin/policy-rc.d",
        find: |look| found(look, |files| existing(files, &["/usr/sbin/policy-rc.d"])),
    },
    FaultRule {
        code: "check.resolver",
        severity: Severity::Warning,
        why: "the build machine's name servers are used, which may not be reachable",
        remedy: "empty /etc/resolv.conf, or make it systemd-resolved's link",
        find: |look| found(look, resolver),
    },
    FaultRule {
        code: "check.logs",
        severity: Severity::Warning,
        why: "they take space, and reveal details of the machine that made the image",
        remedy: "rm -r /var/log/journal/*, truncate the files in /var/log, remove shell histories",
        find: |look| found(look, logs),
    },
    FaultRule {
        code: "check.build_tools",
        severity: Severity::Warning,
        why: "they belong to the build, not to the system",
        remedy: "remove them before publishing",
        find: |look| {
            found(look, |files| {
                let emulators = files
                    .list("/usr/bin")
                    .into_iter()
                    .filter(|one| one.name.starts_with("qemu-") && one.name.ends_with("-static"));
                let mut found = existing(
                    files,
                    &[
                        "/.dockerenv",
                        "/.buildah",
                        "/etc/apt/apt.conf.d/99mmdebstrap",
                        "/etc/apt/sources.list.d/0000tmp.list",
                    ],
                );
                // The package has many of them; a build copies only the one that it needs.
                let emulators: Vec<String> = emulators.map(|one| format!("/usr/bin/{}", one.name)).collect();
                found.extend(
                    emulators.into_iter().take(2).filter(|_| !files.is_folder("/usr/share/doc/qemu-user-static")),
                );
                found
            })
        },
    },
];

fn found(look: &Look, find: fn(&Files) -> Vec<String>) -> Vec<String> {
    look.files().map(find).unwrap_or_default()
}

fn existing(files: &Files, paths: &[&str]) -> Vec<String> {
    paths.iter().filter(|path| files.metadata(path).is_some()).map(|path| (*path).to_owned()).collect()
}

fn reads_seeds(files: &Files) -> bool {
    let programs = [
        "/usr/lib/dracut/modules.d/30ignition",
        "/usr/bin/ignition",
        "/usr/lib/systemd/system/ignition-firstboot-complete.service",
    ];
    programs.iter().any(|path| files.metadata(path).is_some())
}

fn seeds(look: &Look) -> Vec<String> {
    let Some(files) = look.files() else { return Vec::new() };
    let mut found = Vec::new();
    for folder in ["/var/lib/cloud/seed", "/var/lib/cloud/instances"] {
        for entry in files.list(folder) {
            let path = format!("{folder}/{}", entry.name);
            if files.has(&path) || !files.list(&path).is_empty() {
                found.push(path);
            }
        }
    }
    if found.is_empty() {
        let state = ["/var/lib/cloud/instance", "/var/lib/cloud/data/instance-id", "/var/lib/cloud/sem"];
        let link = files.link("/var/lib/cloud/instance").is_some();
        let there =
            |path: &&str| files.has(path) || !files.list(path).is_empty() || (link && path.ends_with("instance"));
        found.extend(state.into_iter().find(|path| there(path)).map(str::to_owned));
    }
    found
}

fn proxies(files: &Files) -> Vec<String> {
    let mut found = Vec::new();
    let mut apt = vec!["/etc/apt/apt.conf".to_owned()];
    apt.extend(files.list("/etc/apt/apt.conf.d").into_iter().map(|one| format!("/etc/apt/apt.conf.d/{}", one.name)));
    for path in apt {
        for line in files.text(&path).unwrap_or_default().lines().map(str::trim) {
            let comment = line.starts_with("//") || line.starts_with('#');
            let proxy = line.to_ascii_lowercase().contains("proxy") && line.contains("://");
            if proxy && !comment {
                found.push(format!("{path}: {}", without_user(line)));
            }
        }
    }
    for path in ["/etc/dnf/dnf.conf", "/etc/yum.conf", "/etc/environment", "/etc/sysconfig/proxy"] {
        let text = files.text(path).unwrap_or_default();
        for name in ["proxy", "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"] {
            if let Some(proxy) = variable(&text, name).filter(|proxy| proxy.contains("://")) {
                found.push(format!("{path}: {name}={}", without_user(&proxy)));
            }
        }
    }
    found
}

/// A URL without its user and password, which must not be shown.
fn without_user(line: &str) -> String {
    match (line.find("://"), line.rfind('@')) {
        (Some(start), Some(end)) if start < end => {
            let (before, after) = (line.get(..start + 3), line.get(end + 1..));
            format!("{}***@{}", before.unwrap_or_default(), after.unwrap_or_default())
        }
        _ => line.to_owned(),
    }
}

fn resolver(files: &Files) -> Vec<String> {
    if files.link("/etc/resolv.conf").is_some() {
        return Vec::new();
    }
    let text = files.text("/etc/resolv.conf").unwrap_or_default();
    let servers = lines(&text).filter(|line| line.starts_with("nameserver") && !line.contains("127.0.0."));
    servers.map(|line| format!("/etc/resolv.conf: {line}")).collect()
}

fn logs(files: &Files) -> Vec<String> {
    let mut found = Vec::new();
    let journals = files.list("/var/log/journal").into_iter().map(|entry| format!("/var/log/journal/{}", entry.name));
    found.extend(journals.filter(|path| !files.list(path).is_empty()));
    for entry in files.list("/var/log") {
        let path = format!("/var/log/{}", entry.name);
        if let Some(size) = files.metadata(&path).filter(|_| files.is_file(&path)).map(|found| found.size)
            && size > MANY
        {
            found.push(format!("{path}: {size} bytes"));
        }
    }
    let homes = files.list("/home").into_iter().map(|entry| format!("/home/{}", entry.name));
    for home in std::iter::once("/root".to_owned()).chain(homes) {
        for name in [".bash_history", ".zsh_history", ".python_history", ".mysql_history"] {
            let path = format!("{home}/{name}");
            if files.has(&path) {
                found.push(path);
            }
        }
    }
    found
}
