//! The HTTP API that a conductor calls, with the replies of ironic-python-agent.

use super::body::{self, Command};
use super::commands::{CommandWork, Commands, StepPhase};
use super::error::CommandError;
use super::steps;
use super::worker::Beat;
use crate::api::{Guest, LogRing};
use crate::bell::Bell;
use crate::exit::Exit;
use crate::protocol::Secret;
use axum::Json;
use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Extension, Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::future::poll_fn;
use std::io::{self, Read};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use subtle::ConstantTimeEq;
use tokio::sync::mpsc;

/// A conductor gives up sooner, and nobody else waits this long.
const WAIT: Duration = Duration::from_secs(50);
/// How long a body may stall.
const SILENCE: Duration = Duration::from_secs(60);

/// The state that handlers share. Cheap to clone.
#[derive(Clone)]
pub struct Service {
    pub commands: Commands,
    pub token: Secret,
    pub bell: Bell,
    pub beat: Beat,
    pub log: LogRing,
    /// The answer to `get_partition_uuids`, and whether a boot entry was made.
    pub installed: Arc<Mutex<Option<super::state::Installed>>>,
    pub uefi: bool,
    pub started: Arc<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Asked {
    agent_token: Option<String>,
    wait: Option<String>,
}

impl Asked {
    fn waits(&self) -> bool {
        self.wait.as_deref().is_some_and(|wait| wait.eq_ignore_ascii_case("true"))
    }
}

/// The connection, if there is one.
type Caller = Option<Extension<Guest>>;

/// An error that is not a command's result.
struct Refusal(StatusCode, &'static str, String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "faultcode": self.1, "faultstring": self.2 }))).into_response()
    }
}

fn client(status: StatusCode, words: impl Into<String>) -> Refusal {
    Refusal(status, "Client", words.into())
}

pub fn router(service: Service) -> Router {
    let mut router =
        Router::new().route("/", get(async || Json(json!({ "name": "burin", "versions": [{ "id": "v1" }] }))));
    for base in ["", "/v1"] {
        router = router
            .route(&format!("{base}/status"), get(status))
            .route(&format!("{base}/commands"), get(list).post(command))
            .route(&format!("{base}/commands/"), get(list).post(command))
            .route(&format!("{base}/commands/{{id}}"), get(one));
    }
    router
        .route("/v1/", get(async || Json(json!({ "id": "v1" }))))
        .fallback(async || client(StatusCode::NOT_FOUND, "there is no such call"))
        .method_not_allowed_fallback(async || client(StatusCode::METHOD_NOT_ALLOWED, "this call has another method"))
        .with_state(service)
}

/// Compared as digests in constant time, so that timing reveals neither length nor content. Clients that present the
/// token are not displaced by others.
fn authorise(service: &Service, asked: &Asked, guest: Caller) -> Result<(), Refusal> {
    let given = asked.agent_token.as_deref().unwrap_or_default();
    let right: bool = Sha256::digest(given.as_bytes()).ct_eq(&Sha256::digest(service.token.reveal().as_bytes())).into();
    if !right || given.is_empty() {
        return Err(client(StatusCode::UNAUTHORIZED, "401 Unauthorized: Token invalid."));
    }
    match guest {
        Some(Extension(guest)) if !guest.welcome() => {
            Err(client(StatusCode::SERVICE_UNAVAILABLE, "there are too many connections"))
        }
        _ => Ok(()),
    }
}

async fn status(State(service): State<Service>) -> Json<Value> {
    Json(json!({ "started_at": *service.started, "version": concat!("burin ", env!("CARGO_PKG_VERSION")) }))
}

async fn list(
    State(service): State<Service>,
    guest: Caller,
    Query(asked): Query<Asked>,
) -> Result<Json<Value>, Refusal> {
    authorise(&service, &asked, guest)?;
    Ok(Json(service.commands.list()))
}

