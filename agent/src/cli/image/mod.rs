//! `burin image ...`: for those who publish images.

mod check;
mod pack;
mod sign;

use crate::image::Cancel;
use std::process::ExitCode;

/// For those who publish images: look into one, pack one.
#[derive(Debug, clap::Subcommand)]
pub enum ImageCommand {
    Check(Box<check::CheckArgs>),
    Pack(Box<pack::PackArgs>),
}

/// Runs the command. `cancel` is set by the caller's signal handler.
pub fn run(command: ImageCommand, cancel: &Cancel) -> ExitCode {
    match command {
        ImageCommand::Check(args) => check::run(*args, cancel),
        ImageCommand::Pack(args) => pack::run(*args, cancel),
    }
}
