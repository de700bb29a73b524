//! Proxies: which one is used, in which form, with which password, and the error when it cannot be reached.

use super::{code, run, text, tls_server};
use crate::support::*;
use burin::http::{Clock, Timeouts, Trust, TrustFiles, agent};
use burin::image::{self, Cancel, Credentials, Http, Proxies, Source, Sums, WriteRequest};
use burin::protocol::Secret;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// `me:hunter2`
const MINE: &str = "Proxy-Authorization: Basic bWU6aHVudGVyMg==\r\n";

fn url(scheme: &str, address: &str) -> String {
    format!("{scheme}://me:hunter2@{address}")
}

fn host(server: &Server) -> String {
    server.url.split('/').nth(2).unwrap().to_owned()
}

/// Neither what is told nor what the server gets holds the proxy's password.
fn assert_kept(output: &Output, servers: &[&Server]) {
    assert!(!text(output).contains("hunter2"), "{output:?}");
    for head in servers.iter().flat_map(|server| server.requests()) {
        assert!(!head.contains("proxy-") && !head.contains("hunter2") && !head.contains("bwu6ahvudgvymg"), "{head}");
    }
}

#[test]
fn a_proxy_is_used_where_one_is_named_and_where_the_environment_says() {
    let dir = tempfile::tempdir().unwrap();
    let target = dirty_file(dir.path(), 3 * MIB);
    let image = image(2 * MIB);
    let server = Server::new(image.clone(), []);
    let named = Proxy::new();
    let output = run(&server.url, &target, &["--proxy", &url("http", &named.address)], &[]);
    assert_eq!(code(&output), "receipt", "{output:?}");
    assert_written(&fs::read(&target).unwrap(), &image);
    assert_kept(&output, &[&server]);
    let heads = named.requests();
    let host = host(&server);
    assert!(heads[0].starts_with(&format!("GET http://{host}/image HTTP/1.1\r\n{MINE}")), "{heads:?}");
    assert!(heads[0].contains(&format!("host: {host}\r\n")) && heads.len() == 1, "{heads:?}");

    let environment = Proxy::new();
    let address = url("http", &environment.address);
    let output = run(&server.url, &target, &[], &[("http_proxy", &address)]);
    assert_eq!((code(&output).as_str(), environment.requests().len()), ("receipt", 1));
    // The environment's exceptions, and what is said on the command line, go before it.
    for (more, variables) in [
        (&[][..], &[("http_proxy", address.as_str()), ("no_proxy", "example.com,127.0.0.0/8")][..]),
        (&["--proxy", ""], &[("http_proxy", &address)]),
    ] {
        assert_eq!(code(&run(&server.url, &target, more, variables)), "receipt");
    }
    assert_eq!(environment.requests().len(), 1);
}

#[test]
fn https_goes_through_a_tunnel_and_a_proxy_may_speak_tls_itself() {
    let dir = tempfile::tempdir().unwrap();
    let target = dirty_file(dir.path(), 3 * MIB);
    let image = image(2 * MIB);
    let (server, ca) = tls_server(dir.path(), &image);
    let trusting = ["--ca", &ca];
    let proxy = Proxy::new();
    let output = run(&server.url, &target, &trusting, &[("https_proxy", &url("http", &proxy.address))]);
    assert_eq!(code(&output), "receipt", "{output:?}");
    assert_kept(&output, &[&server]);
    let heads = proxy.requests();
    assert!(heads.len() == 1 && heads[0].starts_with(&format!("CONNECT {} HTTP/1.1\r\n", host(&server))), "{heads:?}");
    assert!(heads[0].contains(MINE) && !heads[0].contains("/image"), "{heads:?}");

    let (proxy, pem) = Proxy::tls();
    let server = Server::new(image.clone(), []);
    let address = url("https", &proxy.address);
    // A proxy that is not trusted is not used.
    let output = run(&server.url, &target, &trusting, &[("http_proxy", &address)]);
    assert_eq!((code(&output).as_str(), server.requests().len()), ("image.proxy", 0));
    fs::write(&ca, pem).unwrap();
    let output = run(&server.url, &target, &trusting, &[("http_proxy", &address)]);
    assert_eq!(code(&output), "receipt", "{output:?}");
    assert_kept(&output, &[&server]);
    assert_written(&fs::read(&target).unwrap(), &image);
    assert!(proxy.requests()[0].starts_with(&format!("GET http://{}/image HTTP/1.1\r\n{MINE}", host(&server))));
}

