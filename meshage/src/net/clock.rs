//! The one place where the node reads a clock or asks the system for chance. Everything else is
//! told.

use std::io;
use std::time::{Duration, Instant};

use rand::TryRng as _;
use rand::rngs::SysRng;

use crate::name::Instance;

/// Time from now on that no caller waits out: 100 years. A longer wait has no deadline at all.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// The time.
#[expect(clippy::disallowed_methods, reason = "here, and nowhere else")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// When a wait that begins now is over; `None` for one that never is.
pub(crate) fn deadline(wait: Duration) -> Option<Instant> {
    deadline_from(now(), wait)
}

/// When a wait that began then is over; `None` for one that never is.
pub(crate) fn deadline_from(start: Instant, wait: Duration) -> Option<Instant> {
    if wait >= FOREVER { None } else { start.checked_add(wait) }
}

/// What the control plane's chance grows from.
pub(crate) fn seed() -> io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    SysRng.try_fill_bytes(&mut seed).map_err(io::Error::other)?;
    Ok(seed)
}

/// A new life.
pub(crate) fn instance() -> io::Result<Instance> {
    SysRng.try_next_u64().map(Instance).map_err(io::Error::other)
}
