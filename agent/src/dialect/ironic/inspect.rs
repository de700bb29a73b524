//! Inspection: the machine as ironic-python-agent would describe it, posted to Ironic.

use super::client::IronicClient;
use super::error::IronicError;
use super::logs;
use super::steps;
use super::worker::wait;
use crate::api::LogRing;
use crate::config::Ironic;
use crate::http::{Backoff, Retry};
use hwinventory::Inventory;
use hwinventory::format::{IpaOptions, ipa};
use serde_json::Value;
use std::time::Duration;

const RETRY: Retry = Retry { first: Duration::from_secs(5), most: Duration::from_secs(60) };
/// Number of attempts if a lookup can follow anyway.
const MOST_TRIES: u32 = 5;

pub fn body(inventory: &Inventory, config: &Ironic, log: &LogRing) -> Value {
    let wants_logs = config.collectors.is_empty() || config.collectors.iter().any(|name| name == "logs");
    let options = IpaOptions {
        collectors: config.collectors.clone(),
        managers: vec![(steps::MANAGER.to_owned(), env!("CARGO_PKG_VERSION").to_owned())],
        logs: wants_logs.then(|| logs::archive(log).ok()).flatten(),
        ..IpaOptions::default()
    };
    ipa(inventory, &options)
}

/// Returns the node's UUID, if Ironic gives it. If there is nothing else to do, it tries until Ironic accepts;
/// otherwise a lookup follows.
pub fn post(client: &IronicClient, url: &str, body: &Value, alone: bool) -> Result<Option<String>, IronicError> {
    let mut backoff = Backoff::new(&RETRY);
    loop {
        let error = match client.inspection(url, body) {
            Ok(node) => return Ok(node),
            Err(error) => error,
        };
        let passes = error.status().is_none_or(|status| status == 409 || status >= 500);
        if !alone && (!passes || backoff.tries + 1 >= MOST_TRIES) {
            log::warn!("Ironic does not accept the inspection: {error}");
            return Ok(None);
        }
        wait(&mut backoff, "inspection", &error);
    }
}
