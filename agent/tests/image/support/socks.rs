//! A SOCKS 5 proxy for tests (RFC 1928, RFC 1929) that requires a password, supports CONNECT, and records the requested
//! hosts.

use super::proxy::relay;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

#[derive(Debug, Clone)]
pub struct Socks {
    /// Without scheme: `127.0.0.1:PORT`.
    pub address: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Socks {
    /// For `user` with `password`, nobody else.
    pub fn new(user: &'static str, password: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let socks = Self { address, asked: asked.clone() };
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let asked = asked.clone();
                thread::spawn(move || serve(stream, user, password, &asked));
            }
        });
        socks
    }

    /// `HOST:PORT` of each connection, as the client told them.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn take<const N: usize>(stream: &mut TcpStream) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).ok()?;
    Some(bytes)
}

/// A length in one byte, and so many more.
fn text(stream: &mut TcpStream) -> Option<String> {
    let [length] = take(stream)?;
    let mut bytes = vec![0; usize::from(length)];
    stream.read_exact(&mut bytes).ok()?;
    String::from_utf8(bytes).ok()
}

fn serve(mut client: TcpStream, user: &str, password: &str, asked: &Mutex<Vec<String>>) -> Option<()> {
    let [5] = take(&mut client)? else { return None };
    let methods = text(&mut client)?;
    if !methods.contains('\u{2}') {
        return client.write_all(&[5, 0xff]).ok();
    }
    client.write_all(&[5, 2]).ok()?;
    let [1] = take(&mut client)? else { return None };
    let given = (text(&mut client)?, text(&mut client)?);
    if given != (user.to_owned(), password.to_owned()) {
        return client.write_all(&[1, 1]).ok();
    }
    client.write_all(&[1, 0]).ok()?;
    let [5, 1, 0, kind] = take(&mut client)? else { return None };
    let host = match kind {
        1 => Ipv4Addr::from(take::<4>(&mut client)?).to_string(),
        3 => text(&mut client)?,
        _ => return None,
    };
    let to = format!("{host}:{}", u16::from_be_bytes(take(&mut client)?));
    asked.lock().unwrap().push(to.clone());
    let server = TcpStream::connect(to).ok()?;
    client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).ok()?;
    relay(client, server)
}
