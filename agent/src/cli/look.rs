//! `burin look`: answers one query about an image's contents, for the agent that started it.

use crate::finalize::look::{WhatIsOn, WhichIsIgnitions, WhichIsRoot, WhichLoader};
use crate::isolate::{self, Question};
use crate::kexec::StartFrom;
use std::io::{Read, Write};
use std::process::ExitCode;

/// Maximum size of a question.
const LIMIT: u64 = 1 << 20;

/// For internal use by the agent: reads a question as JSON from standard input and prints the answer.
#[derive(Debug, clap::Args)]
pub struct LookArgs {
    what: String,
}

pub fn run(args: &LookArgs) -> ExitCode {
    let mut text = Vec::new();
    if let Err(error) = std::io::stdin().take(LIMIT).read_to_end(&mut text) {
        eprintln!("burin look: {error}");
        return ExitCode::FAILURE;
    }
    let answer = match args.what.as_str() {
        WhatIsOn::NAME => isolate::answer::<WhatIsOn>(&text),
        WhichIsRoot::NAME => isolate::answer::<WhichIsRoot>(&text),
        WhichIsIgnitions::NAME => isolate::answer::<WhichIsIgnitions>(&text),
        WhichLoader::NAME => isolate::answer::<WhichLoader>(&text),
        StartFrom::NAME => isolate::answer::<StartFrom>(&text),
        _ => return ExitCode::from(2),
    };
    let said = answer.map_err(std::io::Error::from).and_then(|answer| std::io::stdout().write_all(answer.as_bytes()));
    match said {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("burin look: {error}");
            ExitCode::FAILURE
        }
    }
}
