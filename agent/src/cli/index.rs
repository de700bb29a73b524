//! `burin index IMAGE > IMAGE.caibx`: makes a blob index as casync and desync do.

use super::transfer::{TransferArgs, TransferError, is_url};
use crate::image::{self, Cancel, Source, oci};
use crate::tree;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

/// Index an image: print the SHA-256 of each 256 KiB of the decoded disk contents to standard output, in casync's
/// format.
///
/// Same as `casync make --digest=sha256 --chunk-size=262144:262144:262144`, but also for compressed and qcow2 images.
#[derive(Debug, clap::Args)]
pub struct IndexArgs {
    /// http(s) URL, oci://HOST/REPOSITORY:TAG, path, or - for standard input
    image: String,
    #[command(flatten)]
    transfer: TransferArgs,
}

/// Runs the command. `cancel` is set by the caller's signal handler.
pub fn run(args: IndexArgs, cancel: &Cancel) -> ExitCode {
    let source = if args.image == "-" {
        Source::Reader(Box::new(std::io::stdin()), "standard input".into())
    } else if is_url(&args.image) {
        match args.transfer.http(vec![args.image]) {
            Ok(http) => Source::Http(http),
            Err(error) => return super::fail(&error),
        }
    } else if oci::is_reference(&args.image) {
        match registry(args, cancel) {
            Ok(source) => source,
            Err(error) => return super::fail(&error),
        }
    } else {
        Source::File(args.image.into())
    };
    let mut out = std::io::stdout();
    if out.is_terminal() {
        eprintln!("burin: an index is binary: send it to a file");
        return ExitCode::from(2);
    }
    match image::index(source, image::Options::default(), cancel) {
        // Written in one piece at the end, so that an interrupted run leaves no partial index.
        Ok(index) => match out.write_all(&index.bytes()).and_then(|()| out.flush()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("burin: the index cannot be written: {error}");
                ExitCode::FAILURE
            }
        },
        Err(error) => super::fail(&error),
    }
}

fn registry(args: IndexArgs, cancel: &Cancel) -> Result<Source, TransferError> {
    let found = oci::resolve(args.transfer.http(vec![args.image])?, None, cancel)?;
    Ok(tree::disk(found.disk()?, cancel)?.0)
}
