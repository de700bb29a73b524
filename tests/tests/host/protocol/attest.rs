//! Machines that must prove with a TPM (swtpm) what they have booted.

use crate::support::*;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use burin::attest::{Chip, open};
use burin::calls::ControllerError;
use burin::dialect::native::Session;
use burin::error::Coded;
use burin::protocol::attestation::SEALED;
use burin::protocol::order::parse_bytes;
use burin::protocol::{AttestReply, Attestation, Hello, Order};
use burin_sign::SecretKey;
use burin_tests::controller::Demand;
use burin_tests::swtpm::{Maker, SocketTransport, Swtpm, measured_boot};
use burin_tpm::{
    Auth, ENDORSEMENT, Expected, OWNER, PcrSelection, Public, SEALING, Tpm, Transport, attestation_key, policy_pcr,
    seal, sealed_data, sealing_key, storage_key,
};
use serde_json::json;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

const OURS: [u8; 32] = [0x0b; 32];
const KERNEL: [u8; 32] = [0x4b; 32];
const EVIL: [u8; 32] = [0x66; 32];

/// A machine with a TPM that has booted something.
struct Machine {
    tpm: Swtpm,
    directory: tempfile::TempDir,
}

impl Machine {
    fn new(maker: &Maker, programs: &[[u8; 32]]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        maker.make(&state).unwrap();
        let tpm = Swtpm::start(&state).unwrap();
        let machine = Self { tpm, directory };
        let log = measured_boot(&mut machine.talk(), programs).unwrap();
        machine.log(&log);
        machine
    }

    fn talk(&self) -> Tpm<SocketTransport> {
        self.tpm.tpm().unwrap()
    }

    fn log_path(&self) -> std::path::PathBuf {
        self.directory.path().join("sys/kernel/security/tpm0/binary_bios_measurements")
    }

    fn log(&self, log: &[u8]) {
        std::fs::create_dir_all(self.log_path().parent().unwrap()).unwrap();
        std::fs::write(self.log_path(), log).unwrap();
    }

    fn chip(&self) -> Chip {
        let socket = self.tpm.socket().to_owned();
        let open = move || {
            let mut line = SocketTransport::to(&socket)?;
            Ok::<burin::attest::Line, std::io::Error>(Box::new(move |command| line.exchange(command)))
        };
        Chip::new(Arc::new(open), self.directory.path())
    }

    fn endorsement(&self) -> [u8; 32] {
        let request = self.chip().introduce().unwrap();
        Public::parse(&STANDARD.decode(request.endorsement).unwrap()).unwrap().digest()
    }
}

fn maker(directory: &Path) -> Option<Maker> {
    has("swtpm_setup").then(|| Maker::new(directory).unwrap())
}

fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    if !found {
        burin_skip::skip!("{program} is not installed");
    }
    found
}

/// A controller that trusts this manufacturer, and accepts only these programs.
fn demanding(makers: &Path, change: impl FnOnce(&mut Demand)) -> Bench {
    // The manufacturer's certificates exist once it has made a TPM.
    let maker = Maker::new(makers).unwrap();
    let (root, between) = maker.certificates().unwrap();
    let expected = Expected { images: vec![vec![OURS, KERNEL]], ..Expected::default() };
    let mut demand = Demand { expected, authorities: vec![root], intermediates: vec![between], ..Demand::default() };
    change(&mut demand);
    Bench::new(|options| options.attest = Some(demand))
}

fn agent(bench: &Bench, chip: Option<Chip>, key: &Arc<SecretKey>) -> Agent {
    let mut agent = bench.agent("boot-1").impatient();
    agent.options.key = Some(key.clone());
    agent.options.chip = chip;
    agent.hello.key = Some(key.public().to_string());
    agent
}

/// The code of the refusal, or `None` if there is a session.
fn refused(agent: Agent) -> Option<String> {
    match Session::connect(agent.options.clone(), agent.hello.clone(), &agent.emitter) {
        Ok(_) => None,
        Err(ControllerError::GaveUp { source, .. }) => match *source {
            ControllerError::Status { problem, .. } => Some(problem.unwrap().code),
            other => Some(other.code().to_owned()),
        },
        Err(other) => panic!("{other:?}"),
    }
}

fn key() -> Arc<SecretKey> {
    Arc::new(SecretKey::generate().unwrap().0)
}

fn is(code: &str) -> Option<String> {
    Some(code.to_owned())
}

