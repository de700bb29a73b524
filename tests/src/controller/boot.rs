//! The iPXE script for a machine: boots the agent while an order waits, and the machine's disk otherwise.

use super::server::Shared;
use super::watch::Observation;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use burin::protocol::{Identity, Secret};
use burin_initramfs::cpio::{Archive, CpioNode};
use serde::Deserialize;
use std::io;
use std::sync::Arc;

#[derive(Debug, Deserialize)]
pub(super) struct Who {
    mac: Option<String>,
    uuid: Option<String>,
    serial: Option<String>,
}

impl Who {
    fn identity(&self) -> Identity {
        let filled = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        super::identity::real(Identity {
            system_uuid: filled(&self.uuid).map(|uuid| uuid.to_ascii_lowercase()),
            serial: filled(&self.serial),
            macs: vec![],
            boot_mac: filled(&self.mac).map(|mac| mac.to_ascii_lowercase().replace('-', ":")),
        })
    }
}

/// The machine's names as file names, which need no escapes in a URL.
fn query(identity: &Identity) -> String {
    let names = [("mac", &identity.boot_mac), ("uuid", &identity.system_uuid), ("serial", &identity.serial)];
    let named = names.iter().filter_map(|(word, name)| Some(format!("{word}={}", super::orders::key(name.as_ref()?))));
    named.collect::<Vec<_>>().join("&")
}

pub(super) async fn script(State(shared): State<Arc<Shared>>, Query(who): Query<Who>) -> Response {
    let identity = who.identity();
    let agent = shared.order_waits(&identity);
    shared.watchers.tell(&Observation::BootScript {
        mac: identity.boot_mac.clone(),
        uuid: identity.system_uuid.clone(),
        agent,
    });
    let text = if agent { to_agent(&shared, &identity) } else { TO_DISK.to_owned() };
    ([(header::CONTENT_TYPE, "text/plain")], text).into_response()
}

/// `exit` returns to the firmware, which continues with its next boot entry.
const TO_DISK: &str = "#!ipxe\necho burin: nothing to do, booting from disk\nexit\n";

fn to_agent(shared: &Shared, identity: &Identity) -> String {
    let base = shared.public_url();
    let options = &shared.options;
    // Loaded after the ramdisk, so that its file takes precedence. The kernel prints its command line, so a token must
    // not be there.
    let (named, site) = match super::join::token_of(options, identity) {
        Some(_) => {
            (format!(" initrd={SITE}"), format!("initrd --name {SITE} {base}/ipxe/{SITE}?{}\n", query(identity)))
        }
        None => (String::new(), String::new()),
    };
    format!(
        "#!ipxe\n\
         kernel {base}/boot/{kernel} initrd={initramfs}{named} burin.controller={base} \
         BOOTIF=01-${{netX/mac:hexhyp}} {cmdline}\n\
         initrd --name {initramfs} {base}/boot/{initramfs}\n\
         {site}boot\n",
        kernel = options.kernel,
        initramfs = options.initramfs,
        cmdline = options.cmdline,
    )
}

const SITE: &str = "site.img";

/// A ramdisk with one file, `/etc/burin/cmdline`, for what must not be on the kernel command line.
pub(super) async fn site(State(shared): State<Arc<Shared>>, Query(who): Query<Who>) -> Response {
    let Some(token) = super::join::token_of(&shared.options, &who.identity()) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    match site_archive(&token) {
        Ok(bytes) => ([(header::CONTENT_TYPE, "application/octet-stream")], bytes).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Compressed, because the kernel then accepts it at any offset.
pub fn site_archive(join_token: &Secret) -> io::Result<Vec<u8>> {
    let mut archive = Archive::default();
    let words = format!("burin.token={}\n", join_token.reveal());
    archive.add("/etc/burin/cmdline", 0o600, CpioNode::File(words.into_bytes())).map_err(io::Error::other)?;
    zstd::encode_all(archive.to_bytes(0).map_err(io::Error::other)?.as_slice(), 1)
}
