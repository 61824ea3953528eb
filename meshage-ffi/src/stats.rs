//! The counters of a node, as a snapshot.

use std::ffi::{CString, c_char};
use std::ptr;

use meshage::stats::Stats;

use crate::boundary::{Failure, c_string, free, status, value};
use crate::convert::{out, required, text};
use crate::status::meshage_status::{self, MESHAGE_ERR_NOT_FOUND};

/// A node's counters at one moment, sorted by name. It does not change; any thread may read it.
pub struct meshage_stats {
    counters: Vec<(CString, u64)>,
}

impl meshage_stats {
    pub(crate) fn publish(stats: &Stats) -> *mut Self {
        let counters = stats.iter().map(|(name, value)| (c_string(name), value)).collect();
        Box::into_raw(Box::new(Self { counters }))
    }
}

/// How many counters there are; 0 for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_stats_count(stats: Option<&meshage_stats>) -> usize {
    value(0, || stats.map_or(0, |stats| stats.counters.len()))
}

/// The name of the `i`th counter; NULL past the end or for NULL. Borrowed: lives as long as the
/// snapshot.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_stats_name(stats: Option<&meshage_stats>, i: usize) -> *const c_char {
    value(ptr::null(), || {
        let counter = stats.and_then(|stats| stats.counters.get(i));
        counter.map_or(ptr::null(), |(name, _)| name.as_ptr())
    })
}

/// The value of the `i`th counter; 0 past the end or for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_stats_value(stats: Option<&meshage_stats>, i: usize) -> u64 {
    value(0, || stats.and_then(|stats| stats.counters.get(i)).map_or(0, |(_, value)| *value))
}

/// The value of the counter of this name.
///
/// Errors: NULL, UTF8, NOT_FOUND.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_stats_get(
    stats: Option<&meshage_stats>,
    name: *const c_char,
    out: *mut u64,
) -> meshage_status {
    // SAFETY: the caller's promise.
    let out = unsafe { self::out(out, 0) };
    status(|| {
        let stats = required(stats, "stats")?;
        // SAFETY: the caller's promise.
        let name = unsafe { text(name, "name")? };
        let out = required(out, "out")?;
        let found = stats.counters.iter().find(|(known, _)| known.as_bytes() == name.as_bytes());
        let unknown = || Failure::new(MESHAGE_ERR_NOT_FOUND, format!("no counter {name:?}"));
        *out = found.ok_or_else(unknown)?.1;
        Ok(())
    })
}

/// Frees a snapshot. NULL is nothing to free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_stats_free(stats: *mut meshage_stats) {
    // SAFETY: the caller's promise.
    unsafe { free(stats) }
}