#[test]
fn a_proxy_that_refuses_is_named_and_a_nonsense_one_is_not_echoed() {
    let dir = tempfile::tempdir().unwrap();
    let target = dirty_file(dir.path(), 3 * MIB);
    let server = Server::new(image(MIB), []);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let refusing = |status| Proxy::always(ProxyFault::Refuse(status)).address;
    let cases = [
        ("http", refusing("407 Proxy Authentication Required"), "image.proxy", "407"),
        ("https", refusing("407 Proxy Authentication Required"), "image.proxy", "407"),
        ("http", refusing("403 Forbidden"), "image.denied", "403"),
        ("https", refusing("403 Forbidden"), "image.proxy", "403"),
        ("http", refusing("502 Bad Gateway"), "image.http_status", "502"),
        ("http", Proxy::always(ProxyFault::Cut(MIB / 2)).address, "image.truncated", "ends early"),
        ("http", closed, "image.proxy", "refused"),
    ];
    for (scheme, proxy, wanted, why) in cases {
        let source = server.url.replace("http:", &format!("{scheme}:"));
        let mut command = burin("write");
        command.args([&source, "--file", "--json", "--patience", "0", "--proxy", &url("http", &proxy)]).arg(&target);
        let output = command.output().unwrap();
        assert_eq!((code(&output).as_str(), output.status.code()), (wanted, Some(1)), "{output:?}");
        let told = text(&output);
        assert!(told.contains(&format!("http://{proxy}")) && told.contains(why), "{told}");
        assert_kept(&output, &[&server]);
    }
    for nonsense in ["socks9://hunter2@x", "socks4://hunter2@x", "http://hunter2@"] {
        let output = run(&server.url, &target, &["--proxy", nonsense], &[]);
        assert_eq!(code(&output), "image.proxy_url");
        assert_kept(&output, &[]);
    }
    // Nothing of it came as far as a whole MiB.
    assert_eq!(std::fs::read(&target).unwrap(), dirt(3 * MIB));
}

#[test]
fn what_a_proxy_cuts_off_is_fetched_again_and_what_it_has_kept_will_do() {
    let dir = tempfile::tempdir().unwrap();
    let target = dirty_file(dir.path(), 3 * MIB);
    let image = noise(2 * MIB, 3);
    let server = Server::new(image.clone(), []);
    let proxy = Proxy::faulty([
        ProxyFault::Cut(MIB),
        ProxyFault::Refuse("504 Gateway Timeout"),
        ProxyFault::Cut(0),
        ProxyFault::Cut(MIB / 2),
    ]);
    let output = run(&server.url, &target, &["--proxy", &url("http", &proxy.address)], &[]);
    assert_eq!(code(&output), "receipt", "{output:?}");
    assert_written(&fs::read(&target).unwrap(), &image);
    let heads = server.requests();
    assert!(heads.len() == 4 && heads[1..].iter().all(|head| head.contains("if-range: \"one\"")), "{heads:?}");

    let (server, proxy) = (Server::new(image.clone(), []), Proxy::caching());
    let digest = sha256(&image);
    let hex = digest.trim_start_matches("sha256:");
    for _ in 0..3 {
        fs::write(&target, dirt(3 * MIB)).unwrap();
        let more = ["--proxy", &url("http", &proxy.address), "--sha256", hex];
        assert_eq!(code(&run(&server.url, &target, &more, &[])), "receipt");
        assert_written(&fs::read(&target).unwrap(), &image);
    }
    assert_eq!((server.requests().len(), proxy.requests().len()), (1, 3));
    // Another image under the same URL that the proxy knows nothing of: the digest tells.
    let other = sha256(&noise(MIB, 4));
    let more = ["--proxy", &url("http", &proxy.address), "--sha256", other.trim_start_matches("sha256:")];
    assert_eq!(code(&run(&server.url, &target, &more, &[])), "image.digest_mismatch");
    assert_unbootable(&target);
}

