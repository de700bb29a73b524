//! A machine's disk behind a server of our own (NBD,
//! <https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md>). It reports every write and every flush, in
//! the order of requests across all of the machine's disks.

use super::VmError;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

/// A request to a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    Read,
    Write {
        offset: u64,
        bytes: Vec<u8>,
    },
    /// Everything written before is on stable storage.
    Flush,
}

const HANDSHAKE: &[u8] = b"NBDMAGICIHAVEOPT";
const OPTION: &[u8] = b"IHAVEOPT";
/// Fixed newstyle, and no padding.
const HANDSHAKE_FLAGS: u16 = 3;
const OPTION_REPLY: u64 = 0x0003_e889_0455_65a9;
const EXPORT_NAME: u32 = 1;
const ABORT: u32 = 2;
const INFO: u32 = 6;
const GO: u32 = 7;
const ACK: u32 = 1;
const REPLY_INFO: u32 = 3;
const UNSUPPORTED: u32 = (1 << 31) + 1;
/// The export's flags: flush is supported. Discards and FUA are not, so QEMU uses writes and flushes instead.
const EXPORT_FLAGS: u16 = 1 | 4;
const REQUEST: u32 = 0x2560_9513;
const REPLY: u32 = 0x6744_6698;
const EIO: u32 = 5;
const INVALID: u32 = 22;
/// The largest request that QEMU sends, in bytes.
const LARGEST: u32 = 32 << 20;

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Done,
    /// Nothing is done, and an error is returned.
    Fails,
}

/// Serves the file at `socket` to one machine, until the machine is gone. `tell` is called before a request is done and
/// answered. The disk does not respond until it returns.
pub fn serve(
    socket: &Path,
    file: &Path,
    mut tell: impl FnMut(&Told) -> Verdict + Send + 'static,
) -> Result<(), VmError> {
    let listener = UnixListener::bind(socket).map_err(VmError::file(socket))?;
    let disk = File::options().read(true).write(true).open(file).map_err(VmError::file(file))?;
    let serve = move || {
        let Ok((stream, _)) = listener.accept() else { return };
        // The machine is killed at its end, which ends the connection too.
        if let Err(error) = talk(stream, &disk, &mut tell) {
            println!("nbd: {error}");
        }
    };
    let spawned = std::thread::Builder::new().name("nbd".to_owned()).spawn(serve);
    spawned.map(drop).map_err(VmError::file(socket))
}

fn talk(mut stream: UnixStream, disk: &File, tell: &mut dyn FnMut(&Told) -> Verdict) -> io::Result<()> {
    let size = disk.metadata()?.len();
    stream.write_all(HANDSHAKE)?;
    stream.write_all(&HANDSHAKE_FLAGS.to_be_bytes())?;
    let _flags: [u8; 4] = take(&mut stream)?;
    if !agree(&mut stream, size)? {
        return Ok(());
    }
    loop {
        let magic: [u8; 4] = match take(&mut stream) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            magic => magic?,
        };
        if u32::from_be_bytes(magic) != REQUEST {
            return Err(io::Error::other("not a request"));
        }
        let [_, _, _, kind]: [u8; 4] = take(&mut stream)?;
        let cookie: [u8; 8] = take(&mut stream)?;
        let offset = u64::from_be_bytes(take(&mut stream)?);
        let length = u32::from_be_bytes(take(&mut stream)?);
        if length > LARGEST {
            return Err(io::Error::other("a request that is too large"));
        }
        let mut bytes = vec![0; length as usize];
        let told = match kind {
            0 => Told::Read,
            1 => {
                stream.read_exact(&mut bytes)?;
                Told::Write { offset, bytes: std::mem::take(&mut bytes) }
            }
            2 => return Ok(()),
            3 => Told::Flush,
            _ => {
                answer(&mut stream, INVALID, cookie, &[])?;
                continue;
            }
        };
        let done = match (tell(&told), &told) {
            (Verdict::Fails, _) => Err(io::ErrorKind::Other.into()),
            (Verdict::Done, Told::Read) => disk.read_exact_at(&mut bytes, offset),
            (Verdict::Done, Told::Write { bytes, .. }) => disk.write_all_at(bytes, offset),
            (Verdict::Done, Told::Flush) => Ok(()),
        };
        match done {
            Ok(()) => answer(&mut stream, 0, cookie, if kind == 0 { &bytes } else { &[] })?,
            Err(_) => answer(&mut stream, EIO, cookie, &[])?,
        }
    }
}

