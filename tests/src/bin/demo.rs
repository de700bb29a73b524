//! `scripts/demo` after its set-up: netboots a machine, images it, boots the result, and shows the progress.

use burin_tests::demo::{Story, Timeline, show_event, show_receipt};
use burin_tests::deploy::{DeployError, Image, Link, Locked, Netboot, Parts, Proof, Scene, Word};
use burin_tests::vm::{Firmware, Slot, missing_tools};
use clap::builder::PossibleValuesParser;
use clap::{Parser, ValueEnum};
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Image a virtual server over the network and boot it from the imaged disk.
#[derive(Debug, Parser)]
struct Arguments {
    #[arg(long, value_enum, default_value_t = Kind::Uefi)]
    firmware: Kind,
    /// Output directory of burin-initramfs
    #[arg(long)]
    netboot: PathBuf,
    /// Output directory of scripts/image
    #[arg(long)]
    image: PathBuf,
    /// Demand everything: signed kernel, attested machine, signed order, sealed secret
    #[arg(long, requires = "agent", requires = "modules")]
    locked: bool,
    /// Break one link of it, or `all`, one after the other, and show that nothing is written
    #[arg(long, requires = "locked", value_parser = PossibleValuesParser::new(links().chain([EVERY])))]
    broken: Option<String>,
    /// The burin program
    #[arg(long)]
    agent: Option<PathBuf>,
    /// Modules of the netboot artefacts' kernel: /lib/modules/RELEASE
    #[arg(long)]
    modules: Option<PathBuf>,
    /// Keep disks and console log here; otherwise they are removed after success
    #[arg(long)]
    keep: Option<PathBuf>,
}

/// For `--broken`: each link, on a machine of its own.
const EVERY: &str = "all";

fn links() -> impl Iterator<Item = &'static str> {
    Link::ALL.into_iter().map(|(name, _)| name)
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    Uefi,
    Bios,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(reason) = missing_tools() {
        eprintln!("error: {reason}");
        return ExitCode::FAILURE;
    }
    let firmware = match arguments.firmware {
        Kind::Uefi => Firmware::Uefi,
        Kind::Bios => Firmware::Bios,
    };
    let work = match workplace(arguments.keep.as_deref()) {
        Ok(work) => work,
        Err(error) => {
            eprintln!("error: cannot make a work directory: {error}");
            return ExitCode::FAILURE;
        }
    };
    let shown = match arguments.locked {
        true => show_locked(&work, &arguments),
        false => show(&work, firmware, &arguments),
    };
    match shown {
        Ok(()) => {
            if arguments.keep.is_none() {
                let _ = std::fs::remove_dir_all(&work);
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            let mut cause = std::error::Error::source(&error);
            while let Some(next) = cause {
                eprintln!("  because: {next}");
                cause = next.source();
            }
            eprintln!("disks and console.log are kept in {}", work.display());
            ExitCode::FAILURE
        }
    }
}

fn workplace(keep: Option<&Path>) -> std::io::Result<PathBuf> {
    match keep {
        Some(dir) => std::fs::create_dir_all(dir).map(|()| dir.to_owned()),
        None => Ok(tempfile::Builder::new().prefix("burin-demo.").tempdir()?.keep()),
    }
}

fn show(work: &Path, firmware: Firmware, arguments: &Arguments) -> Result<(), DeployError> {
    let mut timeline = Timeline::start();
    let fail = |timeline: &Timeline, error: DeployError| {
        timeline.bad(&format!("FAILED: {error}"));
        error
    };
    let scene = (|| {
        let (netboot, image) = (Netboot::open(&arguments.netboot)?, Image::open(&arguments.image)?);
        timeline.begin("set the stage");
        Scene::build(work, firmware, &netboot, &image)
    })()
    .map_err(|error| fail(&timeline, error))?;
    timeline.end(&format!("{firmware} machine, dirty NVMe and SATA disk, controller on {}", scene.controller.url()));
    timeline.note(&format!(
        "the order: {} MiB of Debian 12 on an NVMe disk, hostname {}",
        scene.image.size >> 20,
        scene.hostname
    ));

    let _slot = Slot::wait().map_err(|error| fail(&timeline, error.into()))?;
    let deployment = scene.start().map_err(|error| fail(&timeline, error))?;
    let console = deployment.machine().console().clone();
    let mut story = Story::begin(timeline);
    let result = deployment.finish(|news| story.tell(news, firmware));
    let mut timeline = story.timeline;
    match result {
        Ok(proof) => {
            timeline.end("the installed system reported in");
            conclude(&timeline, &proof);
            Ok(())
        }
        Err(error) => {
            timeline.end("not finished");
            timeline.plain(&format!("the console ends with:\n{}", console.tail(25)));
            Err(fail(&timeline, error))
        }
    }
}

