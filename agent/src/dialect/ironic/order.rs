//! Builds orders from a step's arguments and the node.

use super::disks::{Disks, Several};
use super::drive;
use super::error::CommandError;
use super::partition;
use crate::protocol::image::{Credentials, ImageDigests, ImageFormat, ImageSpec, ImageSums, Transfer};
use crate::protocol::order::{
    Boot, Grow, GrowDetailed, Layout, Order, PartitionPick, PickName, Policies, Seed, SeedFormat, VERSION,
};
use crate::protocol::{Secret, order::Finish};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hwinventory::Inventory;
use serde_json::Value;
use std::collections::BTreeMap;

const IMAGE: &str = "image";

pub fn blank(id: &str) -> Order {
    Order {
        version: VERSION.to_owned(),
        id: id.to_owned(),
        valid: None,
        attributes: BTreeMap::new(),
        images: BTreeMap::new(),
        layouts: Vec::new(),
        network: BTreeMap::new(),
        seed: None,
        files: Vec::new(),
        policies: Policies { finish: Finish::Hold, ..Policies::default() },
    }
}

pub fn layout() -> Layout {
    Layout {
        name: "ironic".to_owned(),
        when: None,
        priority: 0,
        disks: BTreeMap::new(),
        raid: BTreeMap::new(),
        luks: BTreeMap::new(),
        lvm: BTreeMap::new(),
        tree: None,
        boot: None,
    }
}

/// `erase_devices_metadata`: removes every signature from every disk that passes the gates and is not to be skipped.
pub fn metadata(id: &str, inventory: &Inventory, node: &Value) -> Result<Order, CommandError> {
    let disks = Disks::new(inventory, node)?;
    let (mut order, mut layout) = (blank(id), layout());
    layout.disks.insert("all".to_owned(), disks.cleaned());
    layout.disks.extend(disks.protected()?.map(|set| ("skip".to_owned(), set)));
    order.layouts.push(layout);
    Ok(order)
}

/// `raid.delete_configuration`: stops arrays and removes every signature from their disks.
pub fn no_raid(id: &str, inventory: &Inventory, node: &Value) -> Result<Order, CommandError> {
    let disks = Disks::new(inventory, node)?;
    let (mut order, mut layout) = (blank(id), layout());
    layout.disks.insert("members".to_owned(), disks.members());
    layout.disks.extend(disks.protected()?.map(|set| ("skip".to_owned(), set)));
    order.layouts.push(layout);
    Ok(order)
}

/// `write_image`. `fetch` downloads a config drive that is given by URL.
pub fn deploy(
    id: &str,
    inventory: &Inventory,
    node: &Value,
    args: &Value,
    several: Several,
    fetch: impl FnOnce(&str) -> Result<Vec<u8>, CommandError>,
) -> Result<Order, CommandError> {
    let info = &args["image_info"];
    let disks = Disks::new(inventory, node)?;
    let (mut order, mut layout) = (blank(id), layout());
    let mut root = disks.root(node, several)?;
    let given = args["configdrive"].as_str().filter(|text| !text.is_empty());
    if partition::is_one(info) {
        root.partitions = partition::layout(info, node, inventory, IMAGE)?;
    } else {
        root.image = Some(IMAGE.to_owned());
    }
    if given.is_some() && root.image.is_some() {
        // The config drive is placed behind the last partition. Without growing first, cloud-init could not grow that
        // partition; its filesystem is left to the system.
        let last = PartitionPick::Named(PickName::Last);
        root.grow = Some(Grow::Detailed(GrowDetailed { partition: last, filesystem: false, leave: None }));
    }
    layout.disks.insert("root".to_owned(), root);
    layout.disks.extend(disks.protected()?.map(|set| ("skip".to_owned(), set)));
    let label = info["id"].as_str().unwrap_or("image").to_owned();
    layout.boot = Some(Boot { set: "root".to_owned(), label: Some(label) });
    order.layouts.push(layout);
    order.images.insert(IMAGE.to_owned(), image(info)?);
    if given.is_none() && !info["configdrive"].is_null() {
        return Err(CommandError::new(
            "ironic.config_drive",
            "the config drive is in image_info alone; it is looked for in args",
        ));
    }
    if let Some(text) = given {
        let volume = drive::volume(text, fetch)?;
        let set = Some("root".to_owned());
        order.seed = Some(Seed { format: SeedFormat::ConfigDrive, set, volume: Some(volume), ..Seed::default() });
    }
    Ok(order)
}

