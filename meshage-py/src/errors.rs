//! Converts the core's errors to the exceptions of `meshage._errors`, with the core's error texts.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use meshage::error::{
    ConfigError, DialError, HangupError, RecvError, SendError, StartError, WaitError,
};
use meshage::message::{Outcome, Report};
use meshage::name::NodeName;
use meshage::{KeyError, KeyId};
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::system;

/// The exception classes, which are written in Python.
mod class {
    #![allow(missing_docs, unreachable_pub, reason = "generated: a Rust name for a Python class")]
    use pyo3::prelude::*;

    /// Imports the classes and generates a function that looks all of them up.
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
        ResourceError,
        InternalError,
        BusyError,
        SendError,
        RecipientError,
        NoRoute,
        MessageTooLarge,
        DialError,
        DialTimeout,
        HandshakeError,
        AuthError,
        UnknownKey,
        NotAPeer,
        BindError,
        NodeClosed,
        ForkError,
    );
}

/// Looks up the exception classes in advance. During the interpreter's shutdown nothing can be
/// imported any more, but a node that is used then, from a `__del__`, still raises its exceptions.
///
/// # Errors
/// The package cannot be imported.
pub(crate) fn look_up(py: Python<'_>) -> PyResult<()> {
    class::look_up(py)
}

/// An argument is invalid.
pub(crate) fn invalid(text: impl Into<String>) -> PyErr {
    class::InvalidArgument::new_err(text.into())
}

/// The system refused a thread, a descriptor or memory.
pub(crate) fn resource(what: &str, error: &io::Error) -> PyErr {
    let errno = error.raw_os_error().unwrap_or(system::TRY_AGAIN);
    class::ResourceError::new_err((errno, format!("{what}: {error}")))
}

/// Another caller waits on the same object.
pub(crate) fn busy(text: &str) -> PyErr {
    class::BusyError::new_err(text.to_owned())
}

/// A failure without a class of its own.
pub(crate) fn other(text: &str) -> PyErr {
    class::MeshageError::new_err(text.to_owned())
}

/// Calls the core. A panic there is a bug. It becomes an exception that `except Exception` catches,
/// which PyO3's own exception for panics is not.
///
/// # Errors
/// `InternalError`.
pub(crate) fn guarded<R>(call: impl FnOnce() -> R) -> PyResult<R> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| {
        let text = match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
            (Some(text), _) => text,
            (None, Some(text)) => text.as_str(),
            (None, None) => "a panic without a text",
        };
        class::InternalError::new_err(format!("a bug of the library: {text}"))
    })
}

/// The node belongs to the parent process.
pub(crate) fn forked() -> PyErr {
    class::ForkError::new_err(
        "this node was started before a fork and belongs to the parent process: \
         start a new node in this process",
    )
}

/// The timeout of a wait has passed.
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

/// A key, or a file with keys, cannot be used, or a change of the keys is refused.
pub(crate) fn key(error: &KeyError) -> PyErr {
    match error {
        KeyError::Closed => closed(),
        KeyError::Unknown(_) => class::UnknownKey::new_err(error.to_string()),
        KeyError::Format
        | KeyError::IdFormat
        | KeyError::Primary(_)
        | KeyError::TooMany
        | KeyError::Open
        | KeyError::File(..)
        | KeyError::Revocation
        | KeyError::NoFile
        | _ => invalid(error.to_string()),
    }
}

pub(crate) fn start(error: &StartError) -> PyErr {
    let text = error.to_string();
    match error {
        StartError::AddressInUse(_) => class::BindError::new_err((system::ADDRESS_IN_USE, text)),
        StartError::Bind(_, cause) => {
            class::BindError::new_err((cause.raw_os_error().unwrap_or(system::IO_ERROR), text))
        }
        StartError::Runtime(cause) => {
            let errno = cause.raw_os_error().unwrap_or(system::TRY_AGAIN);
            class::ResourceError::new_err((errno, text))
        }
        _ => class::MeshageError::new_err(text),
    }
}

/// The error of the system for a call that needs a thread.
pub(crate) fn system(error: &std::io::Error) -> PyErr {
    let errno = error.raw_os_error().unwrap_or(system::TRY_AGAIN);
    class::ResourceError::new_err((errno, error.to_string()))
}

pub(crate) fn send(error: &SendError) -> PyErr {
    let text = error.to_string();
    match error {
        SendError::TooLarge(..) => class::MessageTooLarge::new_err(text),
        SendError::NoRecipients | SendError::SelfOnly => class::RecipientError::new_err(text),
        SendError::Closed => closed(),
        SendError::NoThread(_) => class::ResourceError::new_err((system::TRY_AGAIN, text)),
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
        DialError::Auth(cause) => {
            let heard: Vec<String> = cause.heard().iter().map(KeyId::to_string).collect();
            class::AuthError::new_err((text, heard))
        }
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

/// Returns the names of the recipients if the message was delivered to all of them.
///
/// # Errors
/// With one recipient, the exception for its outcome. With several, a `SendError` that lists the
/// outcome of each.
pub(crate) fn delivered_or_error<'py>(
    py: Python<'py>,
    report: &Report,
) -> PyResult<Bound<'py, PyList>> {
    if report.all_delivered() {
        return PyList::new(py, report.outcomes().iter().map(|(name, _)| name.as_str()));
    }
    let delivered: Vec<String> = report.delivered().map(NodeName::to_string).collect();
    let failed: Vec<(&NodeName, Outcome)> = report.failed().collect();
    let Some((name, outcome)) = failed.first() else {
        unreachable!("not all recipients have the message, so at least one failed");
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

/// The value of `meshage.Outcome`. A test checks that the two match.
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
