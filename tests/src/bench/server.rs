//! nginx on loopback: one port without a limit, one at the rate of a gigabit link.

use super::Result;
use super::error::BenchError;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

#[derive(Debug)]
pub struct Nginx {
    nginx: Child,
    log: PathBuf,
    /// Without a limit.
    pub fast: String,
    /// 118 MiB/s, the rate of a 1 Gbit/s link.
    pub slow: String,
}

fn free_port() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(BenchError::file("listen on", "127.0.0.1"))?;
    Ok(listener.local_addr().map_err(BenchError::file("listen on", "127.0.0.1"))?.port())
}

fn configuration(work: &Path, root: &Path, fast: u16, slow: u16) -> String {
    let (work, root) = (work.display(), root.display());
    format!(
        "daemon off;\nuser root;\nworker_processes 1;\npid {work}/nginx.pid;\nerror_log {work}/nginx-error.log;\n\
         events {{ worker_connections 256; }}\n\
         http {{\n\
         log_format bytes '$bytes_sent';\naccess_log {work}/access.log bytes;\n\
         client_body_temp_path {work}/nginx; proxy_temp_path {work}/nginx; fastcgi_temp_path {work}/nginx;\n\
         uwsgi_temp_path {work}/nginx; scgi_temp_path {work}/nginx;\n\
         sendfile on;\ntcp_nopush on;\nkeepalive_requests 1000000;\nroot {root};\n\
         server {{ listen 127.0.0.1:{fast}; }}\n\
         server {{ listen 127.0.0.1:{slow}; limit_rate 118m; }}\n\
         }}\n"
    )
}

impl Nginx {
    /// Serves `root`; its own files go to `work`.
    pub fn start(work: &Path, root: &Path) -> Result<Self> {
        let (fast, slow) = (free_port()?, free_port()?);
        let (config, log) = (work.join("nginx.conf"), work.join("access.log"));
        std::fs::write(&config, configuration(work, root, fast, slow)).map_err(BenchError::file("write", &config))?;
        let nginx = Command::new("nginx")
            .arg("-e")
            .arg(work.join("nginx-error.log"))
            .arg("-c")
            .arg(&config)
            .stdin(Stdio::null())
            .spawn()
            .map_err(|source| BenchError::Start { program: "nginx".into(), source })?;
        let url = |port| format!("http://127.0.0.1:{port}");
        let server = Self { nginx, log, fast: url(fast), slow: url(slow) };
        let deadline = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(("127.0.0.1", slow)).is_err() {
            if Instant::now() > deadline {
                let output = std::fs::read_to_string(work.join("nginx-error.log")).unwrap_or_default();
                return Err(BenchError::Tool { program: "nginx".into(), output });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    /// Bytes sent so far, headers included; a request counts when it ends.
    pub fn sent(&self) -> Result<u64> {
        std::thread::sleep(Duration::from_millis(100));
        let text = std::fs::read_to_string(&self.log).map_err(BenchError::file("read", &self.log))?;
        Ok(text.lines().filter_map(|line| line.trim().parse::<u64>().ok()).sum())
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // The master ends its worker only if it is asked to end, not if it is killed.
        let pid = nix::unistd::Pid::from_raw(self.nginx.id() as i32);
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let _ = self.nginx.wait();
    }
}
