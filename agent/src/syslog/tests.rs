use super::*;
use crate::config::TargetError;
use proptest::prelude::*;
use std::io::Read;
use std::net::TcpListener;

#[test]
fn targets() {
    let target = |text: &str| SyslogTarget::parse(text).map(|target| target.to_string());
    assert_eq!(target("udp://loghost").as_deref(), Ok("udp://loghost:514"));
    assert_eq!(target("syslog://10.0.0.5:5514/").as_deref(), Ok("udp://10.0.0.5:5514"));
    assert_eq!(target("tcp://[2001:db8::1]").as_deref(), Ok("tcp://[2001:db8::1]:601"));
    assert_eq!(target("tcp://[2001:db8::1]:10514").as_deref(), Ok("tcp://[2001:db8::1]:10514"));
    for bad in [
        "loghost",
        "http://x",
        "udp://",
        "udp://h:0",
        "udp://h:x",
        "tcp://[::1",
        "tcp://[::1]x",
        "udp://u@h",
        "udp://h/p",
    ] {
        assert_eq!(target(bad), Err(TargetError), "{bad}");
    }
}

#[test]
fn a_message_as_the_rfc_has_it() {
    let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
    let text = message("12:00:00 [WARN] eth0: no carrier\tyet", "10.0.0.7", time);
    let pid = std::process::id();
    assert_eq!(
        text,
        format!("<28>1 2023-11-14T22:13:20.123Z 10.0.0.7 burin {pid} - - 12:00:00 [WARN] eth0: no carrier yet")
    );
    assert_eq!(priority("12:00:00 [ERROR] x"), Priority::Error);
    assert_eq!(priority("  an [odd] line"), Priority::Informational);
    let long = message(&"\u{e4}".repeat(4000), "h", time);
    assert!(long.len() <= 2048 && long.len() > 2040);
}

/// Parses a stream like a receiver of octet-counted TCP.
fn split(mut stream: &str) -> Vec<String> {
    let mut found = Vec::new();
    while let Some((length, rest)) = stream.split_once(' ') {
        let (message, tail) = rest.split_at(length.parse().unwrap());
        found.push(message.to_owned());
        stream = tail;
    }
    found
}

#[test]
fn every_line_arrives_over_tcp_from_the_first_and_the_last_before_the_end() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = SyslogTarget {
        wire: SyslogTransport::Tcp,
        host: "127.0.0.1".into(),
        port: listener.local_addr().unwrap().port(),
    };
    let reader = thread::spawn(move || {
        let mut text = String::new();
        listener.accept().unwrap().0.read_to_string(&mut text).unwrap();
        text
    });
    let mut ring = LogRing::new(1 << 20);
    ring.write_all(b"12:00:00 [INFO] before\n").unwrap();
    let syslog = Syslog::new(ring.clone());
    syslog.add(target.clone());
    syslog.add(target);
    for number in 0..3000 {
        ring.write_all(format!("12:00:00 [INFO] line {number}\n").as_bytes()).unwrap();
    }
    syslog.finish();
    let messages = split(&reader.join().unwrap());
    let texts: Vec<&str> = messages.iter().map(|message| message.rsplit_once("] ").unwrap().1).collect();
    let expected: Vec<String> =
        std::iter::once("before".to_owned()).chain((0..3000).map(|n| format!("line {n}"))).collect();
    assert_eq!(texts, expected);
    assert!(messages[0].starts_with("<30>1 ") && messages[0].contains(" 127.0.0.1 burin "), "{}", messages[0]);
}

#[test]
fn udp_sends_one_message_a_datagram() {
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let target = SyslogTarget {
        wire: SyslogTransport::Udp,
        host: "127.0.0.1".into(),
        port: receiver.local_addr().unwrap().port(),
    };
    let mut ring = LogRing::new(1 << 20);
    ring.write_all(b"12:00:00 [ERROR] one\n12:00:00 [INFO] two\n").unwrap();
    let syslog = Syslog::new(ring);
    syslog.add(target);
    let mut buffer = [0; 4096];
    let texts: Vec<String> = (0..2)
        .map(|_| {
            let count = receiver.recv(&mut buffer).unwrap();
            String::from_utf8_lossy(&buffer[..count]).into_owned()
        })
        .collect();
    assert!(texts[0].starts_with("<27>1 ") && texts[0].ends_with("one"), "{}", texts[0]);
    assert!(texts[1].starts_with("<30>1 ") && texts[1].ends_with("two"), "{}", texts[1]);
}

proptest! {
    #[test]
    fn messages_are_one_line_and_bounded(line in ".{0,3000}", host in "[a-z.0-9:]{1,40}") {
        let text = message(&line, &host, SystemTime::now());
        prop_assert!(text.len() <= 2048 && !text.contains('\n'));
        prop_assert!(text.starts_with('<'));
        let _ = SyslogTarget::parse(&line);
    }
}
