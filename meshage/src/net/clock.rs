//! The only module that reads a clock or asks the system for random numbers. Everything else gets
//! both as arguments.

use std::io;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rand::TryRng as _;
use rand::rngs::SysRng;

use crate::name::Instance;
use crate::secure::UnixMillis;

/// A wait of this length (100 years) or more has no deadline.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// The current time.
#[expect(clippy::disallowed_methods, reason = "here, and nowhere else")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The current time of day. It may jump when the clock is set.
#[expect(clippy::disallowed_methods, reason = "here, and nowhere else")]
pub(crate) fn unix_millis() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// The deadline of a wait that begins now; `None` for a wait without one.
pub(crate) fn deadline(wait: Duration) -> Option<Instant> {
    deadline_from(now(), wait)
}

/// The deadline of a wait that begins at `start`; `None` for a wait without one.
pub(crate) fn deadline_from(start: Instant, wait: Duration) -> Option<Instant> {
    if wait >= FOREVER { None } else { start.checked_add(wait) }
}

/// Waits until the deadline has passed. It needs a runtime from the first poll on.
pub(crate) async fn passed(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

/// A seed for the random number generator of the control plane.
pub(crate) fn seed() -> io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    SysRng.try_fill_bytes(&mut seed).map_err(io::Error::other)?;
    Ok(seed)
}

/// Fills a buffer with random bytes of the system.
pub(crate) fn fill_random(bytes: &mut [u8]) {
    #[expect(clippy::expect_used, reason = "a node has started, so the system has random numbers")]
    SysRng.try_fill_bytes(bytes).expect("the system has random numbers");
}

/// A random instance for a node that starts.
pub(crate) fn instance() -> io::Result<Instance> {
    SysRng.try_next_u64().map(Instance).map_err(io::Error::other)
}
