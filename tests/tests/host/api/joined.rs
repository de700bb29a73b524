//! A whole agent on this machine, except for PID 1 and the network, driven by callers and reporting to a controller.
//!
//! The only disk that is ever written is a loop device of this test.

use crate::support::caller::{Caller, LOCAL, start};
use crate::support::host::{Host, has_loops};
use crate::support::{Bench, PATIENCE, eventually};
use burin::exit::Exit;
use burin::protocol::hello::ApiEndpoint;
use burin::protocol::{Kind, Phase, Secret};
use burin_tests::deploy::{Image, OrderBuilder, SMALL_MARK};
use log::LevelFilter;
use serde_json::{Value, json};

const JOIN: &str = "join-5ecret-of-one-boot";

/// An order that fits no machine's disks.
fn order(id: &str) -> String {
    let images = json!({"debian": {"urls": ["http://127.0.0.1:9/debian.raw"]}});
    let root = json!({"match": {"serial": "no disk has this serial number"}, "image": "debian"});
    let layouts = json!([{"name": "none", "disks": {"root": root}}]);
    json!({"version": "order/v1", "id": id, "images": images, "layouts": layouts}).to_string()
}

#[test]
fn callers_and_controller_see_one_agent_and_no_secret_leaves_it() {
    let bench = Bench::new(|options| options.join_token = Some(Secret::new(JOIN)));
    let root = tempfile::tempdir().unwrap();
    let words = format!("burin.controller={} burin.token={JOIN} burin.api=0", bench.controller().url());
    let agent = start(root.path(), &words, LevelFilter::Trace);

    eventually("hello", || !bench.controller().machines().is_empty());
    let machine = bench.controller().machines().remove(0);
    let view = || bench.controller().machine(&machine).unwrap();
    let endpoint = view().hello.unwrap().api.unwrap();
    let token = bench.controller().token(&machine).unwrap().reveal().to_owned();
    assert_eq!(Caller::new(root.path(), &endpoint, JOIN).call("GET", "/v1/status", "").0, 401);
    let caller = Caller::new(root.path(), &endpoint, &token);
    eventually("the door opens", || caller.call("GET", "/v1/status", "").0 == 200);

    // A caller's order is planned with this machine's real inventory, and refused.
    assert_eq!(caller.call("PUT", "/v1/order", &order("called")).0, 200);
    let (status, problem) = caller.call("POST", "/v1/plan", "");
    assert_eq!((status, &problem["code"]), (422, &json!("plan.no_match")), "{problem}");
    let apply = json!({"plan_digest": "sha256:00"}).to_string();
    assert_eq!(caller.call("POST", "/v1/apply", &apply).1["code"], "api.no_plan");

    // A controller's order is visible through the API too.
    bench.controller().put_order("default", order("ordered")).unwrap();
    let (_, receipt) = bench.controller().wait_receipt("ordered", PATIENCE).unwrap();
    assert_eq!(receipt.problem.as_ref().map(|problem| problem.code.as_str()), Some("plan.no_match"));
    assert_eq!(caller.call("GET", "/v1/receipt", "").1["order"], "ordered");
    let status = caller.call("GET", "/v1/status", "").1;
    assert_eq!((&status["phase"], &status["order"]), (&json!(Phase::Failed), &json!("ordered")), "{status}");
    assert!(view().grants.is_empty(), "no leave was asked for what cannot be planned");
    // Events may arrive after the receipt.
    let traced = |kind| matches!(kind, Kind::StageFailed(failed) if failed.stage == "plan" && failed.trace.is_some());
    eventually("why it was refused", || view().events().any(|event| event.kind().is_some_and(traced)));

    // The log is sent too, and neither it nor anything else contains a secret.
    eventually("log events", || view().events().any(|event| matches!(event.kind(), Some(Kind::Log(_)))));
    let mut said = serde_json::to_string(&view().events().collect::<Vec<_>>()).unwrap();
    said += &serde_json::to_string(&view().hello).unwrap();
    said += &serde_json::to_string(&receipt).unwrap();
    for path in ["/v1/status", "/v1/inventory", "/v1/order", "/v1/receipt", "/v1/log", "/metrics"] {
        let (status, text) = caller.text("GET", path, "");
        assert_eq!(status, 200, "{path}");
        said += &text;
    }
    assert!(said.contains("plan.no_match"));
    for secret in [JOIN, &token] {
        assert!(!said.contains(secret), "a secret was said");
    }

    assert_eq!(caller.call("POST", "/v1/power", r#"{"action":"poweroff"}"#).0, 202);
    assert_eq!(agent.join().unwrap(), Exit::PowerOff);
}

/// A controller that accepts the receipt but does not act upon it blocks neither callers nor, later, its own orders.
#[test]
fn a_receipt_that_nobody_acknowledges_keeps_nobody_waiting() {
    let bench = Bench::new(|options| options.hold_receipts = true);
    let root = tempfile::tempdir().unwrap();
    let words = format!("burin.controller={} burin.api=0", bench.controller().url());
    let agent = start(root.path(), &words, LevelFilter::Info);
    eventually("hello", || !bench.controller().machines().is_empty());
    let machine = bench.controller().machines().remove(0);
    let view = || bench.controller().machine(&machine).unwrap();
    let endpoint = view().hello.unwrap().api.unwrap();
    let token = bench.controller().token(&machine).unwrap().reveal().to_owned();
    let caller = Caller::new(root.path(), &endpoint, &token);
    bench.controller().put_order("default", order("first")).unwrap();
    eventually("the receipt is posted", || view().receipts.iter().any(|receipt| receipt.order == "first"));
    bench.controller().put_order("default", order("second")).unwrap();

    // Callers are served, from the first call to the one that ends the machine.
    assert_eq!(caller.call("PUT", "/v1/order", &order("called")).0, 200);
    let (status, problem) = caller.call("POST", "/v1/plan", "");
    assert_eq!((status, &problem["code"]), (422, &json!("plan.no_match")), "{problem}");
    assert!(!view().receipts.iter().any(|receipt| receipt.order == "second"), "not before the first is done with");
    bench.controller().acknowledge();
    eventually("the next order", || view().receipts.iter().any(|receipt| receipt.order == "second"));
    assert_eq!(caller.call("GET", "/v1/receipt", "").1["order"], "second");
    // The second one is waiting for its acknowledgement now, which must not matter.
    assert_eq!(caller.call("POST", "/v1/power", r#"{"action":"poweroff"}"#).0, 202);
    assert_eq!(agent.join().unwrap(), Exit::PowerOff);
}

#[test]
fn without_a_controller_a_token_is_enough_and_switched_off_is_off() {
    let root = tempfile::tempdir().unwrap();
    let agent = start(root.path(), &format!("burin.token={JOIN} burin.api=off"), LevelFilter::Info);
    assert_eq!(agent.join().unwrap(), Exit::Failed);
    // A free port: the endpoint cannot be queried without knowing it.
    let port = std::net::TcpListener::bind((LOCAL, 0)).unwrap().local_addr().unwrap().port();
    let agent = start(root.path(), &format!("burin.token={JOIN} burin.api={port}"), LevelFilter::Info);
    eventually("the port is open", || std::net::TcpStream::connect((LOCAL, port)).is_ok());
    let fingerprint = fingerprint_at(port);
    let endpoint = ApiEndpoint { url: format!("https://127.0.0.1:{port}"), fingerprint };
    let caller = Caller::new(root.path(), &endpoint, JOIN);
    eventually("the door opens", || caller.call("GET", "/v1/status", "").0 == 200);
    assert_eq!(caller.call("PUT", "/v1/order", &order("called")).0, 200);
    assert_eq!(caller.call("POST", "/v1/cancel", "").1["code"], "api.idle");
    assert_eq!(caller.call("POST", "/v1/power", r#"{"action":"reboot"}"#).0, 202);
    assert_eq!(agent.join().unwrap(), Exit::Reboot);
}

/// What a person would read off the console: the fingerprint that the server presents.
fn fingerprint_at(port: u16) -> String {
    use sha2::{Digest, Sha256};
    use std::io::{Read, Write};
    #[derive(Debug)]
    struct Any;
    impl rustls::client::danger::ServerCertVerifier for Any {
        fn verify_server_cert(
            &self,
            _: &rustls::pki_types::CertificateDer<'_>,
            _: &[rustls::pki_types::CertificateDer<'_>],
            _: &rustls::pki_types::ServerName<'_>,
            _: &[u8],
            _: rustls::pki_types::UnixTime,
        ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
            Ok(rustls::client::danger::ServerCertVerified::assertion())
        }
        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &rustls::pki_types::CertificateDer<'_>,
            _: &rustls::DigitallySignedStruct,
        ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
            Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
        }
        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &rustls::pki_types::CertificateDer<'_>,
            _: &rustls::DigitallySignedStruct,
        ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
            Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
        }
        fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
            rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
        }
    }
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.dangerous().with_custom_certificate_verifier(std::sync::Arc::new(Any)).with_no_client_auth();
    let name = rustls::pki_types::ServerName::IpAddress(LOCAL.into());
    let mut client = rustls::ClientConnection::new(std::sync::Arc::new(config), name).unwrap();
    let mut socket = std::net::TcpStream::connect((LOCAL, port)).unwrap();
    let mut stream = rustls::Stream::new(&mut client, &mut socket);
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n").unwrap();
    let _ = stream.read(&mut [0; 64]);
    let certificate = client.peer_certificates().unwrap().first().unwrap().clone();
    let hex: String = Sha256::digest(&certificate).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

#[test]
fn a_callers_order_is_written_read_back_and_told_to_that_caller() {
    if !has_loops() {
        return;
    }
    let images = tempfile::tempdir().unwrap();
    let bench = Bench::new(|options| options.images = Some(images.path().to_owned()));
    let image = Image::small(images.path(), "small.raw.zst", 40 << 20).unwrap();
    let host = Host::new(&format!("burin.controller={} burin.api=0", bench.controller().url()));
    let agent = host.start();
    eventually("hello", || !bench.controller().machines().is_empty());
    let machine = bench.controller().machines().remove(0);
    let endpoint = bench.controller().machine(&machine).unwrap().hello.unwrap().api.unwrap();
    let token = bench.controller().token(&machine).unwrap().reveal().to_owned();
    let caller = Caller::new(&host.root(), &endpoint, &token);
    eventually("the door opens", || caller.call("GET", "/v1/status", "").1["phase"] == "idle");

    let order = OrderBuilder::new("called", "nobody", &format!("{}/images", bench.controller().url()), &image)
        .set("/layouts/0/disks/system/match", json!({ "serial": "LOOP" }))
        .set("/layouts/0/disks/system/grow", Value::Null)
        .set("/seed", Value::Null);
    assert_eq!(caller.call("PUT", "/v1/order", &order.json()).0, 200);
    let before = host.disk.digest().unwrap();
    let (status, plan) = caller.call("POST", "/v1/plan", "");
    assert_eq!((status, host.disk.digest().unwrap()), (200, before), "a plan changes nothing: {plan}");
    let apply = json!({ "plan_digest": plan["digest"] }).to_string();
    assert_eq!(caller.call("POST", "/v1/apply", &apply).0, 202);
    let phase = || caller.call("GET", "/v1/status", "").1["phase"].clone();
    eventually("the work ends", || phase() == "done" || phase() == "failed");

    let receipt = caller.call("GET", "/v1/receipt", "").1;
    assert_eq!((&receipt["order"], &receipt["problem"]), (&json!("called"), &Value::Null), "{receipt}");
    assert_eq!(receipt["images"][0]["digest"]["content"].as_str(), image.content.as_str().into());
    assert_eq!(host.disk.partitions().unwrap()[0].name, SMALL_MARK);
    let view = bench.controller().machine(&machine).unwrap();
    assert!(view.grants.is_empty() && view.receipts.is_empty(), "the controller has no part in it");
    assert_eq!(caller.call("POST", "/v1/power", &json!({ "action": "poweroff" }).to_string()).0, 202);
    assert_eq!(agent.wait(), Some(71));
}
