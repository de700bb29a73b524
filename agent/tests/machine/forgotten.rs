//! What remains of a dropped secret in a process's memory, as far as the process can see it.

use burin::protocol::Secret;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// The secret, every bit turned: as it stands here it is in no memory.
const TURNED: [u8; 32] = *b"\x97\x9a\x9e\x8d\xd2\x9e\x91\x9b\xd2\x99\x90\x8d\x98\x9a\x8b\xc5\xce\xcd\xcc\xcb\xca\xc9\xc8\xc7\xc6\xcf\xbe\xbd\xbc\xbb\xba\xb9";

fn secret() -> Secret {
    // No buffer that grows, and so none that is left behind.
    let mut text = String::with_capacity(TURNED.len());
    TURNED.iter().for_each(|byte| text.push(char::from(!byte)));
    Secret::new(text)
}

/// How often it stands in memory that can be written to. Compared bit by turned bit, so that looking leaves no copy but in
/// `buffer`, which is not counted.
fn found(buffer: &mut [u8]) -> usize {
    let own = buffer.as_ptr_range();
    let own = own.start as usize..own.end as usize;
    let memory = File::open("/proc/self/mem").unwrap();
    let mut count = 0;
    for line in std::fs::read_to_string("/proc/self/maps").unwrap().lines() {
        let mut words = line.split_whitespace();
        let (range, rights) = (words.next().unwrap(), words.next().unwrap());
        let (start, end) = range.split_once('-').unwrap();
        let number = |text: &str| usize::from_str_radix(text, 16).unwrap();
        if !rights.starts_with("rw") || line.contains("[vvar") {
            continue;
        }
        let mut at = number(start);
        while at < number(end) {
            let length = buffer.len().min(number(end) - at);
            let Ok(read) = memory.read_at(&mut buffer[..length], at as u64) else { break };
            let hits = buffer[..read].windows(TURNED.len()).enumerate();
            let hits = hits.filter(|(_, window)| window.iter().zip(TURNED).all(|(byte, turned)| !byte == turned));
            count += hits.filter(|(place, _)| !own.contains(&(at + place))).count();
            // A secret may lie across two pieces.
            at += if read > TURNED.len() && at + read < number(end) { read - TURNED.len() } else { read.max(1) };
        }
        buffer.fill(0);
    }
    count
}

#[test]
fn a_secret_that_was_dropped_is_nowhere_in_memory() {
    let mut buffer = vec![0; 1 << 20];
    let secret = secret();
    assert!(found(&mut buffer) > 0, "the test can see it while it is there");
    let copy = secret.clone();
    drop(secret);
    assert!(found(&mut buffer) > 0, "the copy");
    drop(copy);
    assert_eq!(found(&mut buffer), 0);
}
