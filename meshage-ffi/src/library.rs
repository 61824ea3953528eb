//! Functions of the library as a whole: version, status texts, the last error, strings.

use std::ffi::{CStr, CString, c_char};
use std::ptr;

use crate::boundary::{last_error, value};
use crate::status;

const VERSION: &CStr =
    match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(version) => version,
        Err(_) => panic!("a version contains no NUL"),
    };

/// Returns the version of the running library as text, such as "0.1.0". `MESHAGE_VERSION_STRING` is
/// the version of the header that the program was compiled with.
///
/// Never NULL; valid for the life of the program. Any thread. Does not block.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_version() -> *const c_char {
    VERSION.as_ptr()
}

/// Returns the version of the running library as a number: major << 16 | minor << 8 | patch.
///
/// Any thread. Does not block.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_version_number() -> u32 {
    VERSION.to_bytes().split(|&byte| byte == b'.').fold(0, |number, part| {
        let part = part.iter().take_while(|byte| byte.is_ascii_digit());
        (number << 8) | part.fold(0, |value, digit| value * 10 + u32::from(digit - b'0'))
    })
}

/// Returns what `meshage_version_number` returns. A library exports only the function whose name
/// contains the version that it is compatible with. A program that calls it as `MESHAGE_ABI()`
/// therefore fails to link with a library that is too old or too new for this header, and the
/// linker's error contains the version.
///
/// Any thread. Does not block.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_abi_0_1() -> u32 {
    meshage_version_number()
}

/// Returns the meaning of a status in English. `meshage_last_error` describes a particular error.
///
/// Never NULL, not even for an unknown status; valid for the life of the program. Any thread. Does
/// not block.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_strerror(status: i32) -> *const c_char {
    status::text(status).as_ptr()
}

/// Returns a sentence that describes the error of the calling thread's last call that returned a
/// status or a new object; "" if that call succeeded.
///
/// Never NULL. Borrowed: valid until the thread's next such call, and only in this thread.
/// Accessors and _free functions leave it unchanged. Does not block.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_last_error() -> *const c_char {
    value(c"".as_ptr(), || last_error(|text| text.as_ptr()).unwrap_or(c"".as_ptr()))
}

/// Copies the text of `meshage_last_error` to `buf`, as snprintf does: at most `cap` bytes
/// including the terminating NUL. Returns the length of the complete text in bytes, without its
/// NUL.
///
/// `buf` may be NULL if `cap` is 0. A character that does not fit is left out as a whole. Leaves
/// the last error unchanged. Any thread. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_last_error_copy(buf: *mut c_char, cap: usize) -> usize {
    let copy = |text: &CString| {
        let text = text.as_bytes();
        if !buf.is_null() && cap > 0 {
            let mut fits = text.len().min(cap - 1);
            // Part of a character would not be valid UTF-8.
            while fits < text.len() && text[fits] & 0xC0 == 0x80 {
                fits -= 1;
            }
            // SAFETY: `fits` + 1 is at most `cap`, and the caller promises that many bytes.
            unsafe {
                ptr::copy_nonoverlapping(text.as_ptr().cast(), buf, fits);
                buf.add(fits).write(0);
            }
        }
        text.len()
    };
    value(0, || last_error(copy).unwrap_or(0))
}

/// Frees a string that the caller owns (from `meshage_node_dot`). Does nothing for NULL.
///
/// Any thread. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_string_free(string: *mut c_char) {
    if string.is_null() {
        return;
    }
    // SAFETY: the caller's promise: it came from `CString::into_raw` and was not freed before.
    value((), || drop(unsafe { CString::from_raw(string) }));
}
