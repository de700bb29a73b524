//! DNS queries and responses. No I/O.

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use std::net::IpAddr;

/// Fits every path without fragmentation (DNS flag day 2020).
const PAYLOAD: u16 = 1232;

/// A server's response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Addresses(Vec<IpAddr>),
    /// The name, or this record type, does not exist; with a description.
    No(String),
    /// To be repeated over TCP.
    Truncated,
}

/// The full names to try for a host, in the same order as the C library.
pub fn candidates(host: &str, search: &[String]) -> Vec<String> {
    if let Some(absolute) = host.strip_suffix('.') {
        return vec![absolute.to_owned()];
    }
    let long = search.iter().map(|domain| format!("{host}.{domain}"));
    if host.contains('.') {
        std::iter::once(host.to_owned()).chain(long).collect()
    } else {
        long.chain(std::iter::once(host.to_owned())).collect()
    }
}

/// `None` if the name is invalid.
pub fn question(id: u16, name: &str, ipv4: bool) -> Option<Vec<u8>> {
    let mut name = Name::from_ascii(name).ok()?;
    name.set_fqdn(true);
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name, if ipv4 { RecordType::A } else { RecordType::AAAA }));
    let mut edns = Edns::new();
    edns.set_max_payload(PAYLOAD);
    message.set_edns(edns);
    message.to_vec().ok()
}

/// `None` if it does not answer the query with this id.
pub fn answer(bytes: &[u8], id: u16) -> Option<Answer> {
    let message = Message::from_vec(bytes).ok()?;
    if message.metadata.id != id || message.metadata.message_type != MessageType::Response {
        return None;
    }
    if message.metadata.truncation {
        return Some(Answer::Truncated);
    }
    let addresses = message.answers.iter().filter_map(|record| match &record.data {
        RData::A(address) => Some(IpAddr::V4(address.0)),
        RData::AAAA(address) => Some(IpAddr::V6(address.0)),
        _ => None,
    });
    let addresses: Vec<IpAddr> = addresses.collect();
    Some(match message.metadata.response_code {
        ResponseCode::NoError if !addresses.is_empty() => Answer::Addresses(addresses),
        ResponseCode::NoError => Answer::No("no address".to_owned()),
        code => Answer::No(code.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reply(id: u16, code: u8, answers: &[[u8; 4]]) -> Vec<u8> {
        let mut bytes =
            [id.to_be_bytes(), [0x81, 0x80 | code], [0, 1], [0, answers.len() as u8], [0; 2], [0; 2]].concat();
        bytes.extend(b"\x01a\x07example\x00\x00\x01\x00\x01");
        for address in answers {
            bytes.extend([0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4]);
            bytes.extend(address);
        }
        bytes
    }

    #[test]
    fn answers_are_read() {
        assert_eq!(answer(&reply(7, 0, &[[10, 0, 0, 1]]), 7), Some(Answer::Addresses(vec![[10, 0, 0, 1].into()])));
        assert_eq!(answer(&reply(7, 0, &[[10, 0, 0, 1]]), 8), None, "another question's");
        assert!(matches!(answer(&reply(7, 3, &[]), 7), Some(Answer::No(_))));
        assert!(matches!(answer(&reply(7, 0, &[]), 7), Some(Answer::No(_))));
        let mut cut = reply(7, 0, &[]);
        cut[2] |= 2;
        assert_eq!(answer(&cut, 7), Some(Answer::Truncated));
        let asked = question(7, "a.example", false).unwrap();
        assert_eq!(answer(&asked, 7), None, "a question is no answer");
        assert_eq!(question(7, "a..b", true), None);
    }

    #[test]
    fn short_names_are_looked_for_in_domains_first() {
        let search = ["x.example".to_owned(), "y.example".to_owned()];
        assert_eq!(candidates("ctl", &search), ["ctl.x.example", "ctl.y.example", "ctl"]);
        assert_eq!(candidates("ctl.z", &search), ["ctl.z", "ctl.z.x.example", "ctl.z.y.example"]);
        assert_eq!(candidates("ctl.", &search), ["ctl"]);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = answer(&bytes, 7);
            let _ = answer(&[&reply(7, 0, &[]), bytes.as_slice()].concat(), 7);
        }

        #[test]
        fn no_name_panics(name in ".{0,300}") {
            let _ = question(1, &name, true);
        }
    }
}
