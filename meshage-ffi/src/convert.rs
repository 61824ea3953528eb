//! Arguments of C as values of Rust, each checked once.

use std::ffi::{CStr, c_char, c_void};
use std::time::Duration;

use bytes::Bytes;
use meshage::name::{Names, NodeName};

use crate::boundary::Failure;
use crate::constants::{MESHAGE_DEFAULT, MESHAGE_INFINITE};
use crate::status::meshage_status::{
    MESHAGE_ERR_AGAIN, MESHAGE_ERR_INVALID, MESHAGE_ERR_NULL, MESHAGE_ERR_TIMEOUT,
    MESHAGE_ERR_TOO_LARGE, MESHAGE_ERR_UTF8,
};

/// The largest body that is copied at all: the largest that a configuration may allow. Beyond it
/// a length is a mistake, and reading so much memory of the caller's would be another.
const BODY_BYTES_MAX: usize = 1 << 30;

/// A required argument; `what` is its name in the header.
pub(crate) fn required<T>(argument: Option<T>, what: &str) -> Result<T, Failure> {
    argument.ok_or_else(|| Failure::new(MESHAGE_ERR_NULL, format!("{what} is NULL")))
}

/// An out-parameter, cleared first.
///
/// # Safety
/// `out` is NULL or may be written to for as long as `'a`.
pub(crate) unsafe fn out<'a, T>(out: *mut T, cleared: T) -> Option<&'a mut T> {
    if out.is_null() {
        return None;
    }
    // SAFETY: not NULL, and the caller's promise. What was there before is not looked at.
    unsafe {
        out.write(cleared);
        Some(&mut *out)
    }
}

/// A string.
///
/// # Safety
/// `text` is NULL or a string that ends in NUL and stays as it is for as long as `'a`.
pub(crate) unsafe fn text<'a>(text: *const c_char, what: &str) -> Result<&'a str, Failure> {
    if text.is_null() {
        return required(None, what);
    }
    // SAFETY: not NULL, and the caller's promise.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().map_err(|error| Failure::new(MESHAGE_ERR_UTF8, format!("{what}: {error}")))
}

/// A list of node names.
///
/// # Safety
/// `names` is NULL or points to `count` pointers, each as [`text`] takes it.
pub(crate) unsafe fn names(
    names: *const *const c_char,
    count: usize,
    what: &str,
) -> Result<Names, Failure> {
    if count == 0 {
        return Ok(Names::new());
    }
    if names.is_null() {
        return required(None, what);
    }
    // The list grows with the names that are there, not with the number that was claimed.
    let mut list = Names::new();
    for i in 0..count {
        // SAFETY: within the caller's `count` pointers, each a string or NULL.
        let name = unsafe { text(*names.add(i), what)? };
        list.push(NodeName::new(name)?);
    }
    Ok(list)
}

/// A body, copied.
///
/// # Safety
/// `body` is NULL or points to `len` bytes.
pub(crate) unsafe fn body(body: *const c_void, len: usize) -> Result<Bytes, Failure> {
    if len == 0 {
        return Ok(Bytes::new());
    }
    if body.is_null() {
        return required(None, "body");
    }
    if len > BODY_BYTES_MAX {
        let text = format!("a body of {len} bytes: at most {BODY_BYTES_MAX}");
        return Err(Failure::new(MESHAGE_ERR_TOO_LARGE, text));
    }
    // SAFETY: not NULL, and the caller's promise; `len` is far below the largest of a slice.
    Ok(Bytes::copy_from_slice(unsafe { std::slice::from_raw_parts(body.cast::<u8>(), len) }))
}

/// A time as C gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    Forever,
    Default,
    AtMost(Duration),
}

impl Wait {
    pub(crate) fn parse(ms: i32) -> Result<Self, Failure> {
        match (ms, u64::try_from(ms)) {
            (_, Ok(ms)) => Ok(Self::AtMost(Duration::from_millis(ms))),
            (MESHAGE_INFINITE, _) => Ok(Self::Forever),
            (MESHAGE_DEFAULT, _) => Ok(Self::Default),
            (_, Err(_)) => Err(Failure::new(
                MESHAGE_ERR_INVALID,
                format!("a time of {ms} ms: 0 or more, MESHAGE_INFINITE or MESHAGE_DEFAULT"),
            )),
        }
    }

    /// As the facade takes it: none for ever. `default` is what the node's own timeout is.
    pub(crate) fn limit(self, default: Duration) -> Option<Duration> {
        match self {
            Self::Forever => None,
            Self::Default => Some(default),
            Self::AtMost(limit) => Some(limit),
        }
    }

    /// As a setting, where for ever is the longest time there is.
    pub(crate) fn setting(self, default: Duration) -> Duration {
        self.limit(default).unwrap_or(Duration::MAX)
    }

    /// Whoever asked not to wait is told to try again, not that time ran out.
    pub(crate) fn judge(self, failure: Failure) -> Failure {
        let asked_not_to_wait = self == Self::AtMost(Duration::ZERO);
        if asked_not_to_wait && failure.status == MESHAGE_ERR_TIMEOUT {
            return Failure { status: MESHAGE_ERR_AGAIN, ..failure };
        }
        failure
    }
}

/// A duration as C is told it, in whole milliseconds; the longest there is where it is longer.
pub(crate) fn milliseconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}
