//! A site's own CA, and a server certificate that is valid for at most one year.

use crate::controller::Tls;
use rcgen::{BasicConstraints, CertificateParams, DnType, Error, IsCa, Issuer, KeyPair, date_time_ymd};
use std::time::SystemTime;

#[derive(Debug, Clone)]
pub struct Pki {
    /// The CA's certificate, PEM.
    pub ca: String,
    pub server: Tls,
}

impl Pki {
    /// A certificate for a DNS name or an IP address.
    pub fn new(name: &str) -> Result<Self, Error> {
        let mut root = CertificateParams::new(vec![])?;
        root.distinguished_name.push(DnType::CommonName, "burin test CA");
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate()?;
        let ca = root.self_signed(&key)?.pem();
        let issuer = Issuer::new(root, key);

        let mut leaf = CertificateParams::new(vec![name.to_owned()])?;
        let year = this_year();
        (leaf.not_before, leaf.not_after) = (date_time_ymd(year - 1, 7, 1), date_time_ymd(year + 1, 7, 1));
        let key = KeyPair::generate()?;
        let certificates = leaf.signed_by(&key, &issuer)?.pem();
        Ok(Self { ca, server: Tls { certificates, key: key.serialize_pem() } })
    }
}

/// The current Gregorian year. It may be wrong for some hours around New Year, which half a year of validity on either
/// side covers.
fn this_year() -> i32 {
    let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_secs());
    1970 + i32::try_from(seconds / 31_556_952).unwrap_or(0)
}
