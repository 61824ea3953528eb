//! What became of a send, recipient by recipient.

use std::ffi::{CString, c_char};
use std::ptr;
use std::sync::OnceLock;

use meshage::message::Report;

use crate::boundary::{Failure, c_string, free, value};
use crate::names::nth;
use crate::status::{self, meshage_status, of_outcome};

/// How many recipients the last error names; the report names them all.
const NAMED_MAX: usize = 4;

/// The outcome of a send for each of its recipients. It does not change; any thread may read it.
pub struct meshage_report {
    report: Report,
    /// Made when the first is asked for.
    names: OnceLock<Vec<CString>>,
}

impl meshage_report {
    pub(crate) fn publish(report: Report) -> *mut Self {
        Box::into_raw(Box::new(Self { report, names: OnceLock::new() }))
    }

    fn names(&self) -> &[CString] {
        self.names.get_or_init(|| {
            let names = self.report.outcomes().iter().map(|(name, _)| c_string(name.as_str()));
            names.collect()
        })
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
    value(0, || report.map_or(0, |report| report.report.outcomes().len()))
}

/// How many of them have the message; 0 for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_report_delivered(report: Option<&meshage_report>) -> usize {
    value(0, || report.map_or(0, |report| report.report.delivered().count()))
}

/// The name of the `i`th recipient, in the order given (of a broadcast: by name); NULL past the end
/// or for NULL. Borrowed: lives as long as the report.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_report_recipient(
    report: Option<&meshage_report>,
    i: usize,
) -> *const c_char {
    value(ptr::null(), || report.map_or(ptr::null(), |report| nth(report.names(), i)))
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
        Some(report) => {
            let outcome = report.report.outcomes().get(i);
            outcome.map_or(meshage_status::MESHAGE_ERR_INVALID, |&(_, outcome)| of_outcome(outcome))
        }
    })
}

/// Frees a report. NULL is nothing to free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_report_free(report: *mut meshage_report) {
    // SAFETY: the caller's promise.
    unsafe { free(report) }
}