fn image(info: &Value) -> Result<ImageSpec, CommandError> {
    let unsupported = |message: String| CommandError::new("ironic.image", message);
    let urls: Vec<String> =
        info["urls"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    let Some(first) = urls.first().cloned() else { return Err(unsupported("image_info has no urls".to_owned())) };
    let format = match info["disk_format"].as_str() {
        None => None,
        Some("raw") => Some(ImageFormat::Raw),
        Some("qcow2") => Some(ImageFormat::Qcow2),
        Some(other) => {
            return Err(unsupported(format!("images of the format {other} are not written: raw and qcow2 are")));
        }
    };
    let (digest, sums) = digests(info)?;
    let transfer = Transfer { proxy: proxy(info, &first), credentials: credentials(info)?, ..Transfer::default() };
    let (manifest, name, least_version) = (None, None, None);
    let (sector_size, signature, delta) = (None, None, None);
    Ok(ImageSpec { urls, manifest, name, least_version, format, sector_size, digest, sums, signature, delta, transfer })
}

/// The digest covers the file as served. Without any, a wrong image could not be detected.
fn digests(info: &Value) -> Result<(ImageDigests, Option<ImageSums>), CommandError> {
    let refused = |message: String| Err(CommandError::new("ironic.checksum", message));
    let wire = |algorithm: &str, value: &str| {
        let wire = Some(format!("{algorithm}:{}", value.to_ascii_lowercase()));
        Ok((ImageDigests { wire, content: None }, None))
    };
    match (info["os_hash_algo"].as_str(), info["os_hash_value"].as_str()) {
        (Some(algorithm @ ("sha256" | "sha512")), Some(value)) => return wire(algorithm, value),
        (Some(algorithm), Some(_)) if info["checksum"].is_null() => {
            return refused(format!("images are checked by sha256 or sha512, not by {algorithm}"));
        }
        _ => {}
    }
    match info["checksum"].as_str() {
        Some(url) if url.starts_with("http://") || url.starts_with("https://") => {
            Ok((ImageDigests::default(), Some(ImageSums { url: url.to_owned(), signature: None })))
        }
        Some(text) if text.len() == 64 => wire("sha256", text),
        Some(text) if text.len() == 128 => wire("sha512", text),
        Some(text) if text.len() == 32 => {
            refused("MD5 proves nothing any more: give image_os_hash_algo sha256 or sha512".to_owned())
        }
        Some(_) => refused("the checksum is neither sha256 nor sha512, and no URL of a file of them".to_owned()),
        None => refused("the image comes without a checksum".to_owned()),
    }
}

fn credentials(info: &Value) -> Result<Option<Credentials>, CommandError> {
    let wrong = |message: &str| CommandError::new("ironic.credentials", message);
    if let Some(header) = info["image_request_authorization"].as_str() {
        let text = STANDARD.decode(header).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let text = text.ok_or_else(|| wrong("image_request_authorization is not base64 of a header"))?;
        let (scheme, rest) = text.split_once(' ').ok_or_else(|| wrong("image_request_authorization has no scheme"))?;
        return match scheme.to_ascii_lowercase().as_str() {
            "bearer" => Ok(Some(Credentials::Bearer(Secret::new(rest)))),
            "basic" => {
                let pair =
                    STANDARD.decode(rest).ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
                let (user, password) =
                    pair.split_once(':').ok_or_else(|| wrong("the basic authorization is not user:password"))?;
                Ok(Some(Credentials::Basic { user: user.to_owned(), password: Secret::new(password) }))
            }
            _ => Err(wrong("images are fetched with basic or bearer authorization")),
        };
    }
    match info["image_server_auth_strategy"].as_str() {
        Some("http_basic") => {
            let (user, password) = (info["image_server_user"].as_str(), info["image_server_password"].as_str());
            let (Some(user), Some(password)) = (user, password) else {
                return Err(wrong("http_basic needs image_server_user and image_server_password"));
            };
            Ok(Some(Credentials::Basic { user: user.to_owned(), password: Secret::new(password) }))
        }
        None | Some("noauth" | "") => Ok(None),
        Some(_) => Err(wrong("the image server's only authentication strategy is http_basic")),
    }
}

/// Depends on the scheme of the image's URL; none if `no_proxy` names its host.
fn proxy(info: &Value, url: &str) -> Option<Secret> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?']).next()?;
    let host = authority.rsplit('@').next()?.split(':').next()?;
    let mut direct = info["no_proxy"].as_str().unwrap_or_default().split(',').map(str::trim);
    let covers = |name: &str| {
        let name = name.trim_start_matches('.');
        !name.is_empty() && (host == name || host.strip_suffix(name).is_some_and(|front| front.ends_with('.')))
    };
    if direct.any(|name| name == "*" || covers(name)) {
        return None;
    }
    Some(Secret::new(info["proxies"][scheme].as_str()?))
}

#[cfg(test)]
#[path = "order_tests.rs"]
mod tests;
