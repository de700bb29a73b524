//! A bounded queue between two stages: producers wait while it is full, consumers while it is empty.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

#[derive(Debug)]
struct Inner<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    capacity: usize,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<T>,
    /// The producer has finished; queued items can still be taken.
    ended: bool,
    /// The consumer is gone, or the channel was closed.
    closed: bool,
}

impl<T> Inner<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state.items.clear();
        self.changed.notify_all();
    }
}

/// The consumer is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Popped<T> {
    Item(T),
    Empty,
    End,
}

#[derive(Debug)]
pub struct Producer<T>(Arc<Inner<T>>);

#[derive(Debug)]
pub struct Consumer<T>(Arc<Inner<T>>);

pub fn channel<T>(capacity: usize) -> (Producer<T>, Consumer<T>) {
    let state = Mutex::new(State { items: VecDeque::with_capacity(capacity), ended: false, closed: false });
    let inner = Arc::new(Inner { state, changed: Condvar::new(), capacity: capacity.max(1) });
    (Producer(inner.clone()), Consumer(inner))
}

impl<T> Producer<T> {
    /// Waits until there is room.
    pub fn push(&self, item: T) -> Result<(), Closed> {
        let mut state = self.0.state();
        while !state.closed && state.items.len() >= self.0.capacity {
            state = self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.closed {
            return Err(Closed);
        }
        state.items.push_back(item);
        self.0.changed.notify_all();
        Ok(())
    }

    /// Whether the consumer is gone.
    pub fn is_closed(&self) -> bool {
        self.0.state().closed
    }
}

impl<T> Drop for Producer<T> {
    fn drop(&mut self) {
        self.0.state().ended = true;
        self.0.changed.notify_all();
    }
}

impl<T> Consumer<T> {
    /// Waits for an item up to `timeout`; `Empty` if none came.
    pub fn pop(&self, timeout: Duration) -> Popped<T> {
        let deadline = Instant::now() + timeout;
        let mut state = self.0.state();
        loop {
            if let Some(item) = state.items.pop_front() {
                self.0.changed.notify_all();
                return Popped::Item(item);
            }
            if state.ended || state.closed {
                return Popped::End;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Popped::Empty;
            }
            state = self.0.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// A handle that closes the channel from anywhere.
    pub fn closer(&self) -> Box<dyn Fn() + Send + Sync>
    where
        T: Send + 'static,
    {
        let inner = self.0.clone();
        Box::new(move || inner.close())
    }
}

impl<T> Drop for Consumer<T> {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn items_keep_their_order_and_the_end_comes_last() {
        let (producer, consumer) = channel(2);
        let thread = std::thread::spawn(move || (0..100).try_for_each(|item| producer.push(item)));
        for item in 0..100 {
            assert_eq!(consumer.pop(LONG), Popped::Item(item));
        }
        assert_eq!(consumer.pop(LONG), Popped::End);
        assert_eq!(thread.join().unwrap(), Ok(()));
    }

    #[test]
    fn a_waiting_producer_ends_when_the_lane_is_broken_off() {
        let (producer, consumer) = channel(1);
        producer.push(1).unwrap();
        let close = consumer.closer();
        let thread = std::thread::spawn(move || producer.push(2));
        close();
        assert_eq!(thread.join().unwrap(), Err(Closed));
        assert_eq!(consumer.pop(LONG), Popped::End);
    }

    #[test]
    fn nothing_within_the_timeout_is_empty() {
        let (_producer, consumer) = channel::<u8>(1);
        assert_eq!(consumer.pop(Duration::ZERO), Popped::Empty);
    }
}
