//! A snapshot of a node's counters.

use std::ffi::{CString, c_char};
use std::ptr;

use meshage::stats::Stats;

use crate::boundary::{c_string, free, read, status};
use crate::convert::{out, required, text};
use crate::failure::Failure;
use crate::status::meshage_status::{self, MESHAGE_ERR_NOT_FOUND};

/// A snapshot of a node's counters, sorted by name. Immutable; any number of threads may read it.
pub struct meshage_stats {
    counters: Vec<(CString, u64)>,
}

impl meshage_stats {
    pub(crate) fn new_raw(stats: &Stats) -> *mut Self {
        let counters = stats.iter().map(|(name, value)| (c_string(name), value)).collect();
        Box::into_raw(Box::new(Self { counters }))
    }
}

/// Returns the number of counters; 0 for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_stats_count(stats: Option<&meshage_stats>) -> usize {
    read(stats, 0, |stats| stats.counters.len())
}

/// Returns the name of counter `i`, counted from 0; NULL if `i` is past the end or for NULL.
/// Borrowed: valid as long as the snapshot.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_stats_name(stats: Option<&meshage_stats>, i: usize) -> *const c_char {
    read(stats, ptr::null(), |stats| {
        stats.counters.get(i).map_or(ptr::null(), |(name, _)| name.as_ptr())
    })
}

/// Returns the value of counter `i`, counted from 0; 0 if `i` is past the end or for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_stats_value(stats: Option<&meshage_stats>, i: usize) -> u64 {
    read(stats, 0, |stats| stats.counters.get(i).map_or(0, |(_, value)| *value))
}

/// Returns in `*out` the value of the named counter.
///
/// Errors: NULL, UTF8, NOT_FOUND. Does not block.
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
        let unknown =
            || Failure::new(MESHAGE_ERR_NOT_FOUND, format!("there is no counter named {name:?}"));
        *out = found.ok_or_else(unknown)?.1;
        Ok(())
    })
}

/// Frees a snapshot of counters. Does nothing for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_stats_free(stats: *mut meshage_stats) {
    // SAFETY: the caller's promise.
    unsafe { free(stats) }
}