fn show_locked(work: &Path, arguments: &Arguments) -> Result<(), DeployError> {
    let parts = Parts {
        agent: arguments.agent.clone().unwrap_or_default(),
        modules: arguments.modules.clone().unwrap_or_default(),
        netboot: Netboot::open(&arguments.netboot)?,
        image: Image::open(&arguments.image)?,
    };
    let Some(wanted) = arguments.broken.as_deref() else { return show_chain(work, &parts, None) };
    let broken: Vec<_> = Link::ALL.into_iter().filter(|(name, _)| wanted == EVERY || wanted == *name).collect();
    for (name, link) in &broken {
        println!("-- broken: {name}");
        let place = work.join(name);
        std::fs::create_dir_all(&place).map_err(|error| DeployError::NotProven(error.to_string()))?;
        show_chain(&place, &parts, Some(*link))?;
        if arguments.keep.is_none() {
            let _ = std::fs::remove_dir_all(&place);
        }
    }
    if broken.len() > 1 {
        println!("PROVEN: {} links, each broken on a machine of its own, and nothing was written.", broken.len());
    }
    Ok(())
}

/// The whole chain, with one link broken or none.
fn show_chain(work: &Path, parts: &Parts, broken: Option<Link>) -> Result<(), DeployError> {
    let timeline = RefCell::new(Timeline::start());
    let note = |text: &str| timeline.borrow().note(text);
    let result = (|| {
        timeline.borrow_mut().begin("set the stage");
        let locked = Locked::build(work, parts, broken, &note)?;
        timeline.borrow_mut().end("");
        let _slot = Slot::wait()?;
        timeline.borrow_mut().begin("power on");
        let seen = locked.run(&|word| match word {
            Word::Note(text) => note(text),
            Word::Attested => {
                timeline.borrow_mut().end("attested: it has booted this kernel and this ramdisk, and gets its token");
            }
            Word::Event(event) => show_event(&mut timeline.borrow_mut(), event, true),
            Word::Receipt(receipt) => show_receipt(&timeline.borrow(), receipt),
        })?;
        timeline.borrow_mut().end("");
        timeline.borrow_mut().begin("look at the disk");
        let proven = locked.prove(&seen);
        timeline.borrow_mut().end("");
        proven
    })();
    let timeline = timeline.into_inner();
    match result {
        Ok(proven) => {
            proven.iter().for_each(|line| timeline.note(line));
            let text = match broken {
                None => "PROVEN: with everything demanded, the machine became what its owner has signed.",
                Some(_) => "PROVEN: with this link broken, nothing was written.",
            };
            timeline.good(text);
            Ok(())
        }
        Err(error) => {
            timeline.bad(&format!("FAILED: {error}"));
            Err(error)
        }
    }
}

fn conclude(timeline: &Timeline, proof: &Proof) {
    timeline.note(&format!("authorized key {}...", &proof.fingerprint[..23]));
    timeline.note(&format!(
        "root {} of {} MiB, its filesystem {} MiB",
        proof.root,
        proof.root_bytes >> 20,
        proof.filesystem_bytes >> 20
    ));
    timeline.good(&format!(
        "PROVEN: {} runs Debian 12 from the ordered disk, with the injected hostname and SSH key; every byte of the \
         other disk is as it was; {:.0} s from power-on.",
        proof.hostname,
        timeline.elapsed().as_secs_f64()
    ));
}
