//! Sockets, TLS and limits of the agent's own API, on a thread of its own.

use super::certificate::self_signed;
use super::door::Door;
use super::error::ApiError;
use super::routes::router;
use super::seats::{Guest, Seats};
use crate::protocol::hello::ApiEndpoint;
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

/// Time limit for a TLS handshake, and for a request's header.
const HEADER_PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Clone)]
pub struct ApiOptions {
    /// Port 0 is an ephemeral port.
    pub listen: SocketAddr,
    /// This machine's addresses, for the certificate; hello names the first one.
    pub addresses: Vec<IpAddr>,
    /// PEM file of CAs: callers must present a certificate issued by one of them, besides the token.
    pub callers: Option<PathBuf>,
}

/// The agent's own API; serves until dropped.
#[derive(Debug)]
pub struct Server {
    endpoint: ApiEndpoint,
    listener: Listener,
}

impl Server {
    pub fn start(options: &ApiOptions, door: Door) -> Result<Self, ApiError> {
        let (config, fingerprint) = self_signed(&options.addresses, options.callers.as_deref())?;
        let listener = Listener::start(options.listen, config, router(door), "api")?;
        let address = listener.address();
        let host = options.addresses.first().copied().unwrap_or(address.ip());
        let url = format!("https://{}", SocketAddr::new(host, address.port()));
        Ok(Self { endpoint: ApiEndpoint { url, fingerprint }, listener })
    }

    /// The endpoint, for hello.
    pub fn endpoint(&self) -> &ApiEndpoint {
        &self.endpoint
    }

    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }
}

/// An API over TLS, on a separate thread; serves until dropped.
#[derive(Debug)]
pub struct Listener {
    address: SocketAddr,
    _stop: oneshot::Sender<()>,
}

impl Listener {
    /// Port 0 is an ephemeral port.
    pub fn start(
        listen: SocketAddr,
        tls: Arc<ServerConfig>,
        app: axum::Router,
        name: &'static str,
    ) -> Result<Self, ApiError> {
        let failed = |source| ApiError::Listen { address: listen, source };
        let listener = std::net::TcpListener::bind(listen).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| ApiError::Thread { source })?;
        let (stop, stopped) = oneshot::channel::<()>();
        let serve = move || {
            runtime.block_on(async move {
                let listener = match TcpListener::from_std(listener) {
                    Ok(listener) => listener,
                    Err(error) => return log::warn!("{name}: the server ends: {error}"),
                };
                tokio::select! {
                    () = accept(listener, TlsAcceptor::from(tls), app) => {}
                    _ = stopped => {}
                }
            });
        };
        std::thread::Builder::new().name(name.into()).spawn(serve).map_err(|source| ApiError::Thread { source })?;
        Ok(Self { address, _stop: stop })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, app: axum::Router) {
    let seats = Arc::new(Seats::default());
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            // Most likely there are no free file descriptors, which is temporary.
            Err(_) => {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (tls, app, guest) = (tls.clone(), app.clone(), seats.take(peer.ip()));
        tokio::spawn(async move {
            tokio::select! {
                () = guest.sent_away() => {}
                () = serve(stream, tls, app, guest.clone()) => {}
            }
        });
    }
}

/// Serves one connection. Errors affect only this connection.
async fn serve(stream: TcpStream, tls: TlsAcceptor, app: axum::Router, guest: Guest) {
    let _ = stream.set_nodelay(true);
    let Ok(Ok(stream)) = tokio::time::timeout(HEADER_PATIENCE, tls.accept(stream)).await else { return };
    let app = TowerToHyperService::new(app);
    let app = service_fn(move |mut request: hyper::Request<Incoming>| {
        // Whoever answers has to know who asks.
        request.extensions_mut().insert(guest.clone());
        // What stands between may have read another length, and take the rest for somebody else's request (RFC 9112, 6.3):
        // nothing more is taken from this connection.
        let last = request.headers().contains_key(header::TRANSFER_ENCODING);
        let answer = app.call(request);
        async move {
            let mut answer = answer.await?;
            if last {
                answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(answer)
        }
    });
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_PATIENCE)
        .max_buf_size(64 << 10)
        .max_headers(64)
        .serve_connection(TokioIo::new(stream), app)
        .await;
}
