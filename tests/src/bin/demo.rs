//! `scripts/demo` after its set-up: netboots a machine, images it, boots the result, and shows the progress.

use burin_tests::demo::{Story, Timeline};
use burin_tests::deploy::{DeployError, Image, Link, Locked, Netboot, Parts, Proof, Scene};
use burin_tests::vm::{Firmware, Slot, missing_tools};
use clap::builder::PossibleValuesParser;
use clap::{Parser, ValueEnum};
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
    /// Break one link of it, and show that nothing is written
    #[arg(long, requires = "locked", value_parser = PossibleValuesParser::new(Link::ALL.map(|(name, _)| name)))]
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
    let mut timeline = Timeline::start();
    let broken =
        Link::ALL.into_iter().find(|(name, _)| arguments.broken.as_deref() == Some(name)).map(|(_, link)| link);
    let parts = Parts {
        agent: arguments.agent.clone().unwrap_or_default(),
        modules: arguments.modules.clone().unwrap_or_default(),
        netboot: Netboot::open(&arguments.netboot)?,
        image: Image::open(&arguments.image)?,
    };
    let result = (|| {
        timeline.begin("set the stage");
        let locked = Locked::build(work, &parts, broken, &|text| timeline.note(text))?;
        timeline.end("");
        let _slot = Slot::wait()?;
        timeline.begin("power on");
        let seen = locked.run(&|text| timeline.note(text))?;
        timeline.end("");
        locked.prove(&seen)
    })();
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
