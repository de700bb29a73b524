//! The commands `burin-initramfs iso` and `iso-conf`: their arguments.

use burin_initramfs::iso::{IsoOptions, iso, set_conf};
use burin_initramfs::options::{ExtraFile, parse_cmdline, parse_extra_file};
use clap::Args;
use std::error::Error;
use std::path::PathBuf;

pub const ISO_EXAMPLES: &str = "\
Examples:
  From what `build` made, with parameters for a rack:
    burin-initramfs iso --from out --output burin.iso --conf burin.conf

  Orders beside the parameters, which name them (burin.order=node21.json):
    burin-initramfs iso --from out --output burin.iso --conf burin.conf \\
        --file node21.json:/node21.json

burin.iso goes into a CD drive, into a BMC's virtual media (Redfish, iDRAC, iLO), or
onto a stick: dd if=burin.iso of=/dev/sdX bs=4M conv=fsync. On the stick burin.conf
is a file of the partition BURIN, and can be edited there.
It needs the Debian packages xorriso, mtools, grub-common, grub-pc-bin and
grub-efi-amd64-bin (or grub-efi-arm64-bin).";

#[derive(Args)]
pub struct IsoArgs {
    /// Directory with the results of `build`.
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// The image to make.
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// Parameters: words as on the kernel command line, with sections for single machines.
    #[arg(long, value_name = "FILE")]
    conf: Option<PathBuf>,
    /// An additional file, such as an order that the parameters name.
    #[arg(long = "file", value_name = "SRC:DEST", value_parser = parse_extra_file)]
    files: Vec<ExtraFile>,
    /// Additional words for the kernel command line, such as a console.
    #[arg(long, value_name = "WORDS", value_parser = parse_cmdline, allow_hyphen_values = true)]
    cmdline: Vec<Vec<String>>,
    /// Volume label, by which the agent finds the medium: 1 to 11 of A-Z, 0-9 and _.
    #[arg(long, value_name = "LABEL", default_value = "BURIN")]
    label: String,
    /// Timestamp of everything in the image, seconds since 1970. [default: SOURCE_DATE_EPOCH, or 0]
    #[arg(long, value_name = "SECONDS")]
    mtime: Option<u32>,
    /// Print nothing but errors.
    #[arg(long, short)]
    quiet: bool,
}

#[derive(Args)]
pub struct IsoConfArgs {
    /// The image, which is changed in place.
    #[arg(value_name = "ISO")]
    image: PathBuf,
    /// The new parameters.
    #[arg(value_name = "CONF")]
    conf: PathBuf,
}

pub fn make(args: IsoArgs) -> Result<(), Box<dyn Error>> {
    let options = IsoOptions {
        from: args.from,
        output: args.output,
        label: args.label,
        conf: args.conf,
        files: args.files,
        cmdline: args.cmdline.into_iter().flatten().collect(),
        mtime: args.mtime.map_or_else(super::source_date_epoch, Ok)?,
    };
    let quiet = args.quiet;
    iso(&options, &mut |line| {
        if !quiet {
            eprintln!("{line}");
        }
    })?;
    Ok(())
}

pub fn change(args: IsoConfArgs) -> Result<(), Box<dyn Error>> {
    set_conf(&args.image, &args.conf)?;
    Ok(())
}
