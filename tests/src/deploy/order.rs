//! Orders of the scene, as a controller's operator would write them.

use super::Image;
use serde_json::{Value, json};

/// A public key whose private half nobody has.
pub(super) const SSH_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJ1cmluLWRlbW8ta2V5LW5vYm9keS1ob2xkcy1pdCEh demo@example";

/// Prints, from inside the installed system, the disk of its root and the root's new size.
const REPORT: &str = "#cloud-config
runcmd:
  - |
    part=$(findmnt -nro SOURCE /); disk=$(lsblk -nro PKNAME $part)
    echo \"burin-proof serial=$(lsblk -dnro SERIAL /dev/$disk) root=$part size=$(lsblk -bdnro SIZE $part) filesystem=$(findmnt -bnro SIZE /)\" >/dev/ttyS0
";

/// An order of one image on one disk. Start from [`OrderBuilder::new`] and change what the test is about.
#[derive(Debug, Clone)]
pub struct OrderBuilder {
    order: Value,
}

impl OrderBuilder {
    /// `images` is the URL of the image's directory, as the machine reaches it. The order selects an NVMe disk that is
    /// large enough; hostname and key are injected as attributes.
    pub fn new(id: &str, hostname: &str, images: &str, image: &Image) -> Self {
        let order = json!({
            "version": "order/v1",
            "id": id,
            "attributes": { "hostname": hostname, "ssh_keys": [SSH_KEY] },
            "images": {
                "debian": {
                    "urls": [format!("{images}/{}", image.file)],
                    "digest": { "wire": image.wire, "content": image.content },
                },
            },
            "layouts": [{
                "name": "system-on-nvme",
                "disks": {
                    "system": {
                        "match": { "class": "nvme", "size": { "ge": "2GB" } },
                        "on_existing": "destroy",
                        "image": "debian",
                        "grow": "last",
                    },
                },
            }],
            "seed": {
                "hostname": { "attribute": "hostname" },
                "ssh_authorized_keys": { "attribute": "ssh_keys" },
                "user_data": REPORT,
            },
            "policies": { "finish": "reboot" },
        });
        Self { order }
    }

    /// Puts `value` at a JSON pointer, which may name a new key of an existing object.
    ///
    /// # Panics
    /// If the pointer's parent is not an object or array of the order: a mistake in the test.
    pub fn set(mut self, pointer: &str, value: Value) -> Self {
        let (parent, key) = pointer.rsplit_once('/').expect("a JSON pointer starts with a slash");
        let parent = self.order.pointer_mut(parent).unwrap_or_else(|| panic!("{pointer} is not in the order"));
        match parent {
            Value::Array(list) => list[key.parse::<usize>().expect("an index")] = value,
            other => other[key] = value,
        }
        self
    }

    /// Adds a line of user data that only the installed system may see.
    pub fn secret(mut self, secret: &str) -> Self {
        self.order["seed"]["user_data"] = json!(format!("{REPORT}# {secret}\n"));
        self
    }

    pub fn json(&self) -> String {
        self.order.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_one_that_the_agent_takes() {
        let image = Image {
            dir: "/".into(),
            file: "debian.raw.zst".to_owned(),
            size: 1,
            wire_size: 1,
            wire: format!("sha256:{:064}", 1),
            content: format!("sha256:{:064}", 2),
        };
        let order = OrderBuilder::new("one", "host", "http://10.0.2.2:1/images", &image);
        burin::protocol::order::parse(&order.json()).unwrap();
        let strange = order.set("/surprise", json!(1));
        burin::protocol::order::parse(&strange.json()).unwrap_err();
    }
}