fn answer(stream: &mut UnixStream, error: u32, cookie: [u8; 8], bytes: &[u8]) -> io::Result<()> {
    stream.write_all(&[&REPLY.to_be_bytes()[..], &error.to_be_bytes(), &cookie].concat())?;
    stream.write_all(bytes)
}

/// Negotiates until the client has the export, or is gone.
fn agree(stream: &mut UnixStream, size: u64) -> io::Result<bool> {
    loop {
        let magic: [u8; 8] = take(stream)?;
        if magic != OPTION {
            return Err(io::Error::other("not an option"));
        }
        let option = u32::from_be_bytes(take(stream)?);
        let length = u32::from_be_bytes(take(stream)?);
        let mut data = Vec::new();
        stream.take(u64::from(length)).read_to_end(&mut data)?;
        let mut reply = |kind: u32, data: &[u8]| {
            stream.write_all(&OPTION_REPLY.to_be_bytes())?;
            for word in [option, kind, data.len() as u32] {
                stream.write_all(&word.to_be_bytes())?;
            }
            stream.write_all(data)
        };
        let export = [&size.to_be_bytes()[..], &EXPORT_FLAGS.to_be_bytes()].concat();
        match option {
            EXPORT_NAME => {
                stream.write_all(&export)?;
                return Ok(true);
            }
            ABORT => {
                reply(ACK, &[])?;
                return Ok(false);
            }
            GO | INFO => {
                // Information of type 0: the export.
                reply(REPLY_INFO, &[&[0, 0], &export[..]].concat())?;
                reply(ACK, &[])?;
                if option == GO {
                    return Ok(true);
                }
            }
            _ => reply(UNSUPPORTED, &[])?,
        }
    }
}

fn take<const N: usize>(stream: &mut UnixStream) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[test]
    fn what_a_client_writes_is_told_and_is_on_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        let (socket, file) = (dir.path().join("nbd.sock"), dir.path().join("disk"));
        std::fs::write(&file, vec![7; 4096]).unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let told = heard.clone();
        let tell = move |one: &Told| {
            told.lock().unwrap().push(one.clone());
            if matches!(one, Told::Write { offset: 1024, .. }) { Verdict::Fails } else { Verdict::Done }
        };
        serve(&socket, &file, tell).unwrap();
        let mut stream = UnixStream::connect(&socket).unwrap();
        let greeting: [u8; 18] = take(&mut stream).unwrap();
        assert!(greeting.starts_with(HANDSHAKE));
        stream.write_all(&3u32.to_be_bytes()).unwrap();
        let option = |option: u32, data: &[u8]| {
            let words = [OPTION, &option.to_be_bytes(), &(data.len() as u32).to_be_bytes(), data].concat();
            (&stream).write_all(&words).unwrap();
        };
        // Structured replies are not supported.
        option(8, &[]);
        let mut stream = stream.try_clone().unwrap();
        let refused: [u8; 20] = take(&mut stream).unwrap();
        assert_eq!(refused[12..16], UNSUPPORTED.to_be_bytes());
        option(GO, &[0; 6]);
        let info: [u8; 32] = take(&mut stream).unwrap();
        assert_eq!(info[22..30], 4096u64.to_be_bytes());
        let _ack: [u8; 20] = take(&mut stream).unwrap();
        let mut ask = |kind: u8, offset: u64, length: u32, data: &[u8]| {
            let words = [&REQUEST.to_be_bytes()[..], &[0, 0, 0, kind], &[9; 8], &offset.to_be_bytes()].concat();
            stream.write_all(&[&words, &length.to_be_bytes()[..], data].concat()).unwrap();
            let reply: [u8; 16] = take(&mut stream).unwrap();
            assert_eq!((&reply[..4], &reply[8..]), (&REPLY.to_be_bytes()[..], &[9; 8][..]));
            u32::from_be_bytes(reply[4..8].try_into().unwrap())
        };
        assert_eq!([ask(1, 512, 512, &[1; 512]), ask(3, 0, 0, &[]), ask(4, 0, 512, &[])], [0, 0, INVALID]);
        assert_eq!(ask(1, 1024, 512, &[1; 512]), EIO);
        assert_eq!(ask(0, 512, 512, &[]), 0);
        let read: [u8; 512] = take(&mut stream).unwrap();
        assert_eq!(read, [1; 512]);
        let write = |offset| Told::Write { offset, bytes: vec![1; 512] };
        assert_eq!(*heard.lock().unwrap(), [write(512), Told::Flush, write(1024), Told::Read]);
        assert_eq!(std::fs::read(&file).unwrap()[1024], 7);
    }
}
