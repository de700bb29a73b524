//! Whom the agent trusts: CA files, fingerprints, and clocks that are years off; and who trusts the agent.

use crate::support::*;
use burin::api;
use burin::calls::ControllerError;
use burin::control::ControlFlag;
use burin::dialect::native::Session;
use burin::error::Coded;
use burin::http;
use burin::http::{Ca, Clock, Timeouts};
use burin::http::{Trust, TrustFiles};
use burin::protocol::{Order, Plan, Problem, Secret};
use burin::report::{Emitter, SpoolLimits};
use burin_tests::controller::Tls;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

struct Pki {
    ca: String,
    issuer: Issuer<'static, KeyPair>,
    tls: Tls,
    fingerprint: [u8; 32],
}

impl Pki {
    /// PEM of a certificate issued by this CA, and of its key.
    fn leaf(&self, name: &str, from: i32, to: i32) -> (String, String) {
        let (certificate, key) = leaf(&self.issuer, name, from, to);
        (certificate.pem(), key.serialize_pem())
    }
}

fn leaf(issuer: &Issuer<'static, KeyPair>, name: &str, from: i32, to: i32) -> (rcgen::Certificate, KeyPair) {
    let mut leaf = CertificateParams::new(vec![name.to_owned()]).unwrap();
    (leaf.not_before, leaf.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(to, 1, 1));
    let key = KeyPair::generate().unwrap();
    (leaf.signed_by(&key, issuer).unwrap(), key)
}

/// A CA and a server certificate for 127.0.0.1, valid from the start of one year to the start of another.
fn pki(from: i32, to: i32) -> Pki {
    let mut root = CertificateParams::new(vec![]).unwrap();
    root.distinguished_name.push(DnType::CommonName, "burin test CA");
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let ca = root.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(root, key);
    let (certificate, key) = leaf(&issuer, "127.0.0.1", from, to);
    let fingerprint = Sha256::digest(certificate.der()).into();
    Pki { ca, issuer, tls: Tls { certificates: certificate.pem(), key: key.serialize_pem() }, fingerprint }
}

#[derive(Debug)]
struct Year(i32);

impl TimeProvider for Year {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = date_time_ymd(self.0, 6, 1).unix_timestamp();
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds.try_into().ok()?)))
    }
}

struct Served {
    bench: Bench,
    ca: Ca,
    pki: Pki,
}

fn serve(from: i32, to: i32) -> Served {
    let pki = pki(from, to);
    let bench = Bench::new(|options| options.tls = Some(pki.tls.clone()));
    let path = bench.directory.path().join("ca.pem");
    std::fs::write(&path, &pki.ca).unwrap();
    Served { bench, ca: Ca::File(path), pki }
}

impl Served {
    fn connect(&self, trust: Trust) -> Result<Session, ControllerError> {
        let mut agent = self.bench.agent("boot-1").impatient();
        agent.options.trust = trust;
        Session::connect(agent.options, agent.hello, &agent.emitter).map_err(|error| match error {
            ControllerError::GaveUp { source, .. } => *source,
            other => other,
        })
    }

    fn trust(&self, ca: Option<&Ca>) -> Trust {
        Trust::controller(ca, &TrustFiles::below(self.bench.directory.path()), Clock::trusted()).unwrap()
    }

    fn in_year(&self, year: i32, clock: Clock) -> Trust {
        Trust::with_time(&self.ca, clock, Arc::new(Year(year))).unwrap()
    }
}

#[test]
fn a_ca_file_is_believed_and_an_unknown_ca_is_not() {
    let served = serve(2020, 2090);
    assert!(served.bench.controller().url().starts_with("https://"));
    let session = served.connect(served.trust(Some(&served.ca))).unwrap();
    assert_eq!(session.machine(), MACHINE);
    assert_eq!(served.connect(served.trust(None)).unwrap_err().code(), "controller.tls");
    let other = serve(2020, 2090);
    let error = served.connect(other.trust(Some(&other.ca))).unwrap_err();
    assert_eq!(error.code(), "controller.tls");
    assert!(error.hint().unwrap().contains("burin.ca"));
}

