//! The status codes of the C API, their texts, and the codes of a send's outcomes.

use std::ffi::CStr;

use meshage::message::{Outcome, Report};

/// The result of a call. 0 is success; every error is negative. `meshage_strerror` returns the text
/// of a status; `meshage_last_error` describes the error of the last call.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum meshage_status {
    /// The call succeeded.
    MESHAGE_OK = 0,
    /// A required pointer was NULL.
    MESHAGE_ERR_NULL = -1,
    /// An argument is out of range.
    MESHAGE_ERR_INVALID = -2,
    /// A string is not valid UTF-8.
    MESHAGE_ERR_UTF8 = -3,
    /// The time ran out. For a send, the outcome is unknown: the message may still arrive.
    MESHAGE_ERR_TIMEOUT = -4,
    /// Nothing is available (or the local queue is full), and the call was not allowed to wait.
    MESHAGE_ERR_AGAIN = -5,
    /// The node is closed.
    MESHAGE_ERR_CLOSED = -6,
    /// Canceled before the message left the node: certainly not delivered.
    MESHAGE_ERR_CANCELED = -7,
    /// Delivery failed for some of the recipients: see the report.
    MESHAGE_ERR_PARTIAL = -8,
    /// The recipient is unknown or unreachable: certainly not delivered.
    MESHAGE_ERR_NO_ROUTE = -9,
    /// The named item does not exist.
    MESHAGE_ERR_NOT_FOUND = -10,
    /// The nodes are already linked, or the name is in use.
    MESHAGE_ERR_EXISTS = -11,
    /// A node cannot dial itself or send to itself.
    MESHAGE_ERR_SELF = -12,
    /// The operating system reported an error; `meshage_last_error` has its text.
    MESHAGE_ERR_IO = -13,
    /// Another program uses the port.
    MESHAGE_ERR_ADDR_IN_USE = -14,
    /// No node listens at the address, or the other node refused the link.
    MESHAGE_ERR_REFUSED = -15,
    /// The two nodes have no key in common, one of them does not encrypt, or one of them may not
    /// join: `meshage_last_error` has what was heard.
    MESHAGE_ERR_AUTH = -16,
    /// The other end is not a mesh node, or uses another version of the protocol.
    MESHAGE_ERR_PROTOCOL = -17,
    /// The body is larger than a node accepts: certainly not delivered.
    MESHAGE_ERR_TOO_LARGE = -18,
    /// A queue on the path stayed full, or earlier messages took all the time: certainly not
    /// delivered.
    MESHAGE_ERR_BUSY = -19,
    /// Not possible in the current state (receiving while a callback is set, changing a received
    /// message).
    MESHAGE_ERR_STATE = -20,
    /// The node was created by the parent process.
    MESHAGE_ERR_FORKED = -21,
    /// Not supported by this version or on this system.
    MESHAGE_ERR_UNSUPPORTED = -22,
    /// The route broke while the message was in flight: the outcome is unknown.
    MESHAGE_ERR_LOST = -23,
    /// A bug in the library. Do not rely on any effect of the call.
    MESHAGE_ERR_PANIC = -99,
}

use meshage_status::*;

/// The text of a status code. It is never freed.
pub(crate) fn text(status: i32) -> &'static CStr {
    const TEXTS: [(meshage_status, &CStr); 25] = [
        (MESHAGE_OK, c"ok"),
        (MESHAGE_ERR_NULL, c"a required pointer was NULL"),
        (MESHAGE_ERR_INVALID, c"an argument is out of range"),
        (MESHAGE_ERR_UTF8, c"a string is not valid UTF-8"),
        (MESHAGE_ERR_TIMEOUT, c"timed out (a sent message may still arrive)"),
        (MESHAGE_ERR_AGAIN, c"not possible without waiting: try again"),
        (MESHAGE_ERR_CLOSED, c"the node is closed"),
        (MESHAGE_ERR_CANCELED, c"canceled before it left; not delivered"),
        (MESHAGE_ERR_PARTIAL, c"delivery failed for some recipients: see the report"),
        (MESHAGE_ERR_NO_ROUTE, c"no route: unknown or unreachable; not delivered"),
        (MESHAGE_ERR_NOT_FOUND, c"not found"),
        (MESHAGE_ERR_EXISTS, c"already linked, or the name is in use"),
        (MESHAGE_ERR_SELF, c"a node cannot dial itself or send to itself"),
        (MESHAGE_ERR_IO, c"input/output error"),
        (MESHAGE_ERR_ADDR_IN_USE, c"another program uses the port"),
        (MESHAGE_ERR_REFUSED, c"refused: no node listens there, or it refused the link"),
        (MESHAGE_ERR_AUTH, c"no common key, or one of the two nodes may not join"),
        (MESHAGE_ERR_PROTOCOL, c"the other end is not a mesh node of this version"),
        (MESHAGE_ERR_TOO_LARGE, c"the body is too large; not delivered"),
        (
            MESHAGE_ERR_BUSY,
            c"a queue stayed full, or earlier messages took all the time; not delivered",
        ),
        (MESHAGE_ERR_STATE, c"not possible in the current state"),
        (MESHAGE_ERR_FORKED, c"the node was created by the parent process"),
        (MESHAGE_ERR_UNSUPPORTED, c"not supported by this version or on this system"),
        (MESHAGE_ERR_LOST, c"the route broke in flight: it may have arrived"),
        (MESHAGE_ERR_PANIC, c"a bug in the library (panic)"),
    ];
    TEXTS
        .iter()
        .find(|(known, _)| *known as i32 == status)
        .map_or(c"not a status of libmeshage", |(_, text)| text)
}

/// The status of one recipient's outcome.
pub(crate) fn of_outcome(outcome: Outcome) -> meshage_status {
    match outcome {
        Outcome::Delivered => MESHAGE_OK,
        Outcome::NoRoute => MESHAGE_ERR_NO_ROUTE,
        Outcome::Busy => MESHAGE_ERR_BUSY,
        Outcome::TooLarge => MESHAGE_ERR_TOO_LARGE,
        Outcome::Canceled => MESHAGE_ERR_CANCELED,
        Outcome::Timeout => MESHAGE_ERR_TIMEOUT,
        Outcome::Lost => MESHAGE_ERR_LOST,
        // The core may add outcomes that this version has no code for.
        _ => MESHAGE_ERR_UNSUPPORTED,
    }
}

/// The status of a send: the status of a single recipient; of several, OK if all were delivered,
/// otherwise PARTIAL.
pub(crate) fn of_report(report: &Report) -> meshage_status {
    match report.outcomes() {
        [(_, outcome)] => of_outcome(*outcome),
        _ if report.all_delivered() => MESHAGE_OK,
        _ => MESHAGE_ERR_PARTIAL,
    }
}