/// The machine's answer to a challenge by this controller, outside of any session.
fn attestation(bench: &Bench, machine: &Machine, key: &SecretKey) -> Attestation {
    let request = machine.chip().introduce().unwrap();
    let mut reply = ureq::post(format!("{}/v1/attestation", bench.controller().url())).send_json(&request).unwrap();
    let reply: AttestReply = reply.body_mut().read_json().unwrap();
    machine.chip().answer(&reply, &key.public().to_string()).unwrap()
}

#[test]
fn only_a_machine_that_has_booted_what_it_should_gets_a_token() {
    let makers = tempfile::tempdir().unwrap();
    let Some(maker) = maker(makers.path()) else { return };
    let machine = Machine::new(&maker, &[OURS, KERNEL]);
    let bench = demanding(makers.path(), |_| {});
    let ours = key();
    assert_eq!(refused(agent(&bench, None, &ours)), is("tpm.none"));
    assert_eq!(refused(agent(&bench, Some(machine.chip()), &ours)), None);
    let known = bench.view().hello.unwrap().attestation.unwrap();
    assert!(known.sealing_key.is_some());
    // Again, with another challenge: when its token is no longer known, the agent sends a new hello.
    assert_eq!(refused(agent(&bench, Some(machine.chip()), &ours)), None);

    // The earlier answer, replayed.
    let mut replayed = agent(&bench, None, &ours);
    replayed.hello.attestation = Some(known);
    assert_eq!(refused(replayed), is("tpm.none"), "a challenge is answered once");
    // A man in the middle who presents the machine's quote with his own key.
    let theirs = key();
    let mut between = agent(&bench, None, &theirs);
    between.hello.attestation = Some(attestation(&bench, &machine, &ours));
    assert_eq!(refused(between), is("attest.nonce"));
    let mut changed = agent(&bench, None, &ours);
    let mut quote = attestation(&bench, &machine, &ours);
    quote.registers.insert(7, "00".repeat(32));
    changed.hello.attestation = Some(quote);
    assert_eq!(refused(changed), is("attest.registers"));
    let mut changed = agent(&bench, None, &ours);
    let mut quote = attestation(&bench, &machine, &ours);
    quote.quote = quote.quote.replacen('A', "B", 1);
    changed.hello.attestation = Some(quote);
    assert_eq!(refused(changed), is("attest.signature"));

    // No log, a log without what was started, a log of another boot.
    let log = std::fs::read(machine.log_path()).unwrap();
    std::fs::remove_file(machine.log_path()).unwrap();
    assert_eq!(refused(agent(&bench, Some(machine.chip()), &ours)), is("attest.no_log"));
    machine.log(&log[..log.len() - 50]);
    assert_eq!(refused(agent(&bench, Some(machine.chip()), &ours)), is("attest.forged_log"));
    machine.log(&log);
    machine.talk().pcr_extend(4, &EVIL).unwrap();
    assert_eq!(refused(agent(&bench, Some(machine.chip()), &ours)), is("attest.forged_log"), "another register");

    // Under Secure Boot systemd's stub starts its kernel without asking the firmware.
    let vouched = Machine::new(&maker, &[OURS]);
    assert_eq!(refused(agent(&demanding(makers.path(), |_| {}), Some(vouched.chip()), &ours)), None);
    let before = Machine::new(&maker, &[EVIL, OURS]);
    assert_eq!(refused(agent(&bench, Some(before.chip()), &ours)), is("attest.program"));

    let other = Machine::new(&maker, &[OURS, EVIL]);
    assert_eq!(refused(agent(&bench, Some(other.chip()), &ours)), is("attest.program"));
    // Only the kernel, with another ramdisk; and another program that the log does not list as one.
    let kernel = Machine::new(&maker, &[KERNEL]);
    assert_eq!(refused(agent(&bench, Some(kernel.chip()), &ours)), is("attest.program"));
    let hidden = Machine::new(&maker, &[EVIL, OURS, KERNEL]);
    let mut log = std::fs::read(hidden.log_path()).unwrap();
    let at = log.windows(32).position(|bytes| bytes == EVIL).unwrap();
    log[at - 10..at - 6].copy_from_slice(&0x8000_0007u32.to_le_bytes());
    hidden.log(&log);
    assert_eq!(refused(agent(&bench, Some(hidden.chip()), &ours)), is("attest.program"));
    // Input that the image received from outside.
    let outside = Machine::new(&maker, &[OURS, KERNEL]);
    outside.talk().pcr_extend(12, &EVIL).unwrap();
    assert_eq!(refused(agent(&bench, Some(outside.chip()), &ours)), is("attest.register"));
    let nothing = Machine::new(&maker, &[]);
    assert_eq!(refused(agent(&bench, Some(nothing.chip()), &ours)), is("attest.program"));
}