#[test]
fn the_sites_ca_file_counts_where_the_command_line_says_nothing() {
    let served = serve(2020, 2090);
    let etc = served.bench.directory.path().join("etc/burin");
    std::fs::create_dir_all(&etc).unwrap();
    std::fs::write(etc.join("ca.pem"), &served.pki.ca).unwrap();
    assert!(served.connect(served.trust(None)).is_ok());
    let wrong = Ca::Fingerprint([7; 32]);
    assert!(served.connect(served.trust(Some(&wrong))).is_err(), "a pin is instead of, not besides");
}

#[test]
fn a_pinned_fingerprint_is_that_certificate_and_no_other() {
    let served = serve(2020, 2021);
    assert!(served.connect(served.trust(Some(&Ca::Fingerprint(served.pki.fingerprint)))).is_ok());
    let error = served.connect(served.trust(Some(&Ca::Fingerprint([0; 32])))).unwrap_err();
    let ControllerError::Untrusted { source, .. } = &error else { panic!("{error:?}") };
    let shown: String = served.pki.fingerprint.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(source.to_string().contains(&shown), "{source}");
}

#[test]
fn an_expired_certificate_is_refused_where_the_clock_is_believed() {
    let served = serve(2026, 2027);
    assert!(served.connect(served.in_year(2026, Clock::trusted())).is_ok());
    assert_eq!(served.connect(served.in_year(2030, Clock::trusted())).unwrap_err().code(), "controller.tls");
    assert_eq!(served.connect(served.in_year(1970, Clock::trusted())).unwrap_err().code(), "controller.tls");
}

/// When the agent in these tests was built.
fn built() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600)
}

#[test]
fn a_clock_in_1970_or_2099_speaks_tls_and_learns_the_time() {
    let served = serve(2026, 2027);
    for year in [1970, 2099] {
        let clock = Clock::untrusted(built(), |_| true);
        let trust = served.in_year(year, clock.clone());
        assert!(served.connect(trust.clone()).is_ok(), "{year}");
        assert!(clock.is_trusted(), "the reply's Date told the time");
        // From then on validity periods apply; the real clock was never set.
        assert_eq!(served.connect(trust).unwrap_err().code(), "controller.tls", "{year}");
    }
    // A wrong clock is no reason to trust a stranger.
    let other = serve(2026, 2027);
    let error = served.connect(other.in_year(1970, Clock::untrusted(built(), |_| true))).unwrap_err();
    assert_eq!(error.code(), "controller.tls");
}

#[test]
fn the_whole_story_over_tls() {
    let served = serve(2020, 2090);
    let mut agent = served.bench.agent("boot-1");
    agent.options.trust = served.trust(Some(&served.ca));
    let session = agent.connect();
    (0..300).for_each(|at| agent.emitter.emit(progress(at)));
    agent.emitter.emit(finished("write"));
    session.post_receipt(&receipt_for("o1", 1, "boot-1"), PATIENCE).unwrap();
    assert_eq!(served.bench.stages(), ["write"]);
    assert_eq!(served.bench.view().boots["boot-1"].acked, 301);
}

#[test]
fn a_client_that_speaks_http_to_a_tls_server_gets_an_error() {
    let served = serve(2020, 2090);
    let mut agent = served.bench.agent("boot-1").impatient();
    agent.options.url = agent.options.url.replace("https://", "http://");
    assert!(Session::connect(agent.options, agent.hello, &agent.emitter).is_err());
}

/// The trust of a machine whose ramdisk has this certificate and key; the server's certificate is pinned.
fn showing(pki: &Pki, own: Option<(String, String)>) -> Trust {
    trust_with(Ca::Fingerprint(pki.fingerprint), own)
}

