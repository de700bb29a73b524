//! `burin image ...`: for publishers of images.

mod check;
mod pack;
mod sign;

use crate::image::Cancel;
use std::process::ExitCode;

/// Check or pack an image for publishing.
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
