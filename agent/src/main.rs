use burin::{boot, config, net};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

struct Stderr;

impl log::Log for Stderr {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        eprintln!("{}: {}", record.level(), record.args());
    }

    fn flush(&self) {}
}

/// Until the subcommands exist: PID 1, the kernel's modprobe, and an agent that shows its network.
fn main() -> ExitCode {
    if std::process::id() == 1 {
        boot::init();
    }
    let mut arguments = std::env::args();
    if boot::is_modprobe(std::env::args_os().next().as_deref()) {
        return boot::modprobe(arguments.skip(1));
    }
    if arguments.nth(1).as_deref() != Some("agent") {
        return ExitCode::from(2);
    }
    let _ = log::set_logger(&Stderr);
    log::set_max_level(log::LevelFilter::Info);
    match agent() {
        Ok(()) => ExitCode::from(71),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn agent() -> Result<(), Box<dyn std::error::Error>> {
    let root = Path::new("/");
    let config = config::load(root)?;
    config.warnings.iter().for_each(|warning| log::warn!("{warning}"));
    println!("last crash: {:?}", boot::last_crash(root));
    let network = net::up(&config, root, Duration::from_secs(120))?;
    println!("clock: {:?}", net::clock::sync(&config, &network.state().ntp_servers()));
    println!("settled: {:?}", boot::settle(root, Duration::from_secs(1), Duration::from_secs(30)));
    println!("{:#?}", network.state());
    Ok(())
}