#[test]
fn each_hop_of_a_redirect_has_its_own_proxy() {
    let dir = tempfile::tempdir().unwrap();
    let target = dirty_file(dir.path(), 3 * MIB);
    let image = image(2 * MIB);
    let (real, ca) = tls_server(dir.path(), &image);
    let front = Server::new(Vec::new(), []).always(Answer::Redirect(real.url.clone()));
    for (exceptions, tunnels) in [("example.com", 1), ("localhost", 0)] {
        let (plain, tls) = (Proxy::new(), Proxy::new());
        let variables = [
            ("http_proxy", url("http", &plain.address)),
            ("https_proxy", url("http", &tls.address)),
            ("no_proxy", exceptions.to_owned()),
            ("BURIN_BEARER", "hunter3".to_owned()),
        ];
        let variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
        let output = run(&front.url, &target, &["--ca", &ca], &variables);
        assert_eq!(code(&output), "receipt", "{output:?}");
        assert_written(&fs::read(&target).unwrap(), &image);
        assert_eq!((plain.requests().len(), tls.requests().len()), (1, tunnels));
    }
    // 127.0.0.1 and localhost are not one host.
    assert!(front.requests().iter().all(|head| head.contains("authorization: bearer hunter3")));
    assert!(real.requests().iter().all(|head| !head.contains("hunter3")));
}

#[test]
fn a_socks_proxy_carries_http_and_https() {
    let dir = tempfile::tempdir().unwrap();
    let target = dirty_file(dir.path(), 3 * MIB);
    let image = image(2 * MIB);
    let (tls, ca) = tls_server(dir.path(), &image);
    let plain = Server::new(image.clone(), [Answer::Cut(MIB)]);
    for server in [&plain, &tls] {
        let named = server.url.replace("127.0.0.1", "localhost");
        for (scheme, asked) in [("socks5", "127.0.0.1"), ("socks5h", "localhost")] {
            let socks = Socks::new("me", "hunter2");
            fs::write(&target, dirt(3 * MIB)).unwrap();
            let more = ["--proxy", &url(scheme, &socks.address), "--ca", &ca];
            let output = run(&named, &target, &more, &[]);
            assert_eq!(code(&output), "receipt", "{output:?}");
            assert_kept(&output, &[server]);
            assert_written(&fs::read(&target).unwrap(), &image);
            let port = host(server).rsplit(':').next().unwrap().to_owned();
            // Who looks the name up is what the two differ in.
            assert!(!socks.asked().is_empty() && socks.asked().iter().all(|to| *to == format!("{asked}:{port}")));
        }
    }
    let socks = Socks::new("me", "another");
    let output = run(&plain.url, &target, &["--proxy", &url("socks5", &socks.address)], &[]);
    assert_eq!(code(&output), "image.proxy");
    assert!(text(&output).contains(&format!("socks5://{}", socks.address)), "{output:?}");
    assert_kept(&output, &[&plain]);
}

/// Downloads as the agent makes them, through `proxy`.
fn through(proxy: &str, ca: &str, urls: Vec<String>) -> Http {
    let ca = burin::http::Ca::File(ca.into());
    let trust = Trust::downloads(Some(&ca), &TrustFiles::below(Path::new("/no/such")), Clock::trusted()).unwrap();
    let mut http = Http::new(agent(&trust, &Timeouts::DOWNLOADS), urls);
    http.proxies = Proxies::all(proxy).unwrap();
    http.patience = Duration::from_secs(3);
    http
}

/// Debian's tinyproxy, for `me` with `hunter2`.
struct Tinyproxy {
    process: Child,
    address: String,
    log: PathBuf,
}

