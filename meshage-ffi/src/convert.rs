//! Checks C arguments and converts them to Rust values.

use std::ffi::{CStr, c_char, c_void};
use std::time::Duration;

use bytes::Bytes;
use meshage::name::{Names, NodeName};

use crate::constants::{MESHAGE_DEFAULT, MESHAGE_INFINITE};
use crate::failure::Failure;
use crate::status::meshage_status::{
    MESHAGE_ERR_AGAIN, MESHAGE_ERR_INVALID, MESHAGE_ERR_NULL, MESHAGE_ERR_TIMEOUT,
    MESHAGE_ERR_TOO_LARGE, MESHAGE_ERR_UTF8,
};

/// The largest body that is copied: the largest that a configuration may allow. A larger length is
/// a mistake of the caller, and is rejected before that memory is read.
const BODY_BYTES_MAX: usize = 1 << 30;

/// Checks that a required argument is not NULL. `what` is its name in the header.
pub(crate) fn required<T>(argument: Option<T>, what: &str) -> Result<T, Failure> {
    argument.ok_or_else(|| Failure::new(MESHAGE_ERR_NULL, format!("{what} is NULL")))
}

/// Sets an out-parameter to `cleared`; `None` for NULL.
///
/// # Safety
/// `out` is NULL or may be written to for as long as `'a`.
pub(crate) unsafe fn out<'a, T>(out: *mut T, cleared: T) -> Option<&'a mut T> {
    if out.is_null() {
        return None;
    }
    // SAFETY: not NULL, and the caller's promise. The old value is neither read nor dropped.
    unsafe {
        out.write(cleared);
        Some(&mut *out)
    }
}

/// Converts a string.
///
/// # Safety
/// `text` is NULL or a NUL-terminated string that does not change for as long as `'a`.
pub(crate) unsafe fn text<'a>(text: *const c_char, what: &str) -> Result<&'a str, Failure> {
    if text.is_null() {
        return required(None, what);
    }
    // SAFETY: not NULL, and the caller's promise.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().map_err(|error| Failure::new(MESHAGE_ERR_UTF8, format!("{what}: {error}")))
}

/// Converts a list of node names.
///
/// # Safety
/// `names` is NULL or points to `count` pointers, each of which [`text`] accepts.
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
    // The list grows with the names that are read; `count` allocates nothing.
    let mut list = Names::new();
    for i in 0..count {
        // SAFETY: within the caller's `count` pointers, each a string or NULL.
        let name = unsafe { text(*names.add(i), what)? };
        list.push(NodeName::new(name)?);
    }
    Ok(list)
}

/// The most bytes of a key or a revocation, in any form. A larger length is a mistake of the caller,
/// and is rejected before that memory is read.
const SECRET_BYTES_MAX: usize = 4096;

/// Borrows the bytes of a key or a revocation.
///
/// # Safety
/// `bytes` is NULL or points to `len` bytes that do not change for as long as `'a`.
pub(crate) unsafe fn bytes<'a>(
    bytes: *const u8,
    len: usize,
    what: &str,
) -> Result<&'a [u8], Failure> {
    if bytes.is_null() {
        return required(None, what);
    }
    if len > SECRET_BYTES_MAX {
        let text = format!("{what} has {len} bytes: at most {SECRET_BYTES_MAX}");
        return Err(Failure::new(MESHAGE_ERR_INVALID, text));
    }
    // SAFETY: not NULL, and the caller's promise; `len` is below the largest size of a slice.
    Ok(unsafe { std::slice::from_raw_parts(bytes, len) })
}

/// Copies a body.
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
        let text = format!("a body of {len} bytes is too large: at most {BODY_BYTES_MAX}");
        return Err(Failure::new(MESHAGE_ERR_TOO_LARGE, text));
    }
    // SAFETY: not NULL, and the caller's promise; `len` is below the largest size of a slice.
    Ok(Bytes::copy_from_slice(unsafe { std::slice::from_raw_parts(body.cast::<u8>(), len) }))
}

/// A time limit as C passes it.
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
                format!("{ms} is not a time: 0 ms or more, MESHAGE_INFINITE or MESHAGE_DEFAULT"),
            )),
        }
    }

    /// The limit for a call of the blocking API; `None` is without limit. `default` is the node's
    /// own timeout.
    pub(crate) fn limit(self, default: Duration) -> Option<Duration> {
        match self {
            Self::Forever => None,
            Self::Default => Some(default),
            Self::AtMost(limit) => Some(limit),
        }
    }

    /// The value of the setting that `MESHAGE_DEFAULT` stands for elsewhere, or of another setting;
    /// the longest duration means without limit. `MESHAGE_DEFAULT` is no value of a setting.
    pub(crate) fn setting(self, what: &str) -> Result<Duration, Failure> {
        match self {
            Self::Forever => Ok(Duration::MAX),
            Self::AtMost(limit) => Ok(limit),
            Self::Default => {
                let text =
                    format!("{what}: MESHAGE_DEFAULT is no value; leave the setting as it is");
                Err(Failure::new(MESHAGE_ERR_INVALID, text))
            }
        }
    }

    /// Turns TIMEOUT into AGAIN if the caller asked not to wait.
    pub(crate) fn timeout_to_again(self, failure: Failure) -> Failure {
        let is_zero = self == Self::AtMost(Duration::ZERO);
        if is_zero && failure.status == MESHAGE_ERR_TIMEOUT {
            return Failure { status: MESHAGE_ERR_AGAIN, ..failure };
        }
        failure
    }
}

/// A duration in whole milliseconds; the largest value if it is longer than that.
pub(crate) fn milliseconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}
