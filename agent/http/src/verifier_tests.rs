use super::*;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::RootCertStore;
use rustls::crypto::ring;

type Months = ((i32, u8), (i32, u8));

struct Made {
    der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

fn make(name: &str, ca: bool, valid: Months, by: Option<&Made>) -> Made {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.not_before = date_time_ymd(valid.0.0, valid.0.1, 1);
    params.not_after = date_time_ymd(valid.1.0, valid.1.1, 1);
    if ca {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    let key = KeyPair::generate().unwrap();
    let certificate = match by {
        None => params.self_signed(&key),
        Some(by) => params.signed_by(&key, &by.issuer),
    };
    Made { der: certificate.unwrap().der().clone(), issuer: Issuer::new(params, key) }
}

fn verifier(root: Option<&Made>, clock: Clock) -> Verifier {
    let provider = Arc::new(ring::default_provider());
    let chain = root.map(|root| {
        let mut roots = RootCertStore::empty();
        roots.add(root.der.clone()).unwrap();
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().unwrap()
    });
    Verifier { pins: vec![], own: vec![], chain, clock, provider }
}

fn at(year: i32, month: u8) -> UnixTime {
    let seconds = date_time_ymd(year, month, 1).unix_timestamp();
    UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds.try_into().unwrap()))
}

fn judge(verifier: &Verifier, leaf: &Made, others: &[&Made], name: &str, now: UnixTime) -> Result<(), Error> {
    let others: Vec<_> = others.iter().map(|made| made.der.clone()).collect();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    verifier.verify_server_cert(&leaf.der, &others, &name, &[], now).map(drop)
}

const CA: Months = ((2020, 1), (2040, 1));
const LEAF: Months = ((2026, 2), (2026, 5));
const CLOCKS: [(i32, u8); 4] = [(1970, 1), (2025, 6), (2026, 3), (2099, 1)];

fn untrusted() -> Clock {
    Clock::untrusted(system(2026, 1), |_| true)
}

fn system(year: i32, month: u8) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(at(year, month).as_secs())
}

#[test]
fn with_a_believed_clock_time_counts() {
    let ca = make("ca", true, CA, None);
    let leaf = make("host", false, LEAF, Some(&ca));
    let verifier = verifier(Some(&ca), Clock::trusted());
    assert_eq!(judge(&verifier, &leaf, &[], "host", at(2026, 3)), Ok(()));
    for (year, month) in [(1970, 1), (2026, 1), (2026, 6), (2099, 1)] {
        assert!(judge(&verifier, &leaf, &[], "host", at(year, month)).is_err(), "{year}-{month}");
    }
}

#[test]
fn with_a_wrong_clock_chain_and_name_still_count() {
    let ca = make("ca", true, CA, None);
    let leaf = make("host", false, LEAF, Some(&ca));
    let stranger = make("ca", true, CA, None);
    let foreign = make("host", false, LEAF, Some(&stranger));
    let verifier = verifier(Some(&ca), untrusted());
    for (year, month) in CLOCKS {
        let now = at(year, month);
        assert_eq!(judge(&verifier, &leaf, &[], "host", now), Ok(()), "{year}-{month}");
        assert!(judge(&verifier, &leaf, &[], "other", now).is_err(), "{year}-{month}");
        assert!(judge(&verifier, &foreign, &[], "host", now).is_err(), "{year}-{month}");
    }
    verifier.clock.observe("Sun, 01 Mar 2026 00:00:00 GMT", UNIX_EPOCH);
    assert!(verifier.clock.is_trusted());
    assert!(judge(&verifier, &leaf, &[], "host", at(2099, 1)).is_err());
}

#[test]
fn what_ended_before_this_program_was_written_is_never_accepted() {
    let ca = make("ca", true, CA, None);
    let old = make("host", false, ((2023, 1), (2025, 12)), Some(&ca));
    let verifier = verifier(Some(&ca), untrusted());
    for (year, month) in CLOCKS.into_iter().chain([(2024, 1)]) {
        assert!(judge(&verifier, &old, &[], "host", at(year, month)).is_err(), "{year}-{month}");
    }
}

#[test]
fn a_chain_without_a_common_moment_is_refused() {
    let ca = make("ca", true, CA, None);
    let middle = make("middle", true, ((2026, 2), (2026, 4)), Some(&ca));
    let late = make("host", false, ((2027, 1), (2027, 5)), Some(&middle));
    let fitting = make("host", false, ((2026, 3), (2027, 5)), Some(&middle));
    let verifier = verifier(Some(&ca), untrusted());
    for (year, month) in CLOCKS {
        assert!(judge(&verifier, &late, &[&middle], "host", at(year, month)).is_err(), "{year}-{month}");
        assert_eq!(judge(&verifier, &fitting, &[&middle], "host", at(year, month)), Ok(()), "{year}-{month}");
    }
}

#[test]
fn a_pin_is_all_or_nothing() {
    let pinned = make("whoever", false, ((2020, 1), (2021, 1)), None);
    let other = make("whoever", false, LEAF, None);
    let mut verifier = verifier(None, Clock::trusted());
    verifier.pins.push(fingerprint(&pinned.der));
    assert_eq!(judge(&verifier, &pinned, &[], "any.name", at(2026, 3)), Ok(()));
    let error = judge(&verifier, &other, &[], "whoever", at(2026, 3)).unwrap_err().to_string();
    assert!(error.contains(&hex(fingerprint(&other.der))), "{error}");
}

#[test]
fn a_self_signed_server_is_its_own_ca_file() {
    // As made by `openssl req -x509`: a CA used as a server certificate; webpki accepts no CA as a server.
    let server = make("host", true, LEAF, None);
    let mut verifier = verifier(Some(&server), Clock::trusted());
    assert!(judge(&verifier, &server, &[], "host", at(2026, 3)).is_err());
    verifier.own.push(server.der.clone());
    assert_eq!(judge(&verifier, &server, &[], "host", at(2026, 3)), Ok(()));
    assert!(judge(&verifier, &server, &[], "other", at(2026, 3)).is_err());
}

#[test]
fn what_ended_by_a_plausible_clock_is_refused_though_nobody_has_confirmed_it() {
    let ca = make("ca", true, CA, None);
    let leaf = make("host", false, LEAF, Some(&ca));
    let verifier = verifier(Some(&ca), untrusted());
    assert!(judge(&verifier, &leaf, &[], "host", at(2026, 6)).is_err());
    assert_eq!(judge(&verifier, &leaf, &[], "host", at(2026, 1)), Ok(()), "not yet valid by a clock that may be slow");
}

#[test]
fn where_time_server_and_controller_disagree_a_certificate_must_be_valid_by_both() {
    let ca = make("ca", true, CA, None);
    let stolen = make("host", false, LEAF, Some(&ca));
    let good = make("host", false, ((2026, 2), (2027, 5)), Some(&ca));
    let clock = Clock::by_time_server(system(2026, 1), |_| {});
    let verifier = verifier(Some(&ca), clock.clone());
    let turned_back = at(2026, 3);
    assert_eq!(judge(&verifier, &stolen, &[], "host", turned_back), Ok(()));
    clock.observe("Sun, 01 Nov 2026 00:00:00 GMT", system(2026, 3));
    assert!(judge(&verifier, &stolen, &[], "host", turned_back).is_err());
    assert_eq!(judge(&verifier, &good, &[], "host", turned_back), Ok(()));
}
