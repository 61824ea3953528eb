//! The status of a call, and which error of the core is which status.

use std::ffi::CStr;
use std::io;

use meshage::error::{
    ConfigError, DialError, HangupError, RecvError, RefuseReason, SendError, StartError, WaitError,
};
use meshage::message::{Outcome, Report};
use meshage::name::NameError;

use crate::boundary::Failure;

/// What became of a call. 0 is success, every error is negative; `meshage_strerror` puts one in
/// words, `meshage_last_error` says what happened in particular.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum meshage_status {
    /// Done.
    MESHAGE_OK = 0,
    /// A required pointer was NULL.
    MESHAGE_ERR_NULL = -1,
    /// An argument is out of its range.
    MESHAGE_ERR_INVALID = -2,
    /// A string is not UTF-8.
    MESHAGE_ERR_UTF8 = -3,
    /// Not in time. Of a send: outcome unknown, it may still arrive.
    MESHAGE_ERR_TIMEOUT = -4,
    /// Nothing there (or no room in the local queue), and asked not to wait.
    MESHAGE_ERR_AGAIN = -5,
    /// The node is closed.
    MESHAGE_ERR_CLOSED = -6,
    /// Taken back before it left: certainly not delivered.
    MESHAGE_ERR_CANCELED = -7,
    /// Some recipients failed: read the report.
    MESHAGE_ERR_PARTIAL = -8,
    /// The recipient is unknown or cannot be reached: certainly not delivered.
    MESHAGE_ERR_NO_ROUTE = -9,
    /// There is no such thing.
    MESHAGE_ERR_NOT_FOUND = -10,
    /// Already connected, or the name is in use.
    MESHAGE_ERR_EXISTS = -11,
    /// A node neither dials nor sends to itself.
    MESHAGE_ERR_SELF = -12,
    /// The system refused; the last error says why.
    MESHAGE_ERR_IO = -13,
    /// The port is taken by another program.
    MESHAGE_ERR_ADDR_IN_USE = -14,
    /// Nobody listens there, or the other end does not want the link.
    MESHAGE_ERR_REFUSED = -15,
    /// The other end does not have the key.
    MESHAGE_ERR_AUTH = -16,
    /// The other end is no mesh node, or one of another version.
    MESHAGE_ERR_PROTOCOL = -17,
    /// The body is larger than a node takes: certainly not delivered.
    MESHAGE_ERR_TOO_LARGE = -18,
    /// The receiver's queue stayed full: certainly not delivered.
    MESHAGE_ERR_BUSY = -19,
    /// Not in this state (receiving while a callback is set, changing a received message).
    MESHAGE_ERR_STATE = -20,
    /// The node belongs to the parent process.
    MESHAGE_ERR_FORKED = -21,
    /// Not in this version or on this system.
    MESHAGE_ERR_UNSUPPORTED = -22,
    /// The route broke in flight: outcome unknown.
    MESHAGE_ERR_LOST = -23,
    /// A bug of the library; the call had no other effect that can be relied on.
    MESHAGE_ERR_PANIC = -99,
}

use meshage_status::*;

/// What a status means, in words that end with the program's life.
pub(crate) fn text(status: i32) -> &'static CStr {
    const TEXTS: [(meshage_status, &CStr); 25] = [
        (MESHAGE_OK, c"ok"),
        (MESHAGE_ERR_NULL, c"a required pointer was NULL"),
        (MESHAGE_ERR_INVALID, c"an argument is out of its range"),
        (MESHAGE_ERR_UTF8, c"a string is not UTF-8"),
        (MESHAGE_ERR_TIMEOUT, c"not in time (of a send: it may still arrive)"),
        (MESHAGE_ERR_AGAIN, c"nothing there, and asked not to wait: try again"),
        (MESHAGE_ERR_CLOSED, c"the node is closed"),
        (MESHAGE_ERR_CANCELED, c"canceled before it left; not delivered"),
        (MESHAGE_ERR_PARTIAL, c"some recipients failed: read the report"),
        (MESHAGE_ERR_NO_ROUTE, c"no route: unknown or unreachable; not delivered"),
        (MESHAGE_ERR_NOT_FOUND, c"not found"),
        (MESHAGE_ERR_EXISTS, c"already connected, or the name is in use"),
        (MESHAGE_ERR_SELF, c"a node neither dials nor sends to itself"),
        (MESHAGE_ERR_IO, c"input/output error"),
        (MESHAGE_ERR_ADDR_IN_USE, c"the port is taken by another program"),
        (MESHAGE_ERR_REFUSED, c"refused: nobody listens there, or no link is wanted"),
        (MESHAGE_ERR_AUTH, c"the other end does not have the key"),
        (MESHAGE_ERR_PROTOCOL, c"the other end is no mesh node of this version"),
        (MESHAGE_ERR_TOO_LARGE, c"the body is too large; not delivered"),
        (MESHAGE_ERR_BUSY, c"the receiver's queue stayed full; not delivered"),
        (MESHAGE_ERR_STATE, c"not possible in this state"),
        (MESHAGE_ERR_FORKED, c"the node belongs to the parent process"),
        (MESHAGE_ERR_UNSUPPORTED, c"not supported by this version or on this system"),
        (MESHAGE_ERR_LOST, c"the route broke in flight: it may have arrived"),
        (MESHAGE_ERR_PANIC, c"a bug of the library (panic)"),
    ];
    TEXTS
        .iter()
        .find(|(known, _)| *known as i32 == status)
        .map_or(c"not a status of libmeshage", |(_, text)| text)
}

