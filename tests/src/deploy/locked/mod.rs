//! The main job with everything demanded: a signed kernel under Secure Boot, a policy in its ramdisk, a machine that is
//! attested before it gets a token, an order that is signed for this boot, a secret in it that only this machine opens, and
//! a receipt that is evidence. And the same with one link of it broken, where nothing is written.

mod image;

use super::{DeployError, Image, Netboot, OrderBuilder, Pki, start_controller_as};
use crate::controller::{Controller, Demand, Observation, digest};
use crate::swtpm::{Maker, Swtpm};
use crate::vm::{Boot, Bus, Dirt, Disk, DiskFile, Firmware, HOST_FROM_GUEST, Machine, MachineSpec, Nic, NicModel};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use burin::protocol::attestation::SEALED;
use burin::protocol::order::PAYLOAD_TYPE;
use burin::protocol::{Event, Hello, Kind, Problem, Receipt, Secret};
use burin_initramfs::UKI;
use burin_sign::{Envelope, PublicKey, SecretKey, verify};
use burin_tpm::{ENDORSEMENT, Expected, OWNER, Public, endorsement_key, seal, storage_key};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime};

const MIB: u64 = 1 << 20;
const MAC: &str = "52:54:00:b0:00:19";
const UUID: &str = "b0b0b0b0-0000-4000-8000-000000000019";
/// Firmware variables in which a key of everybody's is enrolled as PK, KEK and db (Debian's package ovmf).
const VARIABLES: &str = "/usr/share/OVMF/OVMF_VARS_4M.snakeoil.fd";
/// Longer than anything is silent.
const SILENCE: Duration = Duration::from_secs(420);
/// A refused machine asks again and again; so long nothing else may come of it.
const AFTERWARDS: Duration = Duration::from_secs(15);

/// What can be broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// Signed with a key that the firmware does not know.
    Kernel,
    /// Rightly signed, but another one than the controller's.
    Ramdisk,
    /// Another machine's TPM.
    Machine,
    /// Signed by somebody else.
    Order,
    /// An order of another boot.
    Boot,
    /// An order that has ended.
    Time,
    /// Sealed for another machine.
    Sealed,
    /// Nothing says what it has to be.
    Image,
    /// The order erases less than the ramdisk wants.
    Erase,
}

