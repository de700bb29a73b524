//! The reference controller as a program: serves until killed, and prints what happens.

use burin::protocol::Secret;
use burin_tests::controller::{Controller, Demand, Observation, Options, Tls};
use clap::Parser;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

/// Reference controller of the burin protocol: netboot artefacts, iPXE scripts, orders, images, reports.
#[derive(Debug, Parser)]
#[command(name = "controller")]
struct Arguments {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Directory of the journal and, unless named otherwise, of orders/
    #[arg(long, default_value = "controller-state")]
    state: PathBuf,
    /// Directory of orders: UUID.json, SERIAL.json, MAC.json or default.json
    #[arg(long)]
    orders: Option<PathBuf>,
    /// Directory with kernel and initramfs, served under /boot/
    #[arg(long)]
    artefacts: Option<PathBuf>,
    /// Directory of images, served under /images/
    #[arg(long)]
    images: Option<PathBuf>,
    /// How machines reach this server, if not by the address it listens on
    #[arg(long)]
    public_url: Option<String>,
    /// File name of the kernel under /boot/
    #[arg(long, default_value = "vmlinuz")]
    kernel: String,
    /// File name of the initramfs under /boot/
    #[arg(long, default_value = "initramfs.cpio.zst")]
    initramfs: String,
    /// More words for the kernel command line of the iPXE script
    #[arg(long, default_value = "")]
    cmdline: String,
    /// How often one order may be tried on one machine
    #[arg(long, default_value_t = 1)]
    max_attempts: u32,
    /// File with a token that every hello has to show
    #[arg(long)]
    join_token: Option<PathBuf>,
    /// Directory of tokens of single machines: UUID.token, SERIAL.token or MAC.token; put it under each name that orders are
    /// found by
    #[arg(long)]
    join_tokens: Option<PathBuf>,
    /// What machines have to prove by their TPM before they get a token: JSON, docs/security.md
    #[arg(long)]
    attest: Option<PathBuf>,
    /// Seconds after its last call in which another boot of the same machine gets no token
    #[arg(long, default_value_t = 25)]
    in_use: u64,
    /// Certificate chain, PEM: serve HTTPS
    #[arg(long, requires = "key")]
    certificate: Option<PathBuf>,
    /// Private key, PEM
    #[arg(long, requires = "certificate")]
    key: Option<PathBuf>,
    /// CAs, PEM: machines have to show a certificate by one of them
    #[arg(long, requires = "certificate")]
    client_ca: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("controller: {error}");
            let mut source = error.source();
            while let Some(cause) = source {
                eprintln!("  because: {cause}");
                source = cause.source();
            }
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let mut options = Options::new(&arguments.state);
    options.listen = arguments.listen;
    options.orders = arguments.orders.unwrap_or(options.orders);
    options.artefacts = arguments.artefacts;
    options.images = arguments.images;
    options.public_url = arguments.public_url;
    options.kernel = arguments.kernel;
    options.initramfs = arguments.initramfs;
    options.cmdline = arguments.cmdline;
    options.max_attempts = arguments.max_attempts;
    if let Some(path) = arguments.join_token {
        options.join_token = Some(Secret::new(std::fs::read_to_string(path)?.trim()));
    }
    options.join_tokens = arguments.join_tokens;
    options.attest = arguments.attest.as_deref().map(Demand::read).transpose()?;
    options.in_use = std::time::Duration::from_secs(arguments.in_use);
    if let (Some(certificate), Some(key)) = (arguments.certificate, arguments.key) {
        let (certificates, key) = (std::fs::read_to_string(certificate)?, std::fs::read_to_string(key)?);
        options.tls = Some(Tls { certificates, key });
    }
    options.client_ca = arguments.client_ca.map(std::fs::read_to_string).transpose()?;
    let controller = Controller::start(options)?;
    let observations = controller.subscribe();
    println!("listening on {}", controller.url());
    for observation in observations {
        println!("{}", line(&observation));
    }
    Ok(())
}

/// One line for each thing that happens.
fn line(observation: &Observation) -> String {
    match observation {
        Observation::BootScript { mac, uuid, agent } => {
            let name = mac.as_deref().or(uuid.as_deref()).unwrap_or("a machine");
            format!("ipxe     {name}: {}", if *agent { "into the agent" } else { "to its disk" })
        }
        Observation::Hello { machine, hello } => format!("hello    {machine}: agent {}", hello.agent_version),
        Observation::OrderSent { machine, attempt, .. } => format!("order    {machine}: attempt {attempt}"),
        Observation::Event { machine, event } => {
            let data = event.data.as_ref().map(ToString::to_string).unwrap_or_default();
            format!("event    {machine}: {} {data}", event.kind)
        }
        Observation::Grant { machine, request, reply } => {
            format!("grant    {machine}: {} attempt {}: {:?}", request.order, request.attempt, reply.decision)
        }
        Observation::Receipt { machine, receipt } => match &receipt.problem {
            None => format!("receipt  {machine}: {} done", receipt.order),
            Some(problem) => format!("receipt  {machine}: {} failed: {}", receipt.order, problem.message),
        },
        Observation::File { path, status, range } => {
            format!("file     {path}: {status} {}", range.as_deref().unwrap_or_default())
        }
    }
}
