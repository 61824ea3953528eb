//! How many seeds it takes to find a mistake that was planted in the core.
//!
//! It owns the campaign of each mistake: small meshes with faults, with keys or liars where the mistake
//! needs them. A mistake counts as found by a seed that violates an invariant with it, and none without
//! it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::planted::Mistake;

use super::run::{Campaign, InvariantViolation, Keys, SimOptions, run_one};

/// The result of looking for a mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The mistake.
    pub mistake: Mistake,
    /// The violation of the first seed that found it; `None` if no seed did.
    pub violation: Option<InvariantViolation>,
}

impl Finding {
    /// How many seeds it took.
    pub fn seeds(&self) -> Option<u64> {
        self.violation.as_ref().map(|violation| violation.options.seed)
    }

    /// The invariant that was violated, such as `S4`; `panic` for another panic of the core.
    pub fn invariant(&self) -> &str {
        let what = self.violation.as_ref().map_or("", |violation| violation.what.as_str());
        let number = what.split("invariant ").nth(1).unwrap_or("panic");
        number.split(|letter: char| !letter.is_ascii_alphanumeric()).next().unwrap_or(number)
    }
}

/// The options with which a seed looks for a mistake.
pub fn options_of(mistake: Mistake, seed: u64) -> SimOptions {
    let closed = matches!(mistake, Mistake::RemovedKeyAccepted | Mistake::ReplayAccepted);
    let keys = if closed { Keys::Closed } else { Keys::Open };
    let liars = mistake == Mistake::ReversePathUnchecked;
    let campaign =
        Campaign { seeds: 0..0, nodes: 3..=12, degree: None, chaos: true, liars, keys, threads: 1 };
    SimOptions { planted: Some(mistake), ..campaign.options(seed) }
}

/// Runs seeds from 1 to `seeds`, on several threads, until one finds the mistake. Returns the least
/// that does.
pub fn find(mistake: Mistake, seeds: u64, threads: usize) -> Finding {
    let (next, least) = (AtomicU64::new(1), AtomicU64::new(u64::MAX));
    let violations = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed > seeds || seed > least.load(Ordering::Relaxed) {
                        return;
                    }
                    if let Some(violation) = violation(mistake, seed) {
                        least.fetch_min(seed, Ordering::Relaxed);
                        let mut all = violations.lock().unwrap_or_else(PoisonError::into_inner);
                        all.push(violation);
                    }
                }
            });
        }
    });
    let violations = violations.into_inner().unwrap_or_else(PoisonError::into_inner);
    let violation = violations.into_iter().min_by_key(|violation| violation.options.seed);
    Finding { mistake, violation }
}

/// The violation that a seed finds with a mistake, and does not find without it.
fn violation(mistake: Mistake, seed: u64) -> Option<InvariantViolation> {
    let options = options_of(mistake, seed);
    let violation = run_one(options).err()?;
    run_one(SimOptions { planted: None, ..options }).ok()?;
    Some(violation)
}