impl Link {
    pub const ALL: [(&'static str, Self); 9] = [
        ("kernel", Self::Kernel),
        ("ramdisk", Self::Ramdisk),
        ("machine", Self::Machine),
        ("order", Self::Order),
        ("boot", Self::Boot),
        ("time", Self::Time),
        ("secret", Self::Sealed),
        ("image", Self::Image),
        ("erase", Self::Erase),
    ];

    /// What the machine, or whoever reads its console, is told.
    fn sign(self) -> Sign {
        match self {
            Self::Kernel => Sign::Console("Access Denied"),
            Self::Ramdisk => Sign::Console("which is not known"),
            Self::Machine => Sign::Console("this TPM is not that machine's"),
            Self::Order => Sign::Code("sign.signature"),
            Self::Boot => Sign::Code("order.other_boot"),
            Self::Time => Sign::Code("order.too_late"),
            Self::Sealed => Sign::Code("sealed.other"),
            Self::Image => Sign::Code("policy.image"),
            Self::Erase => Sign::Code("policy.erase"),
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Sign {
    Console(&'static str),
    Code(&'static str),
}

/// Where the ramdisk is built from.
#[derive(Debug, Clone)]
pub struct Parts {
    pub agent: PathBuf,
    /// `/lib/modules/RELEASE` of the netboot artefacts' kernel.
    pub modules: PathBuf,
    pub netboot: Netboot,
    pub image: Image,
}

/// The stage before the power button is pressed.
#[derive(Debug)]
pub struct Locked {
    broken: Option<Link>,
    owner: SecretKey,
    secret: String,
    image: Image,
    target: DiskFile,
    before: String,
    pub controller: Controller,
    spec: MachineSpec,
    /// For whom a secret is sealed that this machine must not open.
    other: Public,
}

/// What whoever watches is told while the machine runs.
#[derive(Debug)]
pub enum Word<'a> {
    Note(&'a str),
    /// The machine has proven what it has booted, and has its token.
    Attested,
    /// Of the agent.
    Event(&'a Event),
    Receipt(&'a Receipt),
}

/// What was seen.
#[derive(Debug)]
pub struct Seen {
    pub receipt: Option<Receipt>,
    pub console: String,
    /// What the broken link led to.
    pub sign: Option<String>,
}

/// What is put into the ramdisk.
struct Site {
    owner: PublicKey,
    /// The controller's, PEM.
    ca: String,
    url: String,
    join: String,
}

fn failed(what: impl std::fmt::Display) -> DeployError {
    DeployError::NotProven(what.to_string())
}

impl Locked {
    /// `tell` hears what is being made.
    pub fn build(dir: &Path, parts: &Parts, broken: Option<Link>, tell: &dyn Fn(&str)) -> Result<Self, DeployError> {
        let (owner, _) = SecretKey::generate().map_err(failed)?;
        let pki = Pki::new(HOST_FROM_GUEST).map_err(failed)?;
        let listen = super::scene::free_port().map_err(failed)?;
        let url = format!("https://{HOST_FROM_GUEST}:{}", listen.port());
        let join = uuid::Uuid::new_v4().simple().to_string();

        tell("a signed kernel image, with policy, CA and controller inside");
        let enrolled = image::enrolled_key(dir)?;
        let site = Site { owner: owner.public(), ca: pki.ca.clone(), url, join: join.clone() };
        let made = |name: &str, key: &(PathBuf, PathBuf), more: &[(&str, &str)]| {
            image::build(&dir.join(name), parts, &site, key, more)
        };
        let manifest = made("right", &enrolled, &[])?;
        let medium = match broken {
            Some(Link::Kernel) => {
                made("foreign", &image::foreign_key(dir)?, &[])?;
                "foreign"
            }
            Some(Link::Ramdisk) => {
                made("other", &enrolled, &[("etc/motd", "not what was built\n")])?;
                "other"
            }
            _ => "right",
        };
        let medium = image::boot_medium(dir, &dir.join(medium).join(UKI))?;

        tell("a machine with a TPM, whose endorsement key has a certificate");
        let maker = Maker::new(&dir.join("maker")).map_err(failed)?;
        let own = dir.join("tpm");
        maker.make(&own).map_err(failed)?;
        maker.make(&dir.join("another-tpm")).map_err(failed)?;
        let (endorsement, _) = keys(&own)?;
        let (of_another, other) = keys(&dir.join("another-tpm"))?;
        let known = if broken == Some(Link::Machine) { of_another } else { endorsement };

        let (root, between) = maker.certificates().map_err(failed)?;
        let programs =
            manifest.programs.iter().map(|program| digest(&program.authenticode)).collect::<Option<Vec<_>>>();
        let expected = Expected { images: vec![programs.unwrap_or_default()], ..Expected::default() };
        let machines = BTreeMap::from([(UUID.to_owned(), known)]);
        let demand = Demand { expected, authorities: vec![root], intermediates: vec![between], machines };
        let controller = start_controller_as(dir, &parts.netboot, &parts.image.dir, |options| {
            options.listen = listen;
            options.tls = Some(pki.server.clone());
            options.join_token = Some(Secret::new(join.clone()));
            options.attest = Some(demand);
        })?;

        let target = DiskFile::new(dir.join("nvme.raw"));
        Dirt::new(4 << 30, parts.image.size + 256 * MIB, 19).create(&target)?;
        let before = target.digest()?;
        let spec = MachineSpec::new(dir, Firmware::Uefi)
            .secure_boot(VARIABLES)
            .tpm()
            .memory_mib(1536)
            .identity(UUID, "LOCKED-1")
            .disk(Disk::new(Bus::Usb, &medium, "MEDIUM").read_only())
            .disk(Disk::new(Bus::Nvme, target.path(), "LOCKED-TARGET"))
            .nic(Nic::new(NicModel::Virtio, MAC))
            .boot(Boot::Disks);
        let secret = format!("sealed-{}", uuid::Uuid::new_v4().simple());
        let image = parts.image.clone();
        Ok(Self { broken, owner, secret, image, target, before, controller, spec, other })
    }

    /// Power on, up to the receipt, or to the sign of what is broken.
    pub fn run(&self, tell: &dyn Fn(Word<'_>)) -> Result<Seen, DeployError> {
        let seen = self.controller.subscribe();
        let machine = self.spec.start()?;
        let result = self.follow(&seen, &machine, tell);
        let console = machine.console().text();
        machine.cut_power();
        let (receipt, sign) = result.map_err(|error| {
            let tail: Vec<&str> = console.lines().rev().take(25).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            failed(format!("{error}; the console ends with:\n{}", tail.join("\n")))
        })?;
        Ok(Seen { receipt, console, sign })
    }

    fn follow(
        &self,
        seen: &Receiver<Observation>,
        machine: &Machine,
        tell: &dyn Fn(Word<'_>),
    ) -> Result<(Option<Receipt>, Option<String>), DeployError> {
        let (mut last, mut sign): (_, Option<(String, Instant)>) = (Instant::now(), None);
        loop {
            if let Some((text, at)) = &sign
                && at.elapsed() > AFTERWARDS
            {
                return Ok((None, Some(text.clone())));
            }
            if let (None, Some(Sign::Console(text))) = (&sign, self.broken.map(Link::sign))
                && let Some(line) = machine.console().text().lines().find(|line| line.contains(text))
            {
                tell(Word::Note(&format!("refused: {}", line.trim())));
                sign = Some((line.trim().to_owned(), Instant::now()));
            }
            let news = match seen.recv_timeout(Duration::from_secs(1)) {
                Ok(news) => news,
                Err(RecvTimeoutError::Timeout) if last.elapsed() < SILENCE => continue,
                Err(_) => return Err(failed("nothing happens any more")),
            };
            last = Instant::now();
            let problem = match news {
                Observation::Hello { hello, .. } => {
                    tell(Word::Attested);
                    self.controller.put_order(UUID, self.order(&hello)?).map_err(DeployError::Order)?;
                    tell(Word::Note("an order, with a secret sealed for this machine, signed for this boot"));
                    None
                }
                Observation::Event { event, .. } => {
                    tell(Word::Event(&event));
                    match event.kind() {
                        Some(Kind::OrderRefused(refused)) => Some(refused.problem),
                        _ => None,
                    }
                }
                Observation::Receipt { receipt, .. } => {
                    tell(Word::Receipt(&receipt));
                    match &receipt.problem {
                        None => return Ok((Some(*receipt), sign.map(|(text, _)| text))),
                        Some(problem) => Some(problem.clone()),
                    }
                }
                _ => None,
            };
            if let Some(Problem { code, message, .. }) = problem {
                let wanted = matches!(self.broken.map(Link::sign), Some(Sign::Code(wanted)) if wanted == code);
                if !wanted {
                    return Err(failed(format!("{message} [{code}]")));
                }
                tell(Word::Note(&format!("refused: {message} [{code}]")));
                sign.get_or_insert((code, Instant::now()));
            }
        }
    }

    /// As an operator makes it once the machine is known: sealed, then signed.
    fn order(&self, hello: &Hello) -> Result<Vec<u8>, DeployError> {
        let attestation = hello.attestation.as_ref().and_then(|attestation| attestation.sealing_key.as_ref());
        let key = attestation.and_then(|text| Public::parse(&STANDARD.decode(text).ok()?));
        let key = key.ok_or_else(|| failed("the hello has no sealing key"))?;
        let key = if self.broken == Some(Link::Sealed) { &self.other } else { &key };
        let id = "locked";
        let user_data = format!("#cloud-config\n# {}\n", self.secret);
        let sealed = seal(key, id.as_bytes(), user_data.as_bytes()).map_err(failed)?;
        let hours = if self.broken == Some(Link::Time) { -1 } else { 1 };
        let boot = match self.broken {
            Some(Link::Boot) => SecretKey::generate().map_err(failed)?.0.public().to_string(),
            _ => hello.key.clone().unwrap_or_default(),
        };
        let images = format!("{}/images", self.controller.public_url());
        let erase = if self.broken == Some(Link::Erase) { "zeros" } else { "secure-erase" };
        let mut order = OrderBuilder::new(id, "locked", &images, &self.image)
            .set("/layouts/0/disks/system/erase", json!(erase))
            .set("/valid", json!({ "machines": [UUID], "key": boot, "not_after": rfc3339(hours) }))
            .set("/seed/user_data", json!(format!("{SEALED}{}", STANDARD.encode(sealed))))
            .set("/policies/finish", json!("kexec"));
        if self.broken == Some(Link::Image) {
            order = order.set("/images/debian/digest", json!({}));
        }
        let stranger = SecretKey::generate().map_err(failed)?.0;
        let signer = if self.broken == Some(Link::Order) { &stranger } else { &self.owner };
        Ok(Envelope::sign(PAYLOAD_TYPE, order.json().as_bytes(), &[signer]).to_bytes())
    }

    /// Whether everything is as it should be; says what was proven, line by line.
    pub fn prove(&self, seen: &Seen) -> Result<Vec<String>, DeployError> {
        if let Some(link) = self.broken {
            if self.target.digest()? != self.before {
                return Err(failed(format!("with {link:?} broken, the disk was written to")));
            }
            return Ok(vec!["not a byte of the disk was written".to_owned()]);
        }
        let receipt = seen.receipt.as_ref().ok_or_else(|| failed("there is no receipt"))?;
        let machines = self.controller.machines();
        let view = machines.first().and_then(|machine| self.controller.machine(machine));
        let hello = view.and_then(|view| view.hello).ok_or_else(|| failed("nobody has said hello"))?;
        let key: PublicKey = hello.key.unwrap_or_default().parse().map_err(failed)?;
        let statement = verify(receipt, &[key]).map_err(failed)?;
        let inventory: hwinventory::Inventory = serde_json::from_value(hello.inventory).map_err(failed)?;
        let lockdown = inventory.kernel.data.lockdown.unwrap_or_default();
        if inventory.firmware.data.secure_boot != Some(true)
            || !matches!(lockdown.as_str(), "integrity" | "confidentiality")
        {
            return Err(failed(format!("Secure Boot or lockdown is off (lockdown: {lockdown:?})")));
        }
        let erased = receipt.changes.iter().find(|change| change.step == "erase-disk");
        let erased = erased.ok_or_else(|| failed("the receipt does not say that the disk was erased"))?;
        if receipt.order_signers != [self.owner.public().to_string()] {
            return Err(failed("the receipt does not say who has signed the order"));
        }
        // The installed kernel is signed by nobody that this firmware knows.
        let kexec = ["kexec.locked_down", "kexec.signature"].into_iter().find(|code| seen.console.contains(code));
        let kexec = kexec.ok_or_else(|| failed("kexec took a kernel that nobody has signed"))?;
        let needle = format!("#cloud-config\n# {}\n", self.secret);
        if self.target.find(needle.as_bytes(), 512, 0, self.target.size()?)?.is_none() {
            return Err(failed("the sealed secret did not reach the disk"));
        }
        if seen.console.contains(&self.secret) {
            return Err(failed("the console has told the secret"));
        }
        Ok(vec![
            format!("Secure Boot is on, the kernel is locked down ({lockdown}), and drivers were loaded all the same"),
            format!("the receipt is signed with the attested machine's key, for {} subjects", statement.subject.len()),
            format!("the disk was erased first, as the ramdisk wants it ({})", erased.detail["method"]),
            "the sealed secret is in the seed, and nowhere on the console".to_owned(),
            format!("a kernel that the firmware has no key for was not started past it [{kexec}]"),
        ])
    }
}

fn rfc3339(hours: i64) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let at = now.saturating_add_signed(hours * 3600);
    let output = Command::new("date").args(["-u", "-d", &format!("@{at}"), "+%Y-%m-%dT%H:%M:%SZ"]).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

/// The endorsement key's digest, and a key for whose holder can be sealed.
fn keys(state: &Path) -> Result<([u8; 32], Public), DeployError> {
    let running = Swtpm::start(state).map_err(failed)?;
    let mut tpm = running.tpm().map_err(failed)?;
    let endorsement = tpm.create_primary(ENDORSEMENT, &endorsement_key(false)).map_err(failed)?;
    let other = tpm.create_primary(OWNER, &storage_key()).map_err(failed)?;
    Ok((endorsement.public.digest(), other.public))
}
