//! Kernel notifications about link changes.

use super::{RECEIVE, refused};
use crate::net::NetError;
use netlink_sys::{Socket, protocols::NETLINK_ROUTE};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

const RTNLGRP_LINK: u32 = 1;

/// Wakes up when any link changes.
#[derive(Debug)]
pub struct Monitor(Socket);

impl Monitor {
    pub fn open() -> Result<Self, NetError> {
        let open = || {
            let mut socket = Socket::new(NETLINK_ROUTE)?;
            socket.bind_auto()?;
            socket.add_membership(RTNLGRP_LINK)?;
            socket.set_non_blocking(true)?;
            Ok(socket)
        };
        open().map(Self).map_err(refused("watch", "links"))
    }

    /// Returns after `limit` at the latest. The caller must list the links, because notifications can be lost.
    pub fn wait(&self, limit: Duration) {
        let timeout = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
        if !matches!(poll(&mut [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)], timeout), Ok(1..) | Err(Errno::EINTR))
        {
            return;
        }
        let mut buffer = Vec::with_capacity(RECEIVE);
        // An overrun is reported once as an error; then the queue continues.
        for _ in 0..1000 {
            buffer.clear();
            match self.0.recv(&mut buffer, 0) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                _ => {}
            }
        }
    }
}