async fn one(
    State(service): State<Service>,
    Path(id): Path<String>,
    guest: Caller,
    Query(asked): Query<Asked>,
) -> Result<Json<Value>, Refusal> {
    authorise(&service, &asked, guest)?;
    let found = match asked.waits() {
        true => waited(service.commands.clone(), id).await,
        false => service.commands.get(&id),
    };
    found.map(Json).ok_or_else(|| client(StatusCode::NOT_FOUND, "there is no such command"))
}

async fn command(
    State(service): State<Service>,
    guest: Caller,
    Query(asked): Query<Asked>,
    body: Body,
) -> Result<Json<Value>, Refusal> {
    authorise(&service, &asked, guest)?;
    let command = read(body)
        .await
        .map_err(|why| client(StatusCode::BAD_REQUEST, format!("the command cannot be read: {why}")))?;
    let known = known(&command)?;
    let running = |name| Refusal(StatusCode::CONFLICT, "Server", format!("Agent is busy: executing command {name}"));
    let id = service.commands.begin(&command.name).map_err(running)?;
    log::info!("Ironic wants: {}.{}", command.extension, command.name);
    let wait = asked.waits() || known == Known::AtOnce;
    match known {
        Known::AtOnce => {
            let (service, id) = (service.clone(), id.clone());
            let done = tokio::task::spawn_blocking(move || {
                let outcome = at_once(&service, &command);
                service.commands.end(&id, outcome);
            });
            let _ = done.await;
        }
        Known::Bootloader => {
            let outcome = bootloader(&service, &command.params);
            service.commands.end(&id, outcome);
            service.beat.now();
        }
        Known::Work => work(&service, &id, command),
    }
    let reply = match wait {
        true => waited(service.commands.clone(), id).await,
        false => service.commands.get(&id),
    };
    reply
        .map(Json)
        .ok_or_else(|| Refusal(StatusCode::INTERNAL_SERVER_ERROR, "Server", "the command is lost".to_owned()))
}

async fn waited(commands: Commands, id: String) -> Option<Value> {
    tokio::task::spawn_blocking(move || commands.wait(&id, WAIT)).await.ok().flatten()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// Answered when it is done, which is soon.
    AtOnce,
    /// Reported as running until a conductor asks, although it finishes at once.
    Bootloader,
    /// For the agent's main loop.
    Work,
}

/// Unknown extensions give 404, unknown commands of a known one 400.
fn known(command: &Command) -> Result<Known, Refusal> {
    let name = command.name.as_str();
    let found = match command.extension.as_str() {
        extension @ ("clean" | "deploy" | "service") => match name {
            _ if name == format!("get_{extension}_steps") => Some(Known::AtOnce),
            _ if name == format!("execute_{extension}_step") => Some(Known::Work),
            _ => None,
        },
        "standby" => match name {
            "get_partition_uuids" | "sync" => Some(Known::AtOnce),
            "power_off" | "run_image" => Some(Known::Work),
            _ => None,
        },
        "system" => (name == "lockdown").then_some(Known::AtOnce),
        "image" => (name == "install_bootloader").then_some(Known::Bootloader),
        "log" => (name == "collect_system_logs").then_some(Known::AtOnce),
        "rescue" => (name == "finalize_rescue").then_some(Known::AtOnce),
        extension => {
            return Err(client(StatusCode::NOT_FOUND, format!("Extension with id {extension} not found.")));
        }
    };
    let unknown = || client(StatusCode::BAD_REQUEST, format!("Unknown command: {name}"));
    found.ok_or_else(unknown)
}

fn phase(extension: &str) -> Option<StepPhase> {
    StepPhase::ALL.into_iter().find(|phase| phase.word() == extension)
}

