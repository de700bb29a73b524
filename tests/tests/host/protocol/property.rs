//! Faults, restarted controllers, killed agents and machine resets, in any order. The real client talks to the real
//! reference controller; only the disk is replaced by a list of writes.

use crate::support::*;
use burin::dialect::native::{Next, Session};
use burin::protocol::{Decision, Problem, Receipt};
use burin_tests::controller::{Call, Fault};
use proptest::prelude::*;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

const ORDER: &str = "o1";
const MOST_ATTEMPTS: u32 = 3;

#[derive(Debug, Clone)]
enum Step {
    /// The machine advances by this many steps.
    Go(u8),
    Fault(Call, Fault, u32),
    /// From now on receipts are left unacknowledged, or acknowledged.
    Hold(bool),
    RestartController,
    /// The next agent belongs to the same boot.
    KillAgent,
    /// The next agent belongs to another boot and finds no state.
    ResetMachine,
    /// The written data turns out to be wrong.
    SpoilDisk,
}

fn step() -> impl Strategy<Value = Step> {
    let call = prop_oneof![
        Just(Call::Hello),
        Just(Call::Order),
        Just(Call::Events),
        Just(Call::Grant),
        Just(Call::Receipt),
        Just(Call::Any),
    ];
    let fault = prop_oneof![
        Just(Fault::Status(500)),
        Just(Fault::Drop),
        Just(Fault::LoseReply),
        Just(Fault::CutReply),
        Just(Fault::ContentType("text/html".into())),
        Just(Fault::Body(b"{".to_vec())),
    ];
    prop_oneof![
        8 => (1..4_u8).prop_map(Step::Go),
        3 => (call, fault, 1..6_u32).prop_map(|(call, fault, times)| Step::Fault(call, fault, times)),
        1 => any::<bool>().prop_map(Step::Hold),
        1 => Just(Step::RestartController),
        2 => Just(Step::KillAgent),
        1 => Just(Step::ResetMachine),
        1 => Just(Step::SpoilDisk),
    ]
}

/// How far the machine has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Starting,
    Asking,
    Offered(u32),
    Granted(u32),
    Written(u32),
    /// With or without success.
    Verified(u32, bool),
    /// It would now reboot.
    Gone,
}

/// One write of the disk: attempt, boot, agent process.
type Write = (u32, String, String);

struct Machine {
    bench: Bench,
    boot: u32,
    agent: Option<(Agent, Session)>,
    place: Place,
    spoiled: bool,
    writes: Vec<Write>,
    /// Attempts with a correct read-back, by boot.
    verified: Vec<(u32, String)>,
    /// Set once the acknowledgement of a successful receipt has reached the machine.
    finished: bool,
}

impl Machine {
    fn new() -> Self {
        let bench = Bench::new(|options| options.max_attempts = MOST_ATTEMPTS);
        bench.controller().put_order("default", order(ORDER)).unwrap();
        let (writes, verified) = (Vec::new(), Vec::new());
        let (place, spoiled, finished) = (Place::Starting, false, false);
        Self { bench, boot: 1, agent: None, place, spoiled, writes, verified, finished }
    }

    fn boot_id(&self) -> String {
        format!("boot-{}", self.boot)
    }