fn trust_with(ca: Ca, own: Option<(String, String)>) -> Trust {
    let root = tempfile::tempdir().unwrap();
    let files = TrustFiles::below(root.path());
    if let Some((certificate, key)) = own {
        std::fs::create_dir_all(root.path().join("etc/burin")).unwrap();
        std::fs::write(&files.client, certificate).unwrap();
        std::fs::write(&files.client_key, key).unwrap();
    }
    Trust::controller(Some(&ca), &files, Clock::trusted()).unwrap()
}

#[test]
fn a_controller_may_ask_for_the_machines_certificate() {
    let (server, machines, others) = (pki(2020, 2090), pki(2020, 2090), pki(2020, 2090));
    let bench = Bench::new(|options| {
        options.tls = Some(server.tls.clone());
        options.client_ca = Some(machines.ca.clone());
    });
    let served = Served { bench, ca: Ca::Fingerprint(server.fingerprint), pki: server };
    let connect = |own| served.connect(showing(&served.pki, own));
    let known = connect(Some(machines.leaf("machine", 2020, 2090)));
    assert_eq!(known.unwrap().machine(), MACHINE);
    let strangers = [
        ("none", None),
        ("of another CA", Some(others.leaf("machine", 2020, 2090))),
        ("expired", Some(machines.leaf("machine", 2020, 2021))),
        ("not valid yet", Some(machines.leaf("machine", 2080, 2090))),
    ];
    for (name, own) in strangers {
        let error = connect(own).unwrap_err();
        assert_eq!(error.code(), "controller.client_certificate", "{name}: {error:?}");
        assert!(error.hint().unwrap().contains("client.pem"), "{name}");
    }
    // A server that does not ask for a certificate: the one in the ramdisk does no harm.
    let open = serve(2020, 2090);
    assert!(open.connect(showing(&open.pki, Some(machines.leaf("machine", 2020, 2090)))).is_ok());
}

#[test]
fn the_agents_api_may_ask_for_the_callers_certificate() {
    let (callers, others) = (pki(2020, 2090), pki(2020, 2090));
    let directory = tempfile::tempdir().unwrap();
    let emitter = Emitter::open(None, "boot-1", "/", &[], SpoolLimits::default()).unwrap();
    let planner = Arc::new(|_: &Order| -> Result<Plan, Problem> { panic!("nobody plans here") });
    let log = api::LogRing::new(1000);
    let door = api::Door::new(hello_of("boot-1"), ControlFlag::default(), &emitter, log, planner);
    door.set_token(Secret::new("t0ps3cret-0123456"));
    let ca = directory.path().join("callers.pem");
    let local: std::net::IpAddr = [127, 0, 0, 1].into();
    let options = api::ApiOptions { listen: (local, 0).into(), addresses: vec![local], callers: Some(ca.clone()) };
    let start = || api::Server::start(&options, door.clone());
    assert_eq!(start().unwrap_err().code(), "api.callers_ca", "a file that is not there opens no door");
    std::fs::write(&ca, "no certificate").unwrap();
    assert_eq!(start().unwrap_err().code(), "api.callers_ca");
    std::fs::write(&ca, &callers.ca).unwrap();
    let server = start().unwrap();
    let call = |own| {
        let trust = trust_with(server.endpoint().fingerprint.parse().unwrap(), own);
        let request = http::agent(&trust, &Timeouts::CALLS).get(format!("{}/v1/status", server.endpoint().url));
        request.header("Authorization", "Bearer t0ps3cret-0123456").call().map(|response| response.status().as_u16())
    };
    assert_eq!(call(Some(callers.leaf("orchestrator", 2020, 2090))).unwrap(), 200);
    let strangers = [
        ("none", None),
        ("of another CA", Some(others.leaf("orchestrator", 2020, 2090))),
        ("expired", Some(callers.leaf("orchestrator", 2020, 2021))),
    ];
    for (name, own) in strangers {
        let error = call(own).unwrap_err();
        assert!(matches!(error, ureq::Error::Rustls(rustls::Error::AlertReceived(_))), "{name}: {error:?}");
    }
}
