//! Tests of the pool that reads many devices.

use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};

fn source() -> Arc<dyn Source> {
    Arc::new(crate::source::Recording::default())
}

fn jobs(count: usize) -> Vec<(String, usize)> {
    (0..count).map(|n| (format!("sd{n}"), n)).collect()
}

#[test]
fn five_thousand_in_a_few_threads() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let limits = Limits { at_once: 16, each: Duration::from_secs(60), all: Duration::from_secs(300) };
    let outcomes = devices(jobs(5000), &limits, &source(), {
        let (now, most) = (now.clone(), most.clone());
        move |_, n, publish: &dyn Fn(&usize)| {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            publish(&n);
            now.fetch_sub(1, Ordering::SeqCst);
        }
    });
    let values: Vec<usize> = outcomes.iter().filter_map(|o| o.value.as_ref().map(|(n, _)| *n)).collect();
    assert_eq!(values, (0..5000).collect::<Vec<_>>());
    assert!(outcomes.iter().all(|o| o.failure.is_none()));
    // A thread counts itself out before the pool hears of it.
    assert!(most.load(Ordering::SeqCst) <= 17, "{most:?}");
}

/// Hung devices take the place of others only until their deadline, and keep what they have told.
#[test]
fn those_that_hang_do_not_stop_the_others() {
    let limits = Limits { at_once: 8, each: Duration::from_millis(500), all: Duration::from_secs(60) };
    let outcomes = devices(jobs(40), &limits, &source(), |_, n, publish: &dyn Fn(&usize)| {
        publish(&n);
        if n % 8 == 0 {
            std::thread::sleep(Duration::from_secs(120));
            publish(&1000);
        }
    });
    for (n, outcome) in outcomes.iter().enumerate() {
        assert_eq!(outcome.value.as_ref().map(|(value, _)| *value), Some(n));
        let expected = (n % 8 == 0).then_some(Status::Timeout);
        assert_eq!(outcome.failure.as_ref().map(|f| f.status), expected, "{n}");
    }
}

/// There is an end to how many threads are left behind.
#[test]
fn when_all_hang_the_rest_is_not_asked() {
    let limits = Limits { at_once: 4, each: Duration::from_millis(100), all: Duration::from_secs(60) };
    let started = Arc::new(AtomicUsize::new(0));
    let outcomes = devices(jobs(100), &limits, &source(), {
        let started = started.clone();
        move |_, _, _: &dyn Fn(&usize)| {
            started.fetch_add(1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_secs(120));
        }
    });
    assert!(started.load(Ordering::SeqCst) <= 8);
    assert_eq!(outcomes.len(), 100);
    let messages: Vec<_> = outcomes.iter().filter_map(|o| o.failure.as_ref()).collect();
    assert!(messages.iter().all(|f| f.status == Status::Timeout));
    assert!(messages.last().is_some_and(|f| f.what == "sd99" && f.message.starts_with("not asked")), "{messages:?}");
}

#[test]
fn a_panic_is_its_own() {
    let limits = Limits::new(Duration::from_secs(60), Duration::from_secs(60));
    let outcomes = devices(jobs(3), &limits, &source(), |_, n, publish: &dyn Fn(&usize)| {
        assert!(n != 1, "bad table");
        publish(&n);
    });
    let failures: Vec<_> = outcomes.iter().map(|o| o.failure.as_ref().map(|f| f.message.as_str())).collect();
    assert!(failures[1].is_some_and(|text| text.contains("bad table")), "{failures:?}");
    assert_eq!((failures[0], failures[2]), (None, None));
}