    fn receipt(&self, attempt: u32, success: bool) -> Receipt {
        let mut receipt = receipt_for(ORDER, attempt, &self.boot_id());
        let problem = || Problem { code: "image.verify".into(), message: "m".into(), causes: vec![], hint: None };
        receipt.problem = (!success).then(problem);
        receipt
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Go(steps) => (0..steps).for_each(|_| self.go()),
            Step::Fault(call, fault, times) => self.bench.controller().faults().set(call, fault, times),
            Step::Hold(true) => self.restart(true),
            Step::Hold(false) => {
                self.bench.options.hold_receipts = false;
                self.bench.controller().acknowledge();
            }
            Step::RestartController => self.restart(self.bench.options.hold_receipts),
            Step::KillAgent => (self.agent, self.place) = (None, Place::Starting),
            Step::ResetMachine => {
                (self.agent, self.place) = (None, Place::Starting);
                let _ = std::fs::remove_dir_all(self.bench.state());
                self.boot += 1;
            }
            Step::SpoilDisk => self.spoiled = true,
        }
    }

    fn restart(&mut self, hold: bool) {
        self.bench.stop();
        self.bench.options.hold_receipts = hold;
        self.bench.start();
    }

    /// One step of an agent's work, see `run/controlled.rs`. If the controller is unavailable, it does not advance.
    fn go(&mut self) {
        if self.place == Place::Starting {
            self.agent = self.connect();
        }
        let Some((agent, session)) = &self.agent else { return };
        let patience = Duration::from_millis(300);
        self.place = match self.place {
            Place::Starting => Place::Asking,
            Place::Asking => match session.next_order(Duration::ZERO) {
                Ok(Next::Order(offer)) => Place::Offered(offer.attempt),
                _ => Place::Asking,
            },
            Place::Offered(attempt) => match session.grant(ORDER, attempt, "sha256:00") {
                Ok(()) => Place::Granted(attempt),
                Err(error) if error.is_final() => Place::Asking,
                Err(_) => Place::Offered(attempt),
            },
            Place::Granted(attempt) => {
                let boot = self.boot_id();
                self.writes.push((attempt, boot, agent.hello.instance.clone()));
                agent.emitter.emit(finished("write"));
                self.spoiled = false;
                Place::Written(attempt)
            }
            Place::Written(attempt) => {
                let right = !self.spoiled;
                if right {
                    self.verified.push((attempt, self.boot_id()));
                }
                agent.emitter.emit(finished("verify"));
                Place::Verified(attempt, right)
            }
            Place::Verified(attempt, success) => {
                match session.post_receipt(&self.receipt(attempt, success), patience) {
                    Ok(()) if success => Place::Gone,
                    Ok(()) => Place::Asking,
                    Err(_) => self.place,
                }
            }
            Place::Gone => Place::Gone,
        };
        self.finished |= self.place == Place::Gone;
    }

    /// Hello, and the receipt that a previous agent could not deliver.
    fn connect(&self) -> Option<(Agent, Session)> {
        let mut agent = self.bench.agent(&self.boot_id());
        agent.options.notify = Arc::new(|waiting| match waiting.tries {
            0..8 => ControlFlow::Continue(()),
            _ => ControlFlow::Break(()),
        });
        let session = Session::connect(agent.options.clone(), agent.hello.clone(), &agent.emitter).ok()?;
        if let Some(left) = agent.memory().receipt() {
            session.post_receipt(&left, Duration::from_millis(300)).ok()?;
        }
        Some((agent, session))
    }

    fn holds(&self) -> Result<(), TestCaseError> {
        let view = self.bench.view();
        let granted: Vec<_> = view
            .grants
            .iter()
            .filter(|(_, reply)| reply.decision == Decision::Granted)
            .map(|(asked, _)| asked)
            .collect();
        for asked in &granted {
            let same = granted.iter().filter(|other| other.attempt == asked.attempt).count();
            prop_assert_eq!(same, 1, "attempt {} was granted {} times", asked.attempt, same);
            prop_assert!(asked.attempt <= MOST_ATTEMPTS);
        }
        for (attempt, boot, instance) in &self.writes {
            let leave = granted
                .iter()
                .any(|asked| (asked.attempt, &asked.boot_id, &asked.instance) == (*attempt, boot, instance));
            prop_assert!(leave, "attempt {} of {} wrote without leave", attempt, boot);
            let times = self.writes.iter().filter(|(other, ..)| other == attempt).count();
            prop_assert_eq!(times, 1, "attempt {} wrote {} times", attempt, times);
        }
        for receipt in view.receipts.iter().filter(|receipt| receipt.problem.is_none()) {
            let verified = self.verified.contains(&(receipt.attempt, receipt.boot_id.clone()));
            prop_assert!(verified, "a success that was not read back: {:?}", receipt);
        }
        if self.finished {
            let told = view.receipts.iter().any(|receipt| receipt.problem.is_none());
            prop_assert!(told, "the machine went away before its receipt was kept");
        }
        // The acknowledged events are exactly the machine's, without a gap.
        for (boot, kept) in &view.boots {
            let whole = (1..=kept.acked).all(|sequence| kept.events.contains_key(&sequence));
            prop_assert!(whole, "{} has a hole below {}", boot, kept.acked);
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 64, ..ProptestConfig::default() })]
    #[test]
    fn no_order_of_things_breaks_the_promises(steps in proptest::collection::vec(step(), 4..24)) {
        let mut machine = Machine::new();
        for step in steps {
            machine.take(step);
            machine.holds()?;
        }
        // Undisturbed, it comes to an end: installed and acknowledged, or out of attempts.
        machine.take(Step::Hold(false));
        machine.bench.controller().faults().heal();
        (0..40).for_each(|_| machine.go());
        machine.holds()?;
        let view = machine.bench.view();
        let installed = view.receipts.iter().any(|receipt| receipt.problem.is_none());
        let exhausted = view.next_attempt(ORDER) > MOST_ATTEMPTS;
        prop_assert!(installed || exhausted, "{:?} {:?}", machine.place, view.grants);
    }
}