fn at_once(service: &Service, command: &Command) -> Result<Value, CommandError> {
    if let Some(phase) = phase(&command.extension) {
        return Ok(steps::list(phase));
    }
    match command.name.as_str() {
        "sync" => {
            nix::unistd::sync();
            Ok(Value::Null)
        }
        "get_partition_uuids" => {
            let installed = service.installed.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let (root, esp) = installed.map_or_else(Default::default, |it| (it.root_uuid, it.esp_uuid));
            Ok(match esp {
                Some(esp) => json!({ "root uuid": root, "efi system partition uuid": esp }),
                None => json!({ "root uuid": root }),
            })
        }
        "collect_system_logs" => super::logs::archive(&service.log).map(|logs| json!({ "system_logs": logs })),
        "lockdown" => {
            service.beat.lock_down();
            Ok(Value::Null)
        }
        "finalize_rescue" => {
            Err(CommandError::new("ironic.no_rescue", "this agent has no rescue system: nothing was started"))
        }
        name => Err(CommandError::new("ironic.command", format!("{name} is not done here"))),
    }
}

/// The boot entry was made with the image, and read back. It only remains to report that.
fn bootloader(service: &Service, params: &Value) -> Result<Value, CommandError> {
    let failed = |message: &str| Err(CommandError::new("ironic.bootloader", message));
    let installed = service.installed.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let Some(installed) = installed else {
        return failed("no image was written in this boot: there is nothing to boot");
    };
    match params["target_boot_mode"].as_str() {
        Some("uefi") if !service.uefi => failed("the machine is booted by BIOS: an entry for UEFI cannot be made"),
        Some("uefi") if !installed.boot_entry => failed("the image was written without a boot entry"),
        _ => Ok(Value::Null),
    }
}

fn work(service: &Service, id: &str, command: Command) {
    let Command { extension, name, mut params } = command;
    let task = match name.as_str() {
        "power_off" => CommandWork::Exit(Exit::PowerOff),
        "run_image" => CommandWork::Exit(Exit::Reboot),
        _ => {
            let Some(phase) = phase(&extension) else { return };
            let told = &params[format!("{extension}_version")];
            if !told.is_null() && *told != steps::version() {
                let words = format!("the steps were listed by {told}, this agent is {}", steps::version());
                service.commands.mismatch(id, CommandError::new("ironic.version_mismatch", words));
                return service.beat.now();
            }
            let (step, node) = (params["step"].take(), params["node"].take());
            if steps::find(phase, &step).is_none() {
                let words =
                    format!("there is no {extension} step {} of the interface {}", step["step"], step["interface"]);
                service.commands.end(id, Err(CommandError::new("ironic.step", words)));
                return service.beat.now();
            }
            CommandWork::Step { phase, step, node }
        }
    };
    service.commands.give(id, task);
    service.bell.ring();
}

/// The body is parsed in chunks: it may be hundreds of MB, little of which is kept.
async fn read(mut body: Body) -> Result<Command, String> {
    let (sender, chunks) = mpsc::channel::<Bytes>(4);
    let parsed = tokio::task::spawn_blocking(move || Command::read(Chunks { chunks, chunk: Bytes::new() }));
    let mut total = 0u64;
    loop {
        let frame = tokio::time::timeout(SILENCE, poll_fn(|context| Pin::new(&mut body).poll_frame(context))).await;
        let frame = match frame {
            Err(_) => return Err("it did not come whole".to_owned()),
            Ok(None) => break,
            Ok(Some(Err(error))) => return Err(error.to_string()),
            Ok(Some(Ok(frame))) => frame,
        };
        let Ok(data) = frame.into_data() else { continue };
        total += data.len() as u64;
        if total > body::LIMIT {
            return Err(format!("it has more than {} bytes", body::LIMIT));
        }
        if sender.send(data).await.is_err() {
            // The parser has already detected an error.
            break;
        }
    }
    drop(sender);
    parsed.await.map_err(|_| "the reader ended".to_owned())?
}

struct Chunks {
    chunks: mpsc::Receiver<Bytes>,
    chunk: Bytes,
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            match self.chunks.blocking_recv() {
                Some(chunk) => self.chunk = chunk,
                None => return Ok(0),
            }
        }
        let length = self.chunk.len().min(buffer.len());
        let taken = self.chunk.split_to(length);
        if let Some(target) = buffer.get_mut(..length) {
            target.copy_from_slice(&taken);
        }
        Ok(length)
    }
}
