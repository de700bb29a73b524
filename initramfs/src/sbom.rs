//! sbom.cdx.json: the components of agent and ramdisk, as CycloneDX 1.6 (ECMA-424). It contains no time and no serial
//! number, so that two builds of the same input are identical.

use crate::debian::Package;
use crate::notice;
use serde_json::{Value, json};

/// The input for the document.
#[derive(Debug)]
pub struct Parts<'a> {
    /// Version of builder and agent.
    pub version: &'a str,
    /// SHA-256 of /init, hexadecimal.
    pub agent: &'a str,
    /// Name and SHA-256 of the ramdisk.
    pub ramdisk: (&'a str, &'a str),
    /// Name and SHA-256 of the kernel.
    pub kernel: (&'a str, &'a str),
    /// `uname -r`.
    pub release: &'a str,
    /// Debian packages of kernel, firmware, tools and certificates.
    pub packages: &'a [Package],
    /// [`notice::CRATES`], or that of another agent.
    pub crates: &'a str,
    /// [`notice::LIBRARIES`].
    pub libraries: &'a str,
}

/// The whole document.
pub fn document(parts: &Parts<'_>) -> Value {
    let crates: Vec<Value> = crates(parts.crates).collect();
    let libraries: Vec<Package> = parts.libraries.lines().filter_map(notice::library).collect();
    let linked: Vec<String> = crates.iter().filter_map(reference).chain(libraries.iter().map(purl)).collect();
    let carried: Vec<String> = parts.packages.iter().map(purl).chain(["agent".to_owned()]).collect();
    let mut components = vec![
        json!({
            "type": "application", "bom-ref": "agent", "name": "burin", "version": parts.version,
            "licenses": [{"license": {"id": "Apache-2.0"}}], "hashes": hashes(parts.agent),
        }),
        json!({
            "type": "operating-system", "bom-ref": "kernel", "name": "linux", "version": parts.release,
            "hashes": hashes(parts.kernel.1), "properties": [{"name": "burin:file", "value": parts.kernel.0}],
        }),
    ];
    components.extend(crates);
    let mut packages: Vec<&Package> = parts.packages.iter().chain(&libraries).collect();
    packages.sort_by_key(|package| purl(package));
    packages.dedup_by_key(|package| purl(package));
    components.extend(packages.into_iter().map(package));
    json!({
        "bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1,
        "metadata": {
            "component": {
                "type": "firmware", "bom-ref": "ramdisk", "name": "burin-ramdisk", "version": parts.version,
                "hashes": hashes(parts.ramdisk.1), "properties": [{"name": "burin:file", "value": parts.ramdisk.0}],
            },
            "tools": {"components": [{"type": "application", "name": "burin-initramfs", "version": parts.version}]},
        },
        "components": components,
        "dependencies": [
            {"ref": "ramdisk", "dependsOn": carried}, {"ref": "agent", "dependsOn": linked}, {"ref": "kernel", "dependsOn": []},
        ],
    })
}

fn hashes(sha256: &str) -> Value {
    json!([{"alg": "SHA-256", "content": sha256}])
}

fn reference(component: &Value) -> Option<String> {
    component["bom-ref"].as_str().map(str::to_owned)
}

/// Lines of `name version: licence, source`, up to the first blank line.
fn crates(text: &str) -> impl Iterator<Item = Value> + '_ {
    text.lines().take_while(|line| !line.is_empty()).filter_map(|line| {
        let (named, rest) = line.split_once(": ")?;
        let (name, version) = named.split_once(' ')?;
        if version.contains(' ') {
            return None;
        }
        let (licence, source) = rest.rsplit_once(", ").unwrap_or((rest, ""));
        let purl = format!("pkg:cargo/{name}@{}", version.replace('+', "%2B"));
        let mut component = json!({
            "type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl,
            // An older cargo notation for OR.
            "licenses": [{"expression": licence.replace('/', " OR ")}],
        });
        if source.starts_with("https://") {
            component["externalReferences"] = json!([{"type": "vcs", "url": source}]);
        }
        Some(component)
    })
}

fn purl(package: &Package) -> String {
    let escaped = |text: &str| text.replace('+', "%2B").replace(':', "%3A");
    format!("pkg:deb/debian/{}@{}", escaped(&package.name), escaped(&package.version))
}

fn package(package: &Package) -> Value {
    json!({
        "type": "library", "bom-ref": purl(package), "name": package.name, "version": package.version,
        "purl": purl(package),
        "properties": [
            {"name": "burin:source", "value": package.source}, {"name": "burin:source-version", "value": package.source_version},
        ],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_part_is_there_once_and_every_reference_leads_somewhere() {
        let kernel = Package {
            name: "linux-image-amd64".into(),
            version: "6.1.1+deb12:1".into(),
            source: "linux".into(),
            source_version: "6.1.1".into(),
        };
        let parts = Parts {
            version: "0.1.0",
            agent: "aa",
            ramdisk: ("initramfs.cpio.zst", "bb"),
            kernel: ("vmlinuz", "cc"),
            release: "6.1.0",
            packages: &[kernel.clone(), kernel],
            crates: notice::CRATES,
            libraries: notice::LIBRARIES,
        };
        let document = document(&parts);
        assert_eq!(document, super::document(&parts), "the same twice");
        let components = document["components"].as_array().unwrap();
        let references: Vec<String> = components.iter().map(|one| reference(one).unwrap()).collect();
        let known: BTreeSet<&String> = references.iter().collect();
        assert_eq!(known.len(), references.len(), "one entry for each");
        assert!(known.contains(&"pkg:deb/debian/linux-image-amd64@6.1.1%2Bdeb12%3A1".to_owned()), "{references:?}");
        assert!(references.iter().filter(|one| one.starts_with("pkg:cargo/")).count() > 100, "{references:?}");
        assert!(references.iter().any(|one| one.starts_with("pkg:cargo/rustls@")));
        for dependency in document["dependencies"].as_array().unwrap() {
            for to in dependency["dependsOn"].as_array().unwrap() {
                let to = to.as_str().unwrap().to_owned();
                assert!(known.contains(&to), "{to}");
            }
        }
        for component in components {
            let expression = component["licenses"][0]["expression"].as_str();
            assert!(expression.is_none_or(|text| !text.contains('/')), "{component}");
        }
    }
}
