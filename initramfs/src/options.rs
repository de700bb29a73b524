//! Validated options of a build.

use std::path::PathBuf;

use crate::tools::Tool;

/// Where the kernel and its modules come from.
#[derive(Debug, Clone)]
pub enum KernelSource {
    /// A Debian package by name (fetched with apt), or `None` for the standard kernel of the agent's architecture.
    Package(Option<String>),
    /// A Debian package file.
    Deb(PathBuf),
    /// From any distribution: an image, and /lib/modules or a release directory in it.
    Files { kernel: PathBuf, modules: PathBuf },
}

/// An extra file or directory tree for the ramdisk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtraFile {
    /// On this host.
    pub source: PathBuf,
    /// Absolute path in the ramdisk.
    pub destination: String,
}

/// Everything that determines the output.
#[derive(Debug, Clone)]
pub struct Options {
    /// The program for /init.
    pub agent: PathBuf,
    /// Directory for the results; created if necessary.
    pub output: PathBuf,
    /// Kernel and modules.
    pub kernel: KernelSource,
    /// Rules instead of the standard ones.
    pub module_list: Option<PathBuf>,
    /// Additional required modules.
    pub modules: Vec<String>,
    /// Patterns or names of modules to leave out.
    pub without_modules: Vec<String>,
    /// Inventories of the machines that it is for; if empty, it is for all machines.
    pub drivers: Vec<PathBuf>,
    /// Firmware directories, searched in order.
    pub firmware: Vec<PathBuf>,
    /// Include everything in those directories, not only what chosen modules name.
    pub firmware_all: bool,
    /// Programs that the agent runs, with their libraries.
    pub tools: Vec<Tool>,
    /// The system from which they are taken; `None` fetches their Debian packages.
    pub tools_root: Option<PathBuf>,
    /// Extra files.
    pub files: Vec<ExtraFile>,
    /// Public CA certificates (PEM); `None` leaves them out.
    pub ca_bundle: Option<PathBuf>,
    /// The controller's own CA (PEM).
    pub ca: Option<PathBuf>,
    /// An order (JSON) to run.
    pub order: Option<PathBuf>,
    /// The policy (JSON): what the agent requires of orders.
    pub policy: Option<PathBuf>,
    /// `console=` words; `None` means the architecture's defaults.
    pub consoles: Option<Vec<String>>,
    /// Words for the kernel command line in scripts and unified image.
    pub cmdline: Vec<String>,
    /// Words for /etc/burin/cmdline in the ramdisk.
    pub embedded_cmdline: Vec<String>,
    /// EFI stub for the unified image; `None` makes no unified image.
    pub stub: Option<Stub>,
    /// Key and certificate (PEM) for signing the unified image.
    pub sign: Option<(PathBuf, PathBuf)>,
    /// Text about the agent's crates, replacing the compiled-in one.
    pub crate_notice: Option<PathBuf>,
    /// zstd level for the whole ramdisk; the modules inside are always compressed as much as possible.
    pub level: i32,
    /// Downloads, unpacked packages and compressed modules.
    pub cache: PathBuf,
    /// Timestamp of every entry, seconds since 1970.
    pub mtime: u32,
}

impl Options {
    /// The defaults: Debian's standard kernel, the standard module rules, the host's CA certificates, a unified image,
    /// no controller.
    pub fn new(agent: impl Into<PathBuf>, output: impl Into<PathBuf>, cache: impl Into<PathBuf>) -> Options {
        Options {
            agent: agent.into(),
            output: output.into(),
            kernel: KernelSource::Package(None),
            module_list: None,
            modules: Vec::new(),
            without_modules: Vec::new(),
            drivers: Vec::new(),
            firmware: Vec::new(),
            firmware_all: false,
            tools: Vec::new(),
            tools_root: None,
            files: Vec::new(),
            ca_bundle: Some(PathBuf::from(CA_BUNDLE)),
            ca: None,
            order: None,
            policy: None,
            consoles: None,
            cmdline: Vec::new(),
            embedded_cmdline: Vec::new(),
            stub: Some(Stub::Standard),
            sign: None,
            crate_notice: None,
            level: LEVEL,
            cache: cache.into(),
            mtime: 0,
        }
    }
}

/// Where Debian, Arch and others keep the public CA certificates.
pub const CA_BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Standard zstd level.
pub const LEVEL: i32 = 19;

/// Where the EFI stub is.
#[derive(Debug, Clone)]
pub enum Stub {
    /// Where the package systemd-boot-efi puts the one of the kernel's architecture.
    Standard,
    /// Somewhere else.
    Path(PathBuf),
}

/// Parses `SRC:DEST`, split at the last colon that precedes a `/`.
pub fn parse_extra_file(text: &str) -> Result<ExtraFile, String> {
    let divider = text.rfind(":/").ok_or_else(|| format!("`{text}`: expected SRC:DEST with an absolute DEST"))?;
    let (source, rest) = text.split_at(divider);
    if source.is_empty() {
        return Err(format!("`{text}`: SRC is empty"));
    }
    Ok(ExtraFile { source: PathBuf::from(source), destination: rest.trim_start_matches(':').to_owned() })
}

/// Checks words for the kernel command line and splits them at blanks.
pub fn parse_cmdline(text: &str) -> Result<Vec<String>, String> {
    if text.chars().any(|c| c.is_control() && c != '\t') {
        return Err("control characters do not fit into a kernel command line".to_owned());
    }
    Ok(text.split_whitespace().map(str::to_owned).collect())
}

/// Checks a controller's URL: one word, http or https, with a host.
pub fn parse_controller(text: &str) -> Result<String, String> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let rest = rest.ok_or_else(|| format!("`{text}` does not start with http:// or https://"))?;
    if rest.is_empty() || rest.starts_with('/') || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(format!("`{text}` is no URL with a host"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extra_files_are_divided_at_the_last_colon() {
        let file = parse_extra_file("a:b/c:/etc/x").unwrap();
        assert_eq!((file.source.to_str(), file.destination.as_str()), (Some("a:b/c"), "/etc/x"));
        assert!(parse_extra_file("a:etc").is_err());
        assert!(parse_extra_file(":/etc").is_err());
    }

    #[test]
    fn controllers_are_urls() {
        assert!(parse_controller("https://10.0.2.2:8443/x").is_ok());
        for bad in ["10.0.2.2", "ftp://h", "http://", "http:///x", "http://a b"] {
            assert!(parse_controller(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn command_lines_have_no_line_breaks() {
        assert_eq!(parse_cmdline(" a  b=c ").unwrap(), ["a", "b=c"]);
        assert!(parse_cmdline("a\nb").is_err());
    }
}
