//! Whom the agent believes: CA files, fingerprints, and clocks that are years off.

mod protocol_support;

use burin::controller::{Ca, Clock, ControllerError, Session, Trust, TrustFiles};
use burin::error::Coded;
use burin_tests::controller::Tls;
use protocol_support::*;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;

struct Pki {
    ca: String,
    tls: Tls,
    fingerprint: [u8; 32],
}

/// A CA and a server certificate for 127.0.0.1, valid from the start of the one year to that of the other.
fn pki(from: i32, to: i32) -> Pki {
    let mut root = CertificateParams::new(vec![]).unwrap();
    root.distinguished_name.push(DnType::CommonName, "burin test CA");
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let ca = root.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(root, key);
    let mut leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    (leaf.not_before, leaf.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(to, 1, 1));
    let key = KeyPair::generate().unwrap();
    let certificate = leaf.signed_by(&key, &issuer).unwrap();
    let fingerprint = Sha256::digest(certificate.der()).into();
    Pki { ca, tls: Tls { certificates: certificate.pem(), key: key.serialize_pem() }, fingerprint }
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

#[test]
fn a_clock_in_1970_or_2099_speaks_tls_and_learns_the_time() {
    let served = serve(2026, 2027);
    for year in [1970, 2099] {
        let clock = Clock::untrusted(|_| {});
        let trust = served.in_year(year, clock.clone());
        assert!(served.connect(trust.clone()).is_ok(), "{year}");
        assert!(clock.is_trusted(), "the reply's Date told the time");
        // From then on time counts again; this clock was never really set.
        assert_eq!(served.connect(trust).unwrap_err().code(), "controller.tls", "{year}");
    }
    // A wrong clock is no reason to believe a stranger.
    let other = serve(2026, 2027);
    let error = served.connect(other.in_year(1970, Clock::untrusted(|_| {}))).unwrap_err();
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
