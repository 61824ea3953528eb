//! What became of a send, recipient by recipient.

use std::ffi::{CString, c_char};
use std::ptr;

use meshage::message::Report;

use crate::boundary::{Failure, c_string, free, value};
use crate::status::{self, meshage_status};

/// How many recipients the last error names; the report names them all.
const NAMED_MAX: usize = 4;

/// The outcome of a send for each of its recipients. It does not change; any thread may read it.
pub struct meshage_report {
    outcomes: Vec<(CString, meshage_status)>,
}

impl From<&Report> for meshage_report {
    fn from(report: &Report) -> Self {
        let of = |(name, outcome): &(meshage::name::NodeName, _)| {
            (c_string(name.as_str()), status::of_outcome(*outcome))
        };
        Self { outcomes: report.outcomes().iter().map(of).collect() }
    }
}

impl meshage_report {
    pub(crate) fn publish(report: &Report) -> *mut Self {
        Box::into_raw(Box::new(report.into()))
    }
}

/// What a send answers: success, or what is wrong with whom.
pub(crate) fn judge(report: &Report) -> Result<(), Failure> {
    let status = status::of_report(report);
    if status == meshage_status::MESHAGE_OK {
        return Ok(());
    }
    let failed: Vec<_> = report.failed().collect();
    let named = failed.iter().take(NAMED_MAX).map(|(name, outcome)| format!("{name}: {outcome}"));
    let mut text = named.collect::<Vec<_>>().join("; ");
    if failed.len() > NAMED_MAX {
        text.push_str(&format!("; and {} more", failed.len() - NAMED_MAX));
    }
    Err(Failure::new(status, text))
}

/// How many recipients there were, each once; 0 for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_report_count(report: Option<&meshage_report>) -> usize {
    value(0, || report.map_or(0, |report| report.outcomes.len()))
}

/// How many of them have the message; 0 for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_report_delivered(report: Option<&meshage_report>) -> usize {
    value(0, || {
        let outcomes = report.map_or([].as_slice(), |report| &report.outcomes);
        outcomes.iter().filter(|(_, status)| *status == meshage_status::MESHAGE_OK).count()
    })
}

/// The name of the `i`th recipient, in the order given (of a broadcast: by name); NULL past the end
/// or for NULL. Borrowed: lives as long as the report.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_report_recipient(
    report: Option<&meshage_report>,
    i: usize,
) -> *const c_char {
    value(ptr::null(), || {
        let entry = report.and_then(|report| report.outcomes.get(i));
        entry.map_or(ptr::null(), |(name, _)| name.as_ptr())
    })
}

/// What became of the message at the `i`th recipient: OK; certainly not delivered: NO_ROUTE, BUSY,
/// TOO_LARGE, CANCELED; unknown: TIMEOUT, LOST. INVALID where `i` is past the end (no recipient
/// ever has it), NULL for NULL.
///
/// Leaves the last error as it is.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_report_status(
    report: Option<&meshage_report>,
    i: usize,
) -> meshage_status {
    value(meshage_status::MESHAGE_ERR_PANIC, || match report {
        None => meshage_status::MESHAGE_ERR_NULL,
        Some(report) => report
            .outcomes
            .get(i)
            .map_or(meshage_status::MESHAGE_ERR_INVALID, |(_, status)| *status),
    })
}

/// Frees a report. NULL is nothing to free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_report_free(report: *mut meshage_report) {
    // SAFETY: the caller's promise.
    unsafe { free(report) }
}
