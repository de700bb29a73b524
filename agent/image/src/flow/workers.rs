//! Parts of an image that are fetched in sequence, decoded in parallel, and returned in order.
//!
//! Fetching may block where nobody can interrupt it: its thread is left behind by a write that was called off.

use crate::error::ImageError;
use crate::flow::channel::{Consumer, Popped, Producer, channel};
use crate::flow::pieces::TICK;
use crate::flow::stop::Stop;
use std::collections::VecDeque;
use std::thread::{self, Scope};

type Outcome<T> = Result<T, ImageError>;

/// Takes jobs, and returns their results in order.
pub struct Workers<'a, J, R> {
    jobs: Producer<J>,
    /// One queue per worker, used in turn.
    done: VecDeque<Consumer<Outcome<R>>>,
    under_way: usize,
    most: usize,
    stop: &'a Stop,
}

impl<'a, J: Send + 'static, R: Send + 'a> Workers<'a, J, R> {
    /// Starts this many workers, for at most this many jobs at once. The threads end with the workers, or when `stop`
    /// is set.
    pub fn start<'scope, F: Send + 'static, D: FnMut(F) -> Outcome<R> + Send + 'scope>(
        scope: &'scope Scope<'scope, '_>,
        (workers, most): (usize, usize),
        stop: &'a Stop,
        mut fetch: impl FnMut(J) -> Outcome<F> + Send + 'static,
        decode: impl Fn() -> D,
    ) -> Outcome<Self>
    where
        'a: 'scope,
    {
        let (workers, most) = (workers.max(1), most.max(1));
        let (jobs, wanted) = channel::<J>(most);
        let (mut packed, mut done) = (VecDeque::new(), VecDeque::new());
        for number in 0..workers {
            let (fetched, job) = channel::<Outcome<F>>(1);
            let (out, result) = channel(1);
            let decode = decode();
            let named = thread::Builder::new().name(format!("burin-unpack-{number}"));
            let spawned = named.spawn_scoped(scope, move || work(&job, &out, stop, decode));
            spawned.map_err(|source| ImageError::Thread { source })?;
            packed.push_back(fetched);
            done.push_back(result);
        }
        let fetching = move || {
            loop {
                let job = match wanted.pop(TICK) {
                    Popped::Item(job) => job,
                    Popped::Empty => continue,
                    Popped::End => return,
                };
                let Some(to) = packed.front() else { return };
                if to.push(fetch(job)).is_err() {
                    return;
                }
                packed.rotate_left(1);
            }
        };
        let spawned = thread::Builder::new().name("burin-fetch".into()).spawn(fetching);
        spawned.map_err(|source| ImageError::Thread { source })?;
        Ok(Self { jobs, done, under_way: 0, most, stop })
    }

    /// Whether a job can be added without waiting.
    pub fn has_room(&self) -> bool {
        self.under_way < self.most
    }

    pub fn put(&mut self, job: J) -> Outcome<()> {
        self.under_way += 1;
        self.jobs.push(job).map_err(|_| self.ended("fetch"))
    }

    /// The result of the oldest job.
    pub fn next(&mut self) -> Outcome<R> {
        let from = self.done.front().ok_or_else(|| self.ended("unpack"))?;
        let result = loop {
            self.stop.check()?;
            match from.pop(TICK) {
                Popped::Item(result) => break result?,
                Popped::Empty => {}
                Popped::End => return Err(self.ended("unpack")),
            }
        };
        self.done.rotate_left(1);
        self.under_way -= 1;
        Ok(result)
    }

    /// Why the workers have ended.
    fn ended(&self, stage: &'static str) -> ImageError {
        self.stop.check().err().unwrap_or(ImageError::Broken { stage })
    }
}

/// Decodes fetched jobs until there are no more.
fn work<F, R>(
    fetched: &Consumer<Outcome<F>>,
    out: &Producer<Outcome<R>>,
    stop: &Stop,
    mut decode: impl FnMut(F) -> Outcome<R>,
) {
    loop {
        // The fetching thread may hang, and the workers be gone meanwhile.
        if stop.is_set() || out.is_closed() {
            return;
        }
        let result = match fetched.pop(TICK) {
            Popped::Item(fetched) => fetched.and_then(&mut decode),
            Popped::Empty => continue,
            Popped::End => return,
        };
        if out.push(result).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cancel;

    #[test]
    fn results_come_in_the_order_of_the_jobs() {
        let stop = Stop::new(&Cancel::default());
        for workers in [1, 2, 5] {
            thread::scope(|scope| {
                let decode = || |number: u64| Ok(number * 2);
                let mut workers =
                    Workers::start(scope, (workers, 2 * workers), &stop, |number: u64| Ok(number + 1), decode).unwrap();
                let (mut put, mut got) = (0, 0);
                while got < 100 {
                    while workers.has_room() && put < 100 {
                        workers.put(put).unwrap();
                        put += 1;
                    }
                    assert_eq!(workers.next().unwrap(), (got + 1) * 2);
                    got += 1;
                }
            });
        }
    }

    #[test]
    fn errors_come_at_their_place() {
        let stop = Stop::new(&Cancel::default());
        let fail = |number, at| if number == at { Err(ImageError::Cancelled) } else { Ok(number) };
        thread::scope(|scope| {
            let fetch = move |number: u64| fail(number, 1);
            let mut workers = Workers::start(scope, (2, 4), &stop, fetch, || move |number| fail(number, 3)).unwrap();
            (0..4).for_each(|number| workers.put(number).unwrap());
            assert_eq!(workers.next().unwrap(), 0);
            assert!(matches!(workers.next(), Err(ImageError::Cancelled)));
        });
    }

    #[test]
    fn a_fetch_that_hangs_holds_nobody_up() {
        let (hold, held) = std::sync::mpsc::channel::<()>();
        let stop = Stop::new(&Cancel::default());
        thread::scope(|scope| {
            let fetch = move |()| {
                let _ = held.recv();
                Ok(())
            };
            let mut workers = Workers::start(scope, (2, 4), &stop, fetch, || Ok).unwrap();
            workers.put(()).unwrap();
            stop.fail();
            assert!(matches!(workers.next(), Err(ImageError::Cancelled)));
            // The worker may have noticed first.
            while !matches!(workers.done[0].pop(TICK), Popped::End) {}
            assert!(matches!(workers.ended("unpack"), ImageError::Cancelled));
        });
        drop(hold);
    }

    #[test]
    fn a_worker_that_panics_is_an_error() {
        let stop = Stop::new(&Cancel::default());
        let caught = std::panic::catch_unwind(|| {
            thread::scope(|scope| {
                let decode = || |(): ()| -> Outcome<()> { panic!("as if a library had a bug") };
                let mut workers = Workers::start(scope, (1, 1), &stop, Ok, decode).unwrap();
                workers.put(()).unwrap();
                assert!(matches!(workers.next(), Err(ImageError::Broken { stage: "unpack" })));
            });
        });
        assert!(caught.is_err(), "a scope tells of it");
    }
}
