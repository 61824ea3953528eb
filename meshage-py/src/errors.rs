//! The core's errors as the exceptions of `meshage._errors`. Each says what the core's variant says.

use meshage::error::{
    ConfigError, DialError, HangupError, RecvError, SendError, StartError, WaitError,
};
use meshage::message::{Outcome, Report};
use meshage::name::NodeName;
use pyo3::prelude::*;
use pyo3::types::PyList;

/// The exception classes, which are written in Python.
mod class {
    #![allow(missing_docs, unreachable_pub, reason = "generated: a Rust name for a Python class")]
    use pyo3::prelude::*;

    /// Names the classes, once, and looks all of them up.
    macro_rules! classes {
        ($($name:ident),+ $(,)?) => {
            $(pyo3::import_exception!(meshage._errors, $name);)+

            pub(super) fn look_up(py: Python<'_>) -> PyResult<()> {
                py.import("meshage._errors")?;
                $(let _ = py.get_type::<$name>();)+
                Ok(())
            }
        };
    }

    classes!(
        MeshageError,
        MeshageTimeout,
        InvalidArgument,
        SendError,
        RecipientError,
        NoRoute,
        MessageTooLarge,
        DialError,
        DialTimeout,
        HandshakeError,
        NotAPeer,
        BindError,
        NodeClosed,
        ForkError,
    );
}

/// Looks the exception classes up while that is possible: at the interpreter's end nothing is
/// imported any more, and a node that is used by then, from a `__del__`, has its exception all the same.
///
/// # Errors
/// The package is not there.
pub(crate) fn look_up(py: Python<'_>) -> PyResult<()> {
    class::look_up(py)
}

/// An argument that is not one.
pub(crate) fn invalid(text: impl Into<String>) -> PyErr {
    class::InvalidArgument::new_err(text.into())
}

/// The node belongs to the parent process.
pub(crate) fn forked() -> PyErr {
    class::ForkError::new_err(
        "this node was started before a fork and belongs to the parent process: start another here",
    )
}

/// The wait took longer than the caller gave it.
pub(crate) fn timed_out(text: impl Into<String>) -> PyErr {
    class::MeshageTimeout::new_err(text.into())
}

/// The node is closed.
pub(crate) fn closed() -> PyErr {
    class::NodeClosed::new_err("the node is closed")
}

pub(crate) fn config(error: &ConfigError) -> PyErr {
    invalid(error.to_string())
}

pub(crate) fn start(error: &StartError) -> PyErr {
    let text = error.to_string();
    match error {
        StartError::AddressInUse(_) => class::BindError::new_err((libc::EADDRINUSE, text)),
        StartError::Bind(_, cause) => {
            class::BindError::new_err((cause.raw_os_error().unwrap_or(libc::EIO), text))
        }
        StartError::Runtime(_) | _ => class::MeshageError::new_err(text),
    }
}

pub(crate) fn send(error: &SendError) -> PyErr {
    let text = error.to_string();
    match error {
        SendError::TooLarge(..) => class::MessageTooLarge::new_err(text),
        SendError::NoRecipients | SendError::SelfOnly => class::RecipientError::new_err(text),
        SendError::Closed => closed(),
        SendError::Again | _ => class::SendError::new_err(text),
    }
}

pub(crate) fn recv(error: RecvError) -> PyErr {
    match error {
        RecvError::Closed => closed(),
        RecvError::Timeout | _ => timed_out(error.to_string()),
    }
}

pub(crate) fn dial(error: &DialError) -> PyErr {
    let text = error.to_string();
    match error {
        DialError::Connect(cause) => match cause.raw_os_error() {
            Some(errno) => class::DialError::new_err((errno, text)),
            None => class::DialError::new_err(text),
        },
        DialError::Timeout(_) => class::DialTimeout::new_err(text),
        DialError::Handshake(_) => class::HandshakeError::new_err(text),
        DialError::Closed => closed(),
        DialError::Address(..)
        | DialError::Resolve(..)
        | DialError::Broken(_)
        | DialError::Refused(_)
        | _ => class::DialError::new_err(text),
    }
}

pub(crate) fn hangup(error: &HangupError) -> PyErr {
    match error {
        HangupError::Closed => closed(),
        HangupError::NotAPeer(_) | _ => class::NotAPeer::new_err(error.to_string()),
    }
}

pub(crate) fn wait(error: &WaitError) -> PyErr {
    match error {
        WaitError::Closed => closed(),
        WaitError::Timeout(_) | _ => timed_out(error.to_string()),
    }
}

/// The recipients that have the message, if all have it.
///
/// # Errors
/// With one recipient, the exception for its outcome; with several, a `SendError` about each.
pub(crate) fn settle<'py>(py: Python<'py>, report: &Report) -> PyResult<Bound<'py, PyList>> {
    if report.all_delivered() {
        return PyList::new(py, report.outcomes().iter().map(|(name, _)| name.as_str()));
    }
    let delivered: Vec<String> = report.delivered().map(NodeName::to_string).collect();
    let failed: Vec<(&NodeName, Outcome)> = report.failed().collect();
    let Some((name, outcome)) = failed.first() else {
        unreachable!("not all are delivered, so that one failed");
    };
    let numbers: Vec<(String, u8)> =
        failed.iter().map(|(name, outcome)| (name.to_string(), number(*outcome))).collect();
    if report.outcomes().len() > 1 {
        let text = format!(
            "{} of {} recipients failed; {name}: {outcome}",
            failed.len(),
            report.outcomes().len()
        );
        return Err(class::SendError::new_err((text, delivered, numbers)));
    }
    let arguments = (format!("{name}: {outcome}"), delivered, numbers);
    Err(match outcome {
        Outcome::Timeout => class::MeshageTimeout::new_err(arguments),
        Outcome::NoRoute => class::NoRoute::new_err(arguments),
        Outcome::Delivered
        | Outcome::Busy
        | Outcome::TooLarge
        | Outcome::Canceled
        | Outcome::Lost
        | _ => class::SendError::new_err(arguments),
    })
}

/// The value of `meshage.Outcome`; a test holds the two together.
fn number(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Delivered => 0,
        Outcome::NoRoute => 1,
        Outcome::Busy => 2,
        Outcome::TooLarge => 3,
        Outcome::Canceled => 4,
        Outcome::Timeout => 5,
        Outcome::Lost | _ => 6,
    }
}
