//! Reads the bytes of an order from the place that the command line names.

use crate::calls::{Call, Client, ControllerError, ORDER_LIMIT};
use crate::error::Coded;
use burin_http::{Backoff, Retry, Timeouts, Trust};
use std::io::Read;
use std::path::Path;

/// The bytes of `burin.order=`: a path or an http(s) URL. One try; at most 4 MiB.
pub fn fetch_order(place: &str, trust: &Trust) -> Result<Vec<u8>, ControllerError> {
    if is_url(place) {
        let client = Client::new(place, trust, &Timeouts::CALLS)?;
        return client.call(Call { limit: ORDER_LIMIT, ..Call::default() }).map(|reply| reply.body);
    }
    let path = Path::new(place.strip_prefix("file://").unwrap_or(place));
    let failed = |source| ControllerError::Read { path: path.into(), source };
    let mut body = Vec::new();
    std::fs::File::open(path).map_err(failed)?.take(ORDER_LIMIT + 1).read_to_end(&mut body).map_err(failed)?;
    if body.len() as u64 > ORDER_LIMIT {
        return Err(ControllerError::TooLarge { url: place.to_owned(), limit: ORDER_LIMIT });
    }
    Ok(body)
}

/// Like [`fetch_order`], but a server is asked again until it has the order: it may start later than this machine, or
/// the order may not have been written yet.
pub fn fetch_patiently(place: &str, trust: &Trust, retry: &Retry) -> Result<Vec<u8>, ControllerError> {
    let mut backoff = Backoff::new(retry);
    loop {
        let error = match fetch_order(place, trust) {
            Err(error) if is_url(place) && !error.is_final() => error,
            result => return result,
        };
        let wait = backoff.next(error.retry_after());
        let problem = error.problem();
        let chain = [vec![problem.message], problem.causes].concat().join(": ");
        log::warn!("order: {chain}; again in {:.1} s", wait.as_secs_f32());
        std::thread::sleep(wait);
    }
}

fn is_url(place: &str) -> bool {
    place.starts_with("http://") || place.starts_with("https://")
}
