//! The report of a send: one outcome for each recipient.

use std::ffi::{CString, c_char};
use std::ptr;
use std::sync::OnceLock;

use meshage::message::Report;

use crate::boundary::{c_string, free, read, value};
use crate::failure::Failure;
use crate::names::nth;
use crate::status::{self, meshage_status, of_outcome};

/// The number of recipients that the last error names. The report has all of them.
const NAMED_MAX: usize = 4;

/// The report of a send: one outcome for each recipient. Immutable; any number of threads may read
/// it.
pub struct meshage_report {
    report: Report,
    /// Converted when the first name is read.
    names: OnceLock<Vec<CString>>,
}

impl meshage_report {
    pub(crate) fn new_raw(report: Report) -> *mut Self {
        Box::into_raw(Box::new(Self { report, names: OnceLock::new() }))
    }

    fn names(&self) -> &[CString] {
        self.names.get_or_init(|| {
            let names = self.report.outcomes().iter().map(|(name, _)| c_string(name.as_str()));
            names.collect()
        })
    }
}

/// The result of a send: success, or a failure that names recipients and their outcomes.
pub(crate) fn to_result(report: &Report) -> Result<(), Failure> {
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

/// Returns the number of recipients, each counted once; 0 for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_report_count(report: Option<&meshage_report>) -> usize {
    read(report, 0, |report| report.report.outcomes().len())
}

/// Returns the number of recipients to which the message was delivered; 0 for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_report_delivered(report: Option<&meshage_report>) -> usize {
    read(report, 0, |report| report.report.delivered().count())
}

/// Returns the name of recipient `i`, counted from 0 in the order in which the recipients were
/// given (for a broadcast: sorted by name); NULL if `i` is past the end or for NULL. Borrowed:
/// valid as long as the report.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_report_recipient(
    report: Option<&meshage_report>,
    i: usize,
) -> *const c_char {
    read(report, ptr::null(), |report| nth(report.names(), i))
}

/// Returns the outcome for recipient `i`: OK if the message was delivered; NO_ROUTE, BUSY,
/// TOO_LARGE or CANCELED if it was certainly not delivered; TIMEOUT or LOST if that is unknown.
/// INVALID if `i` is past the end (it is never an outcome); NULL for NULL.
///
/// Leaves the last error unchanged.
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

/// Frees a report. Does nothing for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_report_free(report: *mut meshage_report) {
    // SAFETY: the caller's promise.
    unsafe { free(report) }
}
