//! The only place with `unsafe`: ioctls, netlink and raw sockets behind safe functions. Everything here only reads,
//! but for the one switch of a card's LLDP agent, which is asked for by name and put back.
#![allow(unsafe_code)]

mod ethtool;
mod genetlink;
mod ipmi;
mod lldp;
mod netlink;
mod nvme;
mod samples;
mod sg;
mod signatures;
mod tpm;

use crate::source::Query;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use std::io;
use std::os::fd::OwnedFd;

/// Asks the running machine.
pub(crate) fn answer(query: &Query) -> io::Result<Vec<u8>> {
    match query {
        Query::NvmeAdmin { device, opcode, namespace, cdw10, cdw11, length } => {
            nvme::admin(device, *opcode, *namespace, *cdw10, *cdw11, *length)
        }
        Query::Scsi { device, cdb, length } => sg::command(device, cdb, *length),
        Query::Signatures { device } => signatures::probe(device),
        Query::Samples { device } => samples::look(device),
        Query::Ethtool { interface, command, length } => ethtool::get(interface, *command, *length),
        Query::ModulePage { interface, upper, page, bank } => genetlink::module_page(interface, *upper, *page, *bank),
        Query::Links => netlink::links(),
        Query::Addresses => netlink::addresses(),
        Query::Lldp { interface, seconds, agent_off } => lldp::listen(interface, *seconds, *agent_off),
        Query::Ipmi { device, netfn, command, data } => ipmi::request(device, *netfn, *command, data),
        Query::Tpm { device, command } => tpm::command(device, command),
    }
}

/// Opens a device for asking. `O_NONBLOCK`: a drive without medium opens all the same.
fn open_device(path: &str) -> io::Result<OwnedFd> {
    Ok(open(path, OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC, Mode::empty())?)
}

/// The largest answer that is asked for.
const ANSWER_LIMIT: u32 = 64 << 10;

fn buffer(length: u32) -> Vec<u8> {
    vec![0; length.min(ANSWER_LIMIT) as usize]
}
