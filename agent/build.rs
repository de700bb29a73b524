//! Embeds the build time, a lower bound for the clock of any machine that runs this binary.

use std::time::{SystemTime, UNIX_EPOCH};

fn main() {
    // Only these: otherwise every change of a source file would move the time and rebuild everything.
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    println!("cargo::rerun-if-changed=build.rs");
    let given = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|text| text.trim().parse::<u64>().ok());
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    println!("cargo::rustc-env=BURIN_BUILD_EPOCH={}", given.unwrap_or_else(now));
}
