//! Runs blocking work that cannot be interrupted in a thread that a cancelled write does not wait for.

use crate::error::ImageError;
use crate::flow::channel::{Popped, channel};
use crate::flow::pieces::TICK;

/// Runs `work` in a thread of its own, and waits for it until `stopped` returns true. Then the thread is left behind,
/// and ends with its request.
pub fn detached<T: Send + 'static>(
    stage: &'static str,
    stopped: &dyn Fn() -> bool,
    work: impl FnOnce() -> Result<T, ImageError> + Send + 'static,
) -> Result<T, ImageError> {
    let (done, result) = channel(1);
    let named = std::thread::Builder::new().name(format!("burin-{stage}"));
    let spawned = named.spawn(move || {
        let _ = done.push(work());
    });
    spawned.map_err(|source| ImageError::Thread { source })?;
    loop {
        match result.pop(TICK) {
            Popped::Item(result) => return result,
            Popped::End => return Err(ImageError::Broken { stage }),
            Popped::Empty if stopped() => return Err(ImageError::Cancelled),
            Popped::Empty => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_back_and_a_stop_does_not_wait() {
        assert_eq!(detached("test", &|| false, || Ok(5)).unwrap(), 5);
        let (hold, held) = std::sync::mpsc::channel::<()>();
        let never = detached("test", &|| true, move || {
            let _ = held.recv();
            Ok(())
        });
        assert!(matches!(never, Err(ImageError::Cancelled)));
        drop(hold);
        let broken = detached::<()>("test", &|| false, || panic!("as if a library had a bug"));
        assert!(matches!(broken, Err(ImageError::Broken { stage: "test" })));
    }
}
