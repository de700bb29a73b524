use super::*;

const DATE: &str = "Sun, 22 Nov 2026 09:00:00 GMT";

fn date() -> SystemTime {
    httpdate::parse_http_date(DATE).unwrap()
}

fn floor() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_767_225_600)
}

fn days(count: u64) -> Duration {
    Duration::from_secs(count * 86400)
}

/// A clock that can or cannot be set, and the times that it was set to.
fn recording(can_be_set: bool) -> (Clock, Arc<Mutex<Vec<SystemTime>>>) {
    let set = Arc::new(Mutex::new(Vec::new()));
    let seen = set.clone();
    let setter = move |time| {
        seen.lock().unwrap().push(time);
        can_be_set
    };
    (Clock::untrusted(floor(), setter), set)
}

#[test]
fn the_first_date_sets_a_wrong_clock_once() {
    let (clock, set) = recording(true);
    clock.observe(DATE, UNIX_EPOCH);
    clock.observe("Mon, 23 Nov 2026 09:00:00 GMT", UNIX_EPOCH);
    assert_eq!(*set.lock().unwrap(), [date()]);
    assert!(clock.is_trusted());
    assert_eq!(clock.validity(date()), Validity::At(date()));
}

#[test]
fn a_clock_that_cannot_be_set_is_not_trusted() {
    let (clock, set) = recording(false);
    clock.observe(DATE, UNIX_EPOCH);
    assert_eq!(set.lock().unwrap().len(), 1);
    assert!(!clock.is_trusted());
    assert_eq!(clock.validity(UNIX_EPOCH), Validity::NotEndedAt(floor()));
}

#[test]
fn a_right_clock_is_believed_and_not_set() {
    let (clock, set) = recording(true);
    clock.observe(DATE, date() + Duration::from_secs(30));
    assert!(clock.is_trusted() && set.lock().unwrap().is_empty());
}

#[test]
fn nonsense_tells_nothing() {
    let (clock, set) = recording(true);
    for date in ["", "yesterday", "Thu, 01 Jan 1970 00:00:00 GMT", "Thu, 01 Jan 2099 00:00:00 GMT"] {
        clock.observe(date, UNIX_EPOCH);
    }
    assert!(!clock.is_trusted() && set.lock().unwrap().is_empty());
}

#[test]
fn an_unset_clock_counts_where_it_is_plausible() {
    let (clock, _) = recording(true);
    let plausible = floor() + days(200);
    assert_eq!(clock.validity(plausible), Validity::NotEndedAt(plausible));
    for wrong in [UNIX_EPOCH, floor() - days(1), floor() + days(20 * 365)] {
        assert_eq!(clock.validity(wrong), Validity::NotEndedAt(floor()));
    }
}

#[test]
fn a_time_server_that_the_controller_contradicts_is_not_believed_nor_is_the_controller() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let seen = heard.clone();
    let clock = Clock::by_time_server(floor(), move |apart| seen.lock().unwrap().push(apart));
    clock.observe(DATE, date() + Duration::from_secs(100));
    assert!(clock.is_trusted() && heard.lock().unwrap().is_empty());
    let turned_back = date() - days(90);
    for _ in 0..2 {
        clock.observe(DATE, turned_back);
    }
    assert_eq!(*heard.lock().unwrap(), [days(90)], "told once");
    assert!(!clock.is_trusted());
    assert_eq!(clock.validity(turned_back), Validity::AtBoth(turned_back, date()));
}
