//! The module's only clock.

use std::time::Instant;

/// The time at which it is called.
#[allow(clippy::disallowed_methods, reason = "a wait of the application is measured in real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
