use super::*;
use serde::Deserialize;
use std::os::unix::fs::PermissionsExt;
use std::sync::Mutex;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Twice(u32);

impl Question for Twice {
    const NAME: &'static str = "twice";
    type Answer = u32;

    fn answer(self) -> u32 {
        self.0 * 2
    }
}

/// The result of a question when `script` takes the place of this program, and for how many children it was cleaned up.
fn ask(script: &str, patience: u64, stop: bool) -> (Result<u32, IsolateError>, usize) {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("program");
    // Written by another process, so that no thread of this one has it open for writing while it is started.
    let mut writes = Command::new("sh");
    writes.args(["-c", "cat > \"$1\" && chmod 700 \"$1\"", "sh"]).arg(&program);
    let mut made = writes.stdin(Stdio::piped()).spawn().unwrap();
    made.stdin.take().unwrap().write_all(format!("#!/bin/sh\n{script}\n").as_bytes()).unwrap();
    assert!(made.wait().unwrap().success());
    assert_eq!(std::fs::metadata(&program).unwrap().permissions().mode() & 0o777, 0o700);
    let tidied = Mutex::new(Vec::new());
    let (stop, tidy) = (|| stop, |child| tidied.lock().unwrap().push(child));
    let patience = Duration::from_millis(patience);
    let query = IsolatedQuery { program: &program, patience, stop: &stop, answered: &|| 0, tidy: &tidy };
    let answer = query.ask(&Twice(21));
    (answer, tidied.into_inner().unwrap().len())
}

const LONG: u64 = 60_000;

#[test]
fn an_answer_is_what_a_child_says_that_ends_well() {
    let (said, tidied) = ask("[ \"$*\" = 'look twice' ] && [ \"$(cat)\" = 21 ] && echo 42", LONG, false);
    assert_eq!((said.unwrap(), tidied), (42, 0));
    assert_eq!(answer::<Twice>(b"21").unwrap(), "42");
    assert!(answer::<Twice>(b"nothing").is_err());
}

#[test]
fn a_child_that_breaks_down_costs_its_answer_and_nothing_else() {
    for script in ["kill -SEGV $$", "echo 42; exit 1", "echo", "echo 42 43", "exec cat /dev/zero", "exit 0"] {
        let (answer, tidied) = ask(script, LONG, false);
        let error = answer.expect_err(script);
        assert_eq!((error.code(), tidied), ("look.died", 1), "{script}: {error}");
    }
    let (program, patience) = (Path::new("/none"), Duration::ZERO);
    let nobody = IsolatedQuery { program, patience, stop: &|| false, answered: &|| 0, tidy: &|_| {} };
    assert_eq!(nobody.ask(&Twice(1)).unwrap_err().code(), "look.start");
}

#[test]
fn a_child_that_does_not_end_is_ended() {
    let began = Instant::now();
    let (answer, tidied) = ask("exec sleep 600", 50, false);
    assert_eq!((answer.unwrap_err().code(), tidied), ("look.late", 1));
    let (answer, tidied) = ask("exec sleep 600", LONG, true);
    assert_eq!((answer.unwrap_err().code(), tidied), ("cancelled", 1));
    assert!(began.elapsed() < Duration::from_secs(300));
}

#[test]
fn an_error_comes_through_with_its_number() {
    #[derive(Serialize, Deserialize)]
    struct Told(#[serde(with = "errno")] io::Error);
    let through = |error| {
        let text = serde_json::to_string(&Told(error)).unwrap();
        serde_json::from_str::<Told>(&text).unwrap().0
    };
    assert_eq!(through(io::Error::from_raw_os_error(libc::ENODEV)).raw_os_error(), Some(libc::ENODEV));
    assert_eq!(through(io::Error::other("not a regular file")).to_string(), "not a regular file");
}
