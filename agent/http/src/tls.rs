//! A TLS connector for ureq that uses burin's own certificate verifier; ureq's connector accepts roots, but no
//! verifier.

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use std::fmt;
use std::io::{self, Read, Write};
use std::sync::Arc;
use ureq::Error;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport, TransportAdapter,
};

#[derive(Debug)]
pub struct TlsConnector {
    config: Arc<ClientConfig>,
}

impl TlsConnector {
    pub fn new(config: Arc<ClientConfig>) -> Self {
        Self { config }
    }
}

impl<In: Transport> Connector<In> for TlsConnector {
    type Out = Either<In, TlsTransport>;

    fn connect(&self, details: &ConnectionDetails, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        let Some(transport) = chained else { return Ok(None) };
        if !details.needs_tls() || transport.is_tls() {
            return Ok(Some(Either::A(transport)));
        }
        let host = details.uri.host().unwrap_or_default();
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let name = ServerName::try_from(bare.to_owned()).map_err(|_| Error::BadUri(details.uri.to_string()))?;
        let mut connection = ClientConnection::new(self.config.clone(), name).map_err(Error::Rustls)?;
        let mut socket = TransportAdapter::new(transport.boxed(), details.current_time.clone());
        socket.set_timeout(details.timeout);
        if let Err(error) = connection.complete_io(&mut socket) {
            return Err(reason(&mut connection, &mut socket, error));
        }
        let buffers = LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(Either::B(TlsTransport { buffers, stream: StreamOwned { conn: connection, sock: socket } })))
    }
}

/// rustls hides its errors in io errors; extracts them, so that callers can tell distrust from a broken connection.
fn unwrap(error: io::Error) -> Error {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(inner) => Error::Rustls(inner.clone()),
        None => error.into(),
    }
}

pub struct TlsTransport {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

/// A server that rejects a client's certificate sends an alert and closes the connection, possibly while the client is
/// still sending: then the server's alert is the reason, not the broken pipe.
fn reason(connection: &mut ClientConnection, socket: &mut TransportAdapter, error: io::Error) -> Error {
    let broken = match unwrap(error) {
        Error::Rustls(error) => return Error::Rustls(error),
        broken => broken,
    };
    // Reads what has arrived, without another attempt to write; the connection is over, so this ends.
    while matches!(connection.read_tls(socket), Ok(count) if count > 0) {
        if let Err(alert) = connection.process_new_packets() {
            return Error::Rustls(alert);
        }
    }
    broken
}

impl fmt::Debug for TlsTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsTransport")
    }
}

impl Transport for TlsTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.stream.get_mut().set_timeout(timeout);
        let output = self.buffers.output().get(..amount).unwrap_or_default();
        match self.stream.write_all(output) {
            Ok(()) => Ok(()),
            Err(error) => Err(reason(&mut self.stream.conn, &mut self.stream.sock, error)),
        }
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.stream.get_mut().set_timeout(timeout);
        // A failed write shows here too: rustls keeps unsent data for the next call.
        let amount = match self.stream.read(self.buffers.input_append_buf()) {
            Ok(amount) => amount,
            Err(error) => return Err(reason(&mut self.stream.conn, &mut self.stream.sock, error)),
        };
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.get_mut().get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}
