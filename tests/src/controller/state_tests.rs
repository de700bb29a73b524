//! Whatever agents ask, in whatever order, and however often the controller is restarted in between.

use super::*;
use burin::protocol::event::{Dropped, StageFinished};
use burin::protocol::{EventId, receipt};
use proptest::prelude::*;
use std::time::SystemTime;

const MACHINE: &str = "m";
const MOST_ATTEMPTS: u32 = 2;

#[derive(Debug, Clone)]
enum Step {
    Grant {
        order: u8,
        attempt: u32,
        plan: u8,
        boot: u8,
        instance: u8,
    },
    /// Requests a grant for the attempt that the controller expects next.
    GrantNext {
        plan: u8,
        boot: u8,
        instance: u8,
    },
    Receipt {
        attempt: u32,
        failed: bool,
    },
    Control(Control),
    Events {
        first: u64,
        count: u64,
        dropped: bool,
    },
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..2_u8, 0..5_u32, 0..2_u8, 0..2_u8, 0..2_u8)
            .prop_map(|(order, attempt, plan, boot, instance)| Step::Grant { order, attempt, plan, boot, instance }),
        3 => (0..2_u8, 0..2_u8, 0..2_u8).prop_map(|(plan, boot, instance)| Step::GrantNext { plan, boot, instance }),
        1 => (1..4_u32, any::<bool>()).prop_map(|(attempt, failed)| Step::Receipt { attempt, failed }),
        1 => prop_oneof![Just(Control::Continue), Just(Control::Hold), Just(Control::Cancel)].prop_map(Step::Control),
        3 => (1..40_u64, 1..6_u64, any::<bool>())
            .prop_map(|(first, count, dropped)| Step::Events { first, count, dropped }),
        1 => Just(Step::Restart),
    ]
}

fn request(order: u8, attempt: u32, plan: u8, boot: u8, instance: u8) -> GrantRequest {
    GrantRequest {
        version: grant::VERSION.into(),
        order: format!("o{order}"),
        attempt,
        plan_digest: format!("sha256:{plan}"),
        boot_id: format!("b{boot}"),
        instance: format!("i{instance}"),
    }
}

fn receipt_of(attempt: u32, failed: bool) -> Receipt {
    let problem = || Problem { code: "x.y".into(), message: "m".into(), causes: vec![], hint: None };
    // From JSON, so that new fields of receipts do not matter here.
    serde_json::from_value(serde_json::json!({
        "version": receipt::VERSION, "order": "o0", "attempt": attempt, "boot_id": "b0", "plan_digest": null,
        "problem": failed.then(problem), "images": [], "stages": [],
    }))
    .unwrap()
}

fn event(sequence: u64, from: Option<u64>) -> Event {
    let kind = match from {
        Some(from) => Kind::Dropped(Dropped { from, count: sequence - from + 1 }),
        None => Kind::StageFinished(StageFinished { stage: "s".into(), duration_ms: sequence }),
    };
    Event::new(EventId { boot_id: "b0".into(), sequence }, "/", SystemTime::UNIX_EPOCH, None, &kind)
}

/// State and journal, as in the server.
#[derive(Default)]
struct Bench {
    state: State,
    journal: Vec<String>,
}

impl Bench {
    fn keep(&mut self, record: JournalRecord) -> Vec<Event> {
        self.journal.push(serde_json::to_string(&record).unwrap());
        self.state.apply(record)
    }

    fn restart(&mut self) {
        let before = format!("{:?}", self.state);
        self.state = State::default();
        for line in &self.journal {
            self.state.apply(serde_json::from_str(line).unwrap());
        }
        assert_eq!(format!("{:?}", self.state), before);
    }

    fn ask(&mut self, request: &GrantRequest) -> Decision {
        let order = StoredOrder::new(br#"{"id":"o0"}"#.to_vec());
        let (reply, new) = self.state.decide(MACHINE, request, Some(&order), MOST_ATTEMPTS);
        if new {
            let (request, reply) = (Box::new(request.clone()), Box::new(reply.clone()));
            self.keep(JournalRecord::Grant { machine: MACHINE.into(), request, reply });
        }
        reply.decision
    }

    fn view(&self) -> &MachineView {
        &self.state.machines[MACHINE]
    }
}

proptest! {
    #[test]
    fn one_grant_for_an_attempt_and_never_more_attempts_than_allowed(steps in proptest::collection::vec(step(), 0..80)) {
        let mut bench = Bench::default();
        bench.keep(JournalRecord::Control { machine: MACHINE.into(), control: Control::Continue });
        let mut seen = std::collections::BTreeSet::new();
        for step in steps {
            match step {
                Step::Grant { order, attempt, plan, boot, instance } => {
                    let request = request(order, attempt, plan, boot, instance);
                    let answer = bench.ask(&request);
                    prop_assert_eq!(bench.ask(&request), answer, "the same question, the same answer");
                    prop_assert!(order == 0 || answer == Decision::Refused);
                }
                Step::GrantNext { plan, boot, instance } => {
                    let attempt = bench.view().next_attempt("o0");
                    let answer = bench.ask(&request(0, attempt, plan, boot, instance));
                    let may = attempt <= MOST_ATTEMPTS && bench.view().control != Control::Cancel;
                    prop_assert!(may || answer == Decision::Refused);
                }
                Step::Receipt { attempt, failed } => {
                    let receipt = Box::new(receipt_of(attempt, failed));
                    bench.keep(JournalRecord::Receipt { machine: MACHINE.into(), receipt });
                }
                Step::Control(control) => {
                    bench.keep(JournalRecord::Control { machine: MACHINE.into(), control });
                }
                Step::Events { first, count, dropped } => {
                    let last = first + count - 1;
                    let events = match dropped {
                        true => vec![event(last, Some(first))],
                        false => (first..=last).map(|sequence| event(sequence, None)).collect(),
                    };
                    for new in bench.keep(JournalRecord::Events { machine: MACHINE.into(), events }) {
                        prop_assert!(seen.insert(new.id.sequence), "{} is told twice", new.id);
                    }
                }
                Step::Restart => bench.restart(),
            }
            let granted: Vec<u32> = bench.view().grants.iter()
                .filter(|(_, reply)| reply.decision == Decision::Granted)
                .map(|(request, _)| request.attempt)
                .collect();
            let distinct: std::collections::BTreeSet<u32> = granted.iter().copied().collect();
            prop_assert_eq!(distinct.len(), granted.len(), "an attempt is granted once: {:?}", granted);
            prop_assert!(granted.iter().all(|attempt| (1..=MOST_ATTEMPTS).contains(attempt)), "{granted:?}");
            // Acknowledged sequences have no gap: each is present, or covered by a stand-in.
            if let Some(boot) = bench.view().boots.get("b0") {
                let covered = |sequence: &u64| {
                    boot.events.contains_key(sequence)
                        || boot.dropped.iter().any(|(last, from)| from <= sequence && sequence <= last)
                };
                prop_assert!((1..=boot.acked).all(|sequence| covered(&sequence)), "{boot:?}");
                prop_assert!(!covered(&(boot.acked + 1)), "{boot:?}");
            }
        }
    }
}