/// The status of one recipient.
pub(crate) fn of_outcome(outcome: Outcome) -> meshage_status {
    match outcome {
        Outcome::Delivered => MESHAGE_OK,
        Outcome::NoRoute => MESHAGE_ERR_NO_ROUTE,
        Outcome::Busy => MESHAGE_ERR_BUSY,
        Outcome::TooLarge => MESHAGE_ERR_TOO_LARGE,
        Outcome::Canceled => MESHAGE_ERR_CANCELED,
        Outcome::Timeout => MESHAGE_ERR_TIMEOUT,
        Outcome::Lost => MESHAGE_ERR_LOST,
        // The core may learn outcomes that this version has no number for.
        _ => MESHAGE_ERR_UNSUPPORTED,
    }
}

/// The status of a whole send: a single recipient's own; of several, whether all have it.
pub(crate) fn of_report(report: &Report) -> meshage_status {
    match report.outcomes() {
        [(_, outcome)] => of_outcome(*outcome),
        _ if report.all_delivered() => MESHAGE_OK,
        _ => MESHAGE_ERR_PARTIAL,
    }
}

impl From<NameError> for Failure {
    fn from(error: NameError) -> Self {
        Self::new(MESHAGE_ERR_INVALID, error)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::new(MESHAGE_ERR_INVALID, error)
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        let status = match &error {
            StartError::AddressInUse(_) => MESHAGE_ERR_ADDR_IN_USE,
            StartError::Bind(..) | StartError::Runtime(_) => MESHAGE_ERR_IO,
            _ => MESHAGE_ERR_UNSUPPORTED,
        };
        Self::new(status, error)
    }
}

impl From<SendError> for Failure {
    fn from(error: SendError) -> Self {
        let status = match error {
            SendError::TooLarge(..) => MESHAGE_ERR_TOO_LARGE,
            SendError::NoRecipients => MESHAGE_ERR_INVALID,
            SendError::SelfOnly => MESHAGE_ERR_SELF,
            SendError::Again => MESHAGE_ERR_AGAIN,
            SendError::Closed => MESHAGE_ERR_CLOSED,
            _ => MESHAGE_ERR_UNSUPPORTED,
        };
        Self::new(status, error)
    }
}

impl From<RecvError> for Failure {
    fn from(error: RecvError) -> Self {
        let status = match error {
            RecvError::Timeout => MESHAGE_ERR_TIMEOUT,
            RecvError::Closed => MESHAGE_ERR_CLOSED,
            _ => MESHAGE_ERR_UNSUPPORTED,
        };
        Self::new(status, error)
    }
}

impl From<WaitError> for Failure {
    fn from(error: WaitError) -> Self {
        let status = match error {
            WaitError::Timeout(_) => MESHAGE_ERR_TIMEOUT,
            WaitError::Closed => MESHAGE_ERR_CLOSED,
            _ => MESHAGE_ERR_UNSUPPORTED,
        };
        Self::new(status, error)
    }
}

impl From<DialError> for Failure {
    fn from(error: DialError) -> Self {
        let status = match &error {
            DialError::Address(..) => MESHAGE_ERR_INVALID,
            DialError::Connect(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                MESHAGE_ERR_REFUSED
            }
            DialError::Connect(error) if error.kind() == io::ErrorKind::TimedOut => {
                MESHAGE_ERR_TIMEOUT
            }
            DialError::Connect(_) | DialError::Resolve(..) | DialError::Broken(_) => MESHAGE_ERR_IO,
            DialError::Timeout(_) => MESHAGE_ERR_TIMEOUT,
            DialError::Handshake(_) => MESHAGE_ERR_PROTOCOL,
            DialError::Refused(reason) => of_refusal(*reason),
            DialError::Closed => MESHAGE_ERR_CLOSED,
            _ => MESHAGE_ERR_UNSUPPORTED,
        };
        Self::new(status, error)
    }
}

fn of_refusal(reason: RefuseReason) -> meshage_status {
    match reason {
        RefuseReason::Myself => MESHAGE_ERR_SELF,
        RefuseReason::Duplicate | RefuseReason::NameInUse => MESHAGE_ERR_EXISTS,
        RefuseReason::Full | RefuseReason::TooManyLinks | RefuseReason::Closing => {
            MESHAGE_ERR_REFUSED
        }
        _ => MESHAGE_ERR_REFUSED,
    }
}

impl From<HangupError> for Failure {
    fn from(error: HangupError) -> Self {
        let status = match &error {
            HangupError::NotAPeer(_) => MESHAGE_ERR_NOT_FOUND,
            HangupError::Closed => MESHAGE_ERR_CLOSED,
            _ => MESHAGE_ERR_UNSUPPORTED,
        };
        Self::new(status, error)
    }
}
