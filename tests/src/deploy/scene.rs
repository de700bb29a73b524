//! The machine, its disks and its controller, before power-on.

use super::order::OrderBuilder;
use super::{DeployError, Deployment, Image, Netboot};
use crate::controller::{Controller, Options, Tls};
use crate::vm::{Boot, Bus, Dirt, Disk, DiskFile, Firmware, HOST_FROM_GUEST, MachineSpec, Nic, NicModel};
use burin::protocol::Secret;
use std::path::{Path, PathBuf};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

pub(super) const TARGET_SERIAL: &str = "NVME-TARGET-01";
const BYSTANDER_SERIAL: &str = "SATA-DATA-02";
const MAC: &str = "52:54:00:b0:00:01";

/// A disk that no order is about.
#[derive(Debug, Clone)]
pub struct Bystander {
    pub file: DiskFile,
    /// Digest of every byte before the machine was started.
    pub digest: String,
}

#[derive(Debug)]
pub struct Scene {
    pub firmware: Firmware,
    pub hostname: String,
    pub order_id: String,
    pub image: Image,
    pub target: DiskFile,
    pub bystander: Bystander,
    pub controller: Controller,
    /// Secrets that the machine gets and must not reveal: the join token, and a line of the seed.
    pub secrets: Vec<String>,
    pub(super) spec: MachineSpec,
}

impl Scene {
    /// Makes the disks dirty, and starts a controller on loopback with an order for the machine.
    pub fn build(dir: &Path, firmware: Firmware, netboot: &Netboot, image: &Image) -> Result<Self, DeployError> {
        let unique = uuid::Uuid::new_v4();
        let tag = &unique.simple().to_string()[..4];
        let hostname = format!("engraved-{tag}");
        let order_id = format!("order-{tag}");

        let target = DiskFile::new(dir.join("nvme.raw"));
        // Noise under the whole image, so that zeros that were not really written show.
        Dirt::new(4 * GIB, image.size + 256 * MIB, 1).create(&target)?;
        let file = DiskFile::new(dir.join("sata.raw"));
        Dirt::new(3 * GIB, 128 * MIB, 2).create(&file)?;
        let bystander = Bystander { digest: file.digest()?, file };

        let secrets = ["join", "seed"].map(|name| format!("{name}-5ecret-{}", uuid::Uuid::new_v4().simple()));
        let [join, line] = &secrets;
        let controller = start_controller_as(dir, netboot, &image.dir, |options| {
            options.join_token = Some(Secret::new(join));
        })?;
        let url = controller.public_url();
        let order = OrderBuilder::new(&order_id, &hostname, &format!("{url}/images"), image).secret(line);
        controller.put_order(&unique.to_string(), order.json()).map_err(DeployError::Order)?;

        let tftp = boot_script(dir, &url)?;
        let nic = Nic::new(NicModel::Virtio, MAC).tftp(tftp).bootfile("boot.ipxe");
        let boot = match firmware {
            // OVMF's default order: disks first. They are dirty and do not boot, so the network is next. Once the disk
            // is imaged, the agent's entry comes first.
            Firmware::Uefi => Boot::FirmwareOrder,
            // The network remains first, and the controller sends the machine to its disk.
            Firmware::Bios => Boot::Network,
        };
        // The least memory in which burin promises to work; OVMF alone needs more than SeaBIOS.
        let memory = match firmware {
            Firmware::Uefi => 1024,
            Firmware::Bios => 512,
        };
        let spec = MachineSpec::new(dir, firmware)
            .memory_mib(memory)
            .identity(&unique.to_string(), &format!("DEMO-{tag}"))
            .disk(Disk::new(Bus::Nvme, target.path(), TARGET_SERIAL))
            .disk(Disk::new(Bus::Sata, bystander.file.path(), BYSTANDER_SERIAL))
            .nic(nic)
            .boot(boot);
        Ok(Self {
            firmware,
            hostname,
            order_id,
            image: image.clone(),
            target,
            bystander,
            controller,
            secrets: secrets.to_vec(),
            spec,
        })
    }

    /// Presses the power button.
    pub fn start(&self) -> Result<Deployment<'_>, DeployError> {
        Deployment::start(self)
    }
}

/// A controller on loopback, set up so that machines on QEMU's user network can reach it.
pub fn start_controller(dir: &Path, netboot: &Netboot, images: &Path) -> Result<Controller, DeployError> {
    start_controller_with(dir, netboot, images, None)
}

/// The same, over HTTPS if `tls` is given.
pub fn start_controller_with(
    dir: &Path,
    netboot: &Netboot,
    images: &Path,
    tls: Option<Tls>,
) -> Result<Controller, DeployError> {
    start_controller_as(dir, netboot, images, |options| options.tls = tls)
}

/// The same, with other options changed.
pub fn start_controller_as(
    dir: &Path,
    netboot: &Netboot,
    images: &Path,
    change: impl FnOnce(&mut Options),
) -> Result<Controller, DeployError> {
    let mut options = Options::new(&dir.join("controller"));
    options.artefacts = Some(netboot.dir.clone());
    options.images = Some(images.to_owned());
    options.kernel = Netboot::KERNEL.to_owned();
    options.initramfs = Netboot::INITRAMFS.to_owned();
    options.cmdline = "console=tty0 console=ttyS0,115200".to_owned();
    // A virtual machine resets faster than a physical one.
    options.in_use = std::time::Duration::from_secs(4);
    // The port must be known before machines are told how to reach it.
    options.listen = free_port().map_err(DeployError::Order)?;
    change(&mut options);
    let scheme = if options.tls.is_some() { "https" } else { "http" };
    let port = options.listen.port();
    options.public_url.get_or_insert_with(|| format!("{scheme}://{HOST_FROM_GUEST}:{port}"));
    Ok(Controller::start(options)?)
}

pub(super) fn free_port() -> std::io::Result<std::net::SocketAddr> {
    std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()
}

/// What a site's own TFTP server would serve: a script that hands over to the controller with the machine's names.
fn boot_script(dir: &Path, url: &str) -> Result<PathBuf, DeployError> {
    let root = dir.join("tftp");
    let script = root.join("boot.ipxe");
    let text = format!("#!ipxe\nchain {url}/ipxe?mac=${{net0/mac}}&uuid=${{uuid}}&serial=${{serial}}\n");
    std::fs::create_dir_all(&root)
        .and_then(|()| std::fs::write(&script, text))
        .map_err(|error| DeployError::Artefact { path: script, why: error.to_string() })?;
    Ok(root)
}
