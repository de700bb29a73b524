//! SMBIOS tables, compared value by value with dmidecode: captured ones, and made ones that hold every word of every
//! enumeration.

pub mod compare;
mod made;
mod printed;

use crate::support;
use compare::compare;
use hwinventory::Inventory;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

pub fn dmidecode(dump: &Path) -> String {
    let output = Command::new("dmidecode").arg("--from-dump").arg(dump).output().expect("dmidecode runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn collect(dump: &[u8]) -> Inventory {
    let mut machine = support::Machine::default();
    machine.smbios(dump);
    support::collect(Arc::new(machine))
}

#[test]
fn captured_tables_are_as_dmidecode_reads_them() {
    if !support::has("dmidecode") {
        return;
    }
    for dump in support::archives("smbios") {
        let bytes = std::fs::read(&dump).expect("readable");
        let context = dump.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !bytes.starts_with(b"_SM") {
            println!("{context} is a bare table, which dmidecode does not read");
            continue;
        }
        let compared = compare(&context, &dmidecode(&dump), &collect(&bytes));
        assert!(compared > 5, "{context}: {compared} structures were compared");
    }
}
