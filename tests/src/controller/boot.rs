//! The iPXE script of a machine: into the agent while an order waits, to its own disk otherwise.

use super::server::Shared;
use super::watch::Observation;
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use burin::protocol::Identity;
use serde::Deserialize;
use std::sync::Arc;

#[derive(Debug, Deserialize)]
pub(super) struct Who {
    mac: Option<String>,
    uuid: Option<String>,
    serial: Option<String>,
}

pub(super) async fn script(State(shared): State<Arc<Shared>>, Query(who): Query<Who>) -> Response {
    let filled = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let identity = Identity {
        system_uuid: filled(&who.uuid).map(|uuid| uuid.to_ascii_lowercase()),
        serial: filled(&who.serial),
        macs: vec![],
        boot_mac: filled(&who.mac).map(|mac| mac.to_ascii_lowercase().replace('-', ":")),
    };
    let agent = shared.order_waits(&identity);
    shared.watchers.tell(&Observation::BootScript {
        mac: identity.boot_mac.clone(),
        uuid: identity.system_uuid.clone(),
        agent,
    });
    let text = if agent { to_agent(&shared) } else { TO_DISK.to_owned() };
    ([(header::CONTENT_TYPE, "text/plain")], text).into_response()
}

/// `exit` returns to the firmware, which goes on with its next boot entry.
const TO_DISK: &str = "#!ipxe\necho burin: nothing to do, booting from disk\nexit\n";

fn to_agent(shared: &Shared) -> String {
    let base = shared.public_url();
    let options = &shared.options;
    format!(
        "#!ipxe\n\
         kernel {base}/boot/{kernel} initrd={initramfs} burin.controller={base} \
         BOOTIF=01-${{netX/mac:hexhyp}} {cmdline}\n\
         initrd --name {initramfs} {base}/boot/{initramfs}\n\
         boot\n",
        kernel = options.kernel,
        initramfs = options.initramfs,
        cmdline = options.cmdline,
    )
}
