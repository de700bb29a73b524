//! `burin conformance`: checks a controller, or an agent's own API, against the protocol.

use super::fail;
use crate::conformance::{Peer, Point, RuleVerdict, check, check_agent};
use crate::http::{Ca, Clock, Trust, TrustError, TrustFiles};
use crate::protocol::Secret;
use hwinventory::model::harmless;
use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;

/// Play one side of the protocol against another implementation, and report its correctness point by point.
///
/// With URL, plays an agent against a controller; with --agent, an orchestrator against an agent's own API. Touches no
/// disk.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
It says hello to a controller as a machine that does not exist. To test grants and receipts too, place an order for
that machine (--system-uuid); the order is not carried out, and its receipt says so.

It asks an agent for nothing that changes the machine: it applies no plan, and reboots nothing. If the agent has no
order yet, it places one that fits no disk; another order replaces it.

  burin conformance https://controller.example --ca /etc/ssl/certs/site.pem --token-file join.token
  burin conformance --agent https://10.0.0.7:8443 --ca sha256:9f86d0... --token-file boot.token

Exit status: 0 all rules are kept, 1 a rule is broken, 2 wrong usage.")]
pub struct ConformanceArgs {
    /// The controller's base URL, as in burin.controller=.
    #[arg(required_unless_present = "agent")]
    url: Option<String>,
    /// Test the API of the agent at this URL instead, as given in its hello and on its console.
    #[arg(long, value_name = "URL", conflicts_with_all = ["url", "system_uuid"], requires = "token_file")]
    agent: Option<String>,
    /// Trust this CA file, or exactly the certificate with this fingerprint.
    #[arg(long, value_name = "PATH or sha256:HEX")]
    ca: Option<String>,
    /// File with the join token, if the controller requires one; with --agent, the token of the agent's boot.
    #[arg(long, value_name = "FILE")]
    token_file: Option<std::path::PathBuf>,
    /// PEM file with a client certificate and its key, if the other side requires one.
    #[arg(long, value_name = "FILE")]
    client: Option<std::path::PathBuf>,
    /// SMBIOS UUID of the simulated machine; random by default.
    #[arg(long, value_name = "UUID")]
    system_uuid: Option<String>,
    /// Print the points as JSON.
    #[arg(long)]
    json: bool,
}

pub fn run(args: ConformanceArgs) -> ExitCode {
    let token = match args.token_file.as_ref().map(std::fs::read_to_string).transpose() {
        Ok(text) => text.map(|text| Secret::new(text.trim())),
        Err(error) => {
            eprintln!("burin: the token's file cannot be read: {error}");
            return ExitCode::from(2);
        }
    };
    let trust = match trust(args.ca.as_deref(), args.client) {
        Ok(trust) => trust,
        Err(error) => return fail(&error),
    };
    let points = match (args.agent, args.url) {
        (Some(agent), _) => check_agent(&agent, &token.unwrap_or_else(|| Secret::new("")), &trust),
        (None, url) => {
            let system_uuid = args.system_uuid.unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
            check(&Peer { url: url.unwrap_or_default(), join_token: token, system_uuid }, &trust)
        }
    };
    match args.json {
        true => println!("{}", harmless::json(&serde_json::to_string_pretty(&points).unwrap_or_default())),
        false => print!("{}", table(&points)),
    }
    match points.iter().any(|point| point.verdict == RuleVerdict::Wrong) {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}

fn trust(ca: Option<&str>, client: Option<std::path::PathBuf>) -> Result<Trust, TrustError> {
    let ca: Option<Ca> = ca.map(str::parse).transpose()?;
    let mut files = TrustFiles::below(Path::new("/"));
    if let Some(client) = client {
        (files.client, files.client_key) = (client.clone(), client);
    }
    Trust::controller(ca.as_ref(), &files, Clock::trusted())
}

fn table(points: &[Point]) -> String {
    let mut out = String::new();
    for point in points {
        let verdict = match point.verdict {
            RuleVerdict::Right => "right",
            RuleVerdict::Wrong => "WRONG",
            RuleVerdict::Untried => "-",
        };
        let _ = writeln!(out, "{verdict:<6}{:<22}{}", point.name, point.rule);
        if !point.detail.is_empty() {
            let _ = writeln!(out, "{:28}{}", "", harmless::line(&point.detail));
        }
    }
    let count = |verdict| points.iter().filter(|point| point.verdict == verdict).count();
    let [right, wrong, untried] = [RuleVerdict::Right, RuleVerdict::Wrong, RuleVerdict::Untried].map(count);
    let _ = writeln!(out, "{right} right, {wrong} wrong, {untried} not tried");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_counts_and_shows_what_is_wrong() {
        let point = |verdict, detail: &str| Point { name: "hello", rule: "a rule", verdict, detail: detail.into() };
        let points = [point(RuleVerdict::Right, ""), point(RuleVerdict::Wrong, "status 500, not 200")];
        let text = table(&points);
        assert!(text.contains("WRONG hello") && text.contains("status 500, not 200"), "{text}");
        assert!(text.ends_with("1 right, 1 wrong, 0 not tried\n"), "{text}");
    }
}