impl Tinyproxy {
    fn start(dir: &Path) -> Self {
        // It cannot tell which port it was given; a port that was free a moment ago may be somebody's by now.
        for _ in 0..20 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let (config, log) = (dir.join("tinyproxy.conf"), dir.join("tinyproxy.log"));
            let text = format!(
                "Port {port}\nListen 127.0.0.1\nMaxClients 50\nTimeout 60\nLogFile \"{}\"\nLogLevel Info\n\
                 BasicAuth me hunter2\n",
                log.display()
            );
            fs::write(&config, text).unwrap();
            let mut command = Command::new("tinyproxy");
            command.arg("-d").arg("-c").arg(&config).stdout(Stdio::null()).stderr(Stdio::null());
            let mut started = Self { process: command.spawn().unwrap(), address: format!("127.0.0.1:{port}"), log };
            let began = Instant::now();
            while began.elapsed() < Duration::from_secs(20) && started.process.try_wait().unwrap().is_none() {
                if TcpStream::connect(&started.address).is_ok() {
                    return started;
                }
                thread::sleep(Duration::from_millis(20));
            }
        }
        panic!("tinyproxy does not start");
    }
}

impl Drop for Tinyproxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_real_proxy_carries_image_sums_and_ranges() {
    if !have("tinyproxy") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let proxy = Tinyproxy::start(dir.path());
    let address = url("http", &proxy.address);
    let image = noise(7 * MIB, 3);
    let sums = format!("{}  image\n", sha256(&image).trim_start_matches("sha256:"));
    let (tls, ca) = tls_server(dir.path(), &image);
    let plain = Server::new(image.clone(), [Answer::Cut(MIB)]);
    for (server, connections) in [(plain, 1), (Server::new(image.clone(), []), 3), (tls, 3)] {
        let server = server.beside("/SHA256SUMS", sums.clone());
        let target = dirty_file(dir.path(), 8 * MIB);
        let mut http = through(&address, &ca, vec![server.url.clone()]);
        http.connections = connections;
        http.credentials = Credentials::bearer(&server.url, &Secret::new("hunter3"));
        let published = Sums { url: server.at("/SHA256SUMS"), minisign: None };
        let wire = image::published(&http, &published, &server.url, &Cancel::default()).unwrap();
        let mut request = WriteRequest::new(Source::Http(http));
        request.digest.wire = Some(wire);
        write_to_file(request, &target).unwrap_or_else(|error| panic!("{}: {error:?}", server.url));
        assert_written(&fs::read(&target).unwrap(), &image);
        let heads = server.requests();
        assert!(heads.len() > 2, "sums, and the image in parts: {heads:?}");
        for head in heads {
            assert!(!head.contains("proxy-authorization") && head.contains("authorization: bearer hunter3"), "{head}");
        }
        // It says so itself, where it does not only carry bytes.
        assert!(server.url.starts_with("https:") || server.requests().iter().all(|head| head.contains("tinyproxy")));
    }
    let log = fs::read_to_string(&proxy.log).unwrap();
    assert!(log.contains("CONNECT localhost:") && log.contains("GET http://127.0.0.1:"), "{log}");

    // Without a password, and with another one: what tinyproxy answers then is what a server might.
    let server = Server::new(image, []);
    let target = dirty_file(dir.path(), 8 * MIB);
    for (address, wanted) in
        [(format!("http://{}", proxy.address), "image.proxy"), (address.replace("hunter2", "hunter4"), "image.denied")]
    {
        let output = run(&server.url, &target, &["--proxy", &address], &[]);
        assert_eq!((code(&output).as_str(), server.requests().len()), (wanted, 0), "{output:?}");
        assert!(!text(&output).contains("hunter4") && text(&output).contains(&proxy.address), "{output:?}");
    }
}

#[test]
fn proxies_are_for_images_that_name_them_only() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new(image(MIB), []);
    let proxy = Proxy::new();
    let (_, ca) = tls_server(dir.path(), &[]);
    let through = through(&format!("http://{}", proxy.address), &ca, vec![server.url.clone()]);
    let direct = Http { proxies: Proxies::default(), ..through.clone() };
    let target = dirty_file(dir.path(), 2 * MIB);
    // One client: a connection to the proxy is not taken for one to the server, nor the other way round.
    for (http, wanted) in [(direct.clone(), 0), (through, 1), (direct, 1)] {
        write_to_file(WriteRequest::new(Source::Http(http)), &target).unwrap();
        assert_eq!(proxy.requests().len(), wanted);
    }
    assert_eq!(server.requests().len(), 3);
}
