//! The error of a call: a status and a text. The core's errors are converted to it here.

use std::io;

use meshage::KeyError;
use meshage::error::{
    ConfigError, DialError, HangupError, RecvError, RefuseReason, SendError, StartError, WaitError,
};
use meshage::name::NameError;

use crate::status::meshage_status::{self, *};

/// Why a call failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) status: meshage_status,
    /// Describes the error in a sentence, for `meshage_last_error`.
    pub(crate) text: String,
}

impl Failure {
    pub(crate) fn new(status: meshage_status, text: impl ToString) -> Self {
        Self { status, text: text.to_string() }
    }

    /// A call that an open node alone can serve.
    pub(crate) fn closed() -> Self {
        Self::new(MESHAGE_ERR_CLOSED, "the node is closed")
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
            SendError::NoThread(_) => MESHAGE_ERR_IO,
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
            DialError::Refused(reason) => refusal_status(*reason),
            DialError::Auth(_) => MESHAGE_ERR_AUTH,
            DialError::Closed => MESHAGE_ERR_CLOSED,
            _ => MESHAGE_ERR_UNSUPPORTED,
        };
        Self::new(status, error)
    }
}

fn refusal_status(reason: RefuseReason) -> meshage_status {
    match reason {
        RefuseReason::Myself => MESHAGE_ERR_SELF,
        RefuseReason::Duplicate | RefuseReason::NameInUse => MESHAGE_ERR_EXISTS,
        RefuseReason::Full
        | RefuseReason::TooManyLinks
        | RefuseReason::Closing
        | RefuseReason::HungUp => MESHAGE_ERR_REFUSED,
        RefuseReason::TicketEnded | RefuseReason::Revoked => MESHAGE_ERR_AUTH,
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

impl From<KeyError> for Failure {
    fn from(error: KeyError) -> Self {
        let status = match &error {
            KeyError::Format | KeyError::IdFormat | KeyError::Revocation | KeyError::File(..) => {
                MESHAGE_ERR_INVALID
            }
            KeyError::Unknown(_) => MESHAGE_ERR_NOT_FOUND,
            KeyError::Primary(_)
            | KeyError::TooMany
            | KeyError::Open
            | KeyError::NoRoot
            | KeyError::NoFile => MESHAGE_ERR_STATE,
            KeyError::Closed => MESHAGE_ERR_CLOSED,
            _ => MESHAGE_ERR_UNSUPPORTED,
        };
        Self::new(status, error)
    }
}