#[test]
fn another_machine_is_not_this_one_and_another_maker_is_nobody() {
    let (makers, others) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let Some(maker) = maker(makers.path()) else { return };
    let (ours, second) = (Machine::new(&maker, &[OURS, KERNEL]), Machine::new(&maker, &[OURS, KERNEL]));
    let foreign = Machine::new(&Maker::new(others.path()).unwrap(), &[OURS, KERNEL]);
    let key = key();
    let bench = demanding(makers.path(), |_| {});
    assert_eq!(refused(agent(&bench, Some(foreign.chip()), &key)), is("attest.certificate"));

    let endorsement = ours.endorsement();
    let bench = demanding(makers.path(), |demand| demand.machines = [(MACHINE.to_owned(), endorsement)].into());
    assert_eq!(refused(agent(&bench, Some(second.chip()), &key)), is("attest.other_machine"));
    assert_eq!(refused(agent(&bench, Some(ours.chip()), &key)), None);
    // Its own name, together with another machine's.
    let of_second = second.endorsement();
    let both = demanding(makers.path(), |demand| {
        demand.machines = [(MACHINE.to_owned(), endorsement), ("S-2".to_owned(), of_second)].into();
    });
    // In another spelling it finds that machine's orders all the same.
    for name in ["S-2", "s-2", " S/2"] {
        let mut posing = agent(&both, Some(ours.chip()), &key);
        posing.hello.identity.serial = Some(name.to_owned());
        assert_eq!(refused(posing), is("attest.other_machine"), "{name}");
    }

    // A known key needs no certificate; registers may be required to have their current values.
    let (known, values) = (foreign.endorsement(), ours.talk().pcr_read(PcrSelection::of(&[7])).unwrap());
    let register = |value: [u8; 32]| {
        demanding(makers.path(), |demand| {
            demand.machines.insert(MACHINE.to_owned(), known);
            demand.expected = Expected { registers: [(7, value)].into(), ..Expected::default() };
        })
    };
    assert_eq!(refused(agent(&register(values.0[&7]), Some(foreign.chip()), &key)), None);
    assert_eq!(refused(agent(&register(EVIL), Some(foreign.chip()), &key)), is("attest.register"));
}

fn sealing_key_of(hello: &Hello) -> Public {
    let text = hello.attestation.as_ref().unwrap().sealing_key.as_ref().unwrap();
    Public::parse(&STANDARD.decode(text).unwrap()).unwrap()
}

fn order(id: &str, sealed: &[u8]) -> Order {
    let password = format!("{SEALED}{}", STANDARD.encode(sealed));
    let order = json!({"version": "order/v1", "id": id, "attributes": {"password": password}, "layouts": []});
    parse_bytes(order.to_string().as_bytes()).unwrap()
}

#[test]
fn what_is_sealed_opens_on_this_machine_as_it_was_attested_and_nowhere_else() {
    let makers = tempfile::tempdir().unwrap();
    let Some(maker) = maker(makers.path()) else { return };
    let (machine, second) = (Machine::new(&maker, &[OURS, KERNEL]), Machine::new(&maker, &[OURS, KERNEL]));
    let bench = demanding(makers.path(), |_| {});
    assert_eq!(refused(agent(&bench, Some(machine.chip()), &key())), None);
    let hello = bench.view().hello.unwrap();

    let key = sealing_key_of(&hello);
    let secret = seal(&key, b"web-17", b"s3cret").unwrap();
    let sealed = order("web-17", &secret);
    assert_eq!(open(&machine.chip(), &sealed, false).unwrap_err().code(), "sealed.unsigned");
    let opened = open(&machine.chip(), &sealed, true).unwrap();
    assert_eq!(opened.order().attributes["password"], json!("s3cret"));
    assert!(opened.order().attributes["burin-salt"].as_str().unwrap().len() == 64, "no digest is to be guessed by");
    assert!(!format!("{sealed:?}").contains("s3cret"));

    let code = |machine: &Machine, order: &Order| open(&machine.chip(), order, true).unwrap_err().code();
    assert_eq!(code(&second, &sealed), "sealed.other", "another machine");
    assert_eq!(code(&machine, &order("web-18", &secret)), "sealed.other", "another order");
    let mut changed = secret.clone();
    *changed.last_mut().unwrap() ^= 1;
    assert_eq!(code(&machine, &order("web-17", &changed)), "sealed.other");
    assert_eq!(code(&machine, &order("web-17", b"short")), "sealed.malformed");

    // Another ramdisk: its registers give another key, and the TPM does not allow it to use the old one.
    let before = machine.talk().pcr_read(PcrSelection::of(&SEALING)).unwrap();
    machine.talk().pcr_extend(11, &EVIL).unwrap();
    assert_eq!(code(&machine, &sealed), "sealed.other");
    let mut tpm = machine.talk();
    let old = tpm.create_primary(ENDORSEMENT, &sealing_key(&policy_pcr(&before))).unwrap();
    assert_eq!(old.public, key, "the very key");
    let point = &secret[..65];
    let session = tpm.policy_session().unwrap();
    tpm.policy_pcr(session, PcrSelection::of(&SEALING)).unwrap();
    let refused = tpm.ecdh(old.handle, point, Auth::Policy(session)).unwrap_err();
    assert!(refused.is_other_state(), "{refused}");
    tpm.flush(session).unwrap();
    assert!(tpm.ecdh(old.handle, point, Auth::Empty).is_err(), "not with the empty password either");
}

