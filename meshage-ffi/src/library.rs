//! The library itself: version, statuses in words, the last error, strings.

use std::ffi::{CStr, CString, c_char};
use std::ptr;

use crate::boundary::{last_error, value};
use crate::status;

const VERSION: &CStr =
    match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(version) => version,
        Err(_) => panic!("a version holds no NUL"),
    };

/// The version of the library that runs, as text: "0.1.0". `MESHAGE_VERSION_STRING` is the version
/// that the program was compiled against.
///
/// Never NULL; lives as long as the program. Any thread. Does not block.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_version() -> *const c_char {
    VERSION.as_ptr()
}

/// The version of the library that runs, as a number: major << 16 | minor << 8 | patch.
///
/// Any thread. Does not block.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_version_number() -> u32 {
    VERSION.to_bytes().split(|&byte| byte == b'.').fold(0, |number, part| {
        let part = part.iter().take_while(|byte| byte.is_ascii_digit());
        (number << 8) | part.fold(0, |value, digit| value * 10 + u32::from(digit - b'0'))
    })
}

/// Only its name matters: each library has the one of the versions that it can stand in for, so that
/// a program that calls it, as `MESHAGE_ABI()`, does not link with a library too old or too new for
/// this header, and reads why. Answers what `meshage_version_number` does.
///
/// Any thread. Does not block.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_abi_0_1() -> u32 {
    meshage_version_number()
}

/// What a status means, in English. For what happened in particular, see `meshage_last_error`.
///
/// Never NULL, for an unknown status neither; lives as long as the program. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_strerror(status: i32) -> *const c_char {
    status::text(status).as_ptr()
}

/// What went wrong in this thread's last call that answers with a status or a new object, in a
/// sentence that says what to do; "" where nothing went wrong.
///
/// Never NULL. Borrowed: valid until this thread's next such call, and in this thread alone.
/// Accessors and _free functions leave it as it is.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_last_error() -> *const c_char {
    value(c"".as_ptr(), || last_error(|text| text.as_ptr()).unwrap_or(c"".as_ptr()))
}

/// Copies what `meshage_last_error` points to into `buf`, like snprintf: at most `cap` bytes, the
/// NUL that ends them included. Answers how long the whole text is, without its NUL.
///
/// `buf` may be NULL where `cap` is 0. The last error stays as it is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_last_error_copy(buf: *mut c_char, cap: usize) -> usize {
    let copy = |text: &CString| {
        let text = text.as_bytes();
        if !buf.is_null() && cap > 0 {
            let mut fits = text.len().min(cap - 1);
            // Whole characters: half of one is not UTF-8.
            while fits < text.len() && text[fits] & 0xC0 == 0x80 {
                fits -= 1;
            }
            // SAFETY: `fits` + 1 is at most `cap`, for which the caller vouches.
            unsafe {
                ptr::copy_nonoverlapping(text.as_ptr().cast(), buf, fits);
                buf.add(fits).write(0);
            }
        }
        text.len()
    };
    value(0, || last_error(copy).unwrap_or(0))
}

/// Frees a string that the library gave away (`meshage_node_dot`). NULL is nothing to free.
///
/// Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_string_free(string: *mut c_char) {
    if string.is_null() {
        return;
    }
    // SAFETY: the caller's promise: it came from `CString::into_raw` and was not freed yet.
    value((), || drop(unsafe { CString::from_raw(string) }));
}