/// Our implementation and tpm2-tools, on the same TPM.
#[test]
fn other_programs_say_the_same_of_a_tpm() {
    let makers = tempfile::tempdir().unwrap();
    let Some(maker) = maker(makers.path()) else { return };
    if !has("tpm2_checkquote") {
        return;
    }
    let machine = Machine::new(&maker, &[OURS, KERNEL]);
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let values = machine.talk().pcr_read(PcrSelection::of(&(0..24).collect::<Vec<_>>())).unwrap();
    assert_eq!(values.0.len(), 24);
    let tcti = format!("swtpm:path={}", machine.tpm.socket().display());
    let read = Command::new("tpm2_pcrread").args(["-T", &tcti, "sha256:0,4,23"]).output().unwrap();
    let text = String::from_utf8_lossy(&read.stdout).to_lowercase();
    for number in [0, 4, 23] {
        assert!(text.contains(&burin::protocol::hex(values.0[&number])), "{text} {read:?}");
    }

    let mut tpm = machine.talk();
    let key = tpm.create_primary(ENDORSEMENT, &attestation_key()).unwrap();
    assert_eq!(tpm.read_public(key.handle).unwrap(), key.public);
    let (nonce, selection) = ([0xa5; 32], PcrSelection::of(&[0, 4, 7]));
    let quote = tpm.quote(key.handle, &nonce, &selection).unwrap();
    quote.verify(&key.public).unwrap().check(&nonce, &values.of(selection).unwrap()).unwrap();
    std::fs::write(at("message"), &quote.attest).unwrap();
    std::fs::write(at("signature"), &quote.signature).unwrap();
    // TPM2B_PUBLIC.
    let public = key.public.to_bytes();
    std::fs::write(at("key"), [&(public.len() as u16).to_be_bytes()[..], &public].concat()).unwrap();
    let mut check = Command::new("tpm2_checkquote");
    check.arg("-u").arg(at("key")).arg("-m").arg(at("message")).arg("-s").arg(at("signature"));
    let nonce_of = |nonce: &[u8]| burin::protocol::hex(nonce);
    let checked = check.args(["-g", "sha256", "-q", &nonce_of(&nonce)]).output().unwrap();
    assert!(checked.status.success(), "{checked:?}");
    tpm.flush(key.handle).unwrap();

    // Data below a storage key, released only while the registers are unchanged: what unlocks disks.
    let parent = tpm.create_primary(OWNER, &storage_key()).unwrap();
    let policy = policy_pcr(&values.of(selection).unwrap());
    let created = tpm.create(parent.handle, &sealed_data(&policy), b"a key of a disk").unwrap();
    let loaded = tpm.load(parent.handle, &created).unwrap();
    let session = tpm.policy_session().unwrap();
    tpm.policy_pcr(session, selection).unwrap();
    assert_eq!(tpm.policy_digest(session).unwrap(), policy);
    assert_eq!(tpm.unseal(loaded.handle, Auth::Policy(session)).unwrap().as_slice(), b"a key of a disk");
    tpm.flush(session).unwrap();
    assert!(tpm.unseal(loaded.handle, Auth::Empty).is_err());
    tpm.pcr_extend(7, &EVIL).unwrap();
    let session = tpm.policy_session().unwrap();
    tpm.policy_pcr(session, selection).unwrap();
    assert!(tpm.unseal(loaded.handle, Auth::Policy(session)).unwrap_err().is_other_state());
    assert_eq!(tpm.nv_read(0x01c0_00aa).unwrap(), None);
}
