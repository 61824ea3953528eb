//! Conversions between Python's values and the core's types.

use std::time::Duration;

use bytes::Bytes;
use meshage::event::{Departure, Event};
use meshage::message::Encoding;
use meshage::name::{Names, NodeName};
use meshage::node::WaitCondition;
use meshage::topology::Mesh;
use pyo3::exceptions::{PyOverflowError, PyTypeError, PyUnicodeError};
use pyo3::prelude::*;
use pyo3::pybacked::{PyBackedBytes, PyBackedStr};
use pyo3::types::{PyBool, PyBytes, PyDict, PyInt, PyMemoryView, PyString, PyTuple};

use crate::errors::invalid;

/// An immutable body of at least this size is lent to the core, not copied. For a smaller one a
/// copy costs less than releasing the Python object from another thread.
const LEND_BYTES_MIN: usize = 16 << 10;

/// A body and its encoding.
pub(crate) struct Body {
    pub(crate) bytes: Bytes,
    pub(crate) encoding: Encoding,
}

impl<'a, 'py> FromPyObject<'a, 'py> for Body {
    type Error = PyErr;

    /// A `str` is UTF-8 text, anything else that has a buffer is bytes.
    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(text) = object.cast::<PyString>() {
            return Ok(Self { bytes: utf8(&text)?, encoding: Encoding::TEXT });
        }
        if let Ok(bytes) = object.cast::<PyBytes>() {
            return Ok(Self { bytes: lend(&bytes), encoding: Encoding::BYTES });
        }
        let Ok(view) = PyMemoryView::from(&object) else {
            return Err(PyTypeError::new_err(format!(
                "a body must be str, bytes or another buffer, not {}",
                object.get_type().name()?
            )));
        };
        let bytes = view.call_method0("tobytes")?.cast_into::<PyBytes>()?;
        Ok(Self { bytes: lend(&bytes), encoding: Encoding::BYTES })
    }
}

/// The UTF-8 bytes of a string. A large ASCII string lends its own bytes. Any other is encoded into
/// a separate object, because a string keeps its cached encoded form until it is freed.
fn utf8(text: &Bound<'_, PyString>) -> PyResult<Bytes> {
    if text.len()? >= LEND_BYTES_MIN && text.call_method0("isascii")?.extract()? {
        return Ok(Bytes::from_owner(PyBackedStr::try_from(text.clone())?));
    }
    Ok(lend(&text.encode_utf8()?))
}

fn lend(bytes: &Bound<'_, PyBytes>) -> Bytes {
    let slice = bytes.as_bytes();
    if slice.len() < LEND_BYTES_MIN {
        Bytes::copy_from_slice(slice)
    } else {
        Bytes::from_owner(PyBackedBytes::from(bytes.clone()))
    }
}

/// Node names. A bare `str` is one name.
pub(crate) struct NameList(pub(crate) Names);

impl<'a, 'py> FromPyObject<'a, 'py> for NameList {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(text) = object.cast::<PyString>() {
            return Ok(Self(name(&text)?.into()));
        }
        let names = object.try_iter()?.map(|item| {
            let item = item?;
            let Ok(text) = item.cast::<PyString>() else {
                return Err(PyTypeError::new_err(format!(
                    "a node name must be a str, not {}",
                    item.get_type().name()?
                )));
            };
            name(text)
        });
        Ok(Self(names.collect::<PyResult<_>>()?))
    }
}

/// The most characters of an invalid name that an error repeats: more than a valid one has.
const QUOTED_CHARS_MAX: usize = 300;

fn name(text: &Bound<'_, PyString>) -> PyResult<NodeName> {
    let Text(text) = text.extract()?;
    NodeName::new(&text).map_err(|error| {
        let start: String = text.chars().take(QUOTED_CHARS_MAX).collect();
        let left_out = if start.len() < text.len() { "…" } else { "" };
        invalid(format!("{start:?}{left_out}: {error}"))
    })
}

/// A `str` that can be encoded.
pub(crate) struct Text(pub(crate) String);

impl<'a, 'py> FromPyObject<'a, 'py> for Text {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        object.extract().map(Self).map_err(|error: PyErr| {
            match error.is_instance_of::<PyUnicodeError>(object.py()) {
                true => invalid(format!("a name or an address is not valid text: {error}")),
                false => error,
            }
        })
    }
}

/// The condition of `wait_for`: a number of nodes, this one included, or node names.
pub(crate) struct AwaitedNodes(pub(crate) WaitCondition);

impl<'a, 'py> FromPyObject<'a, 'py> for AwaitedNodes {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        let iterable = object.is_instance_of::<PyBool>() || object.hasattr("__iter__")?;
        if is_integer(&object)? && !iterable {
            return Ok(Self(WaitCondition::Count(integer(
                &object,
                "a number of nodes",
                "0 or more",
            )?)));
        }
        Ok(Self(WaitCondition::Nodes(object.extract::<NameList>()?.0.into_iter().collect())))
    }
}

/// A non-negative number of seconds.
#[derive(Clone, Copy)]
pub(crate) struct Seconds(pub(crate) Duration);

impl<'a, 'py> FromPyObject<'a, 'py> for Seconds {
    type Error = PyErr;

    /// Infinity and values out of range become `Duration::MAX`.
    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        let seconds: f64 = match object.extract() {
            // An integer beyond the range of a float.
            Err(error) if PyErr::is_instance_of::<PyOverflowError>(&error, object.py()) => {
                if object.lt(0)? { f64::NEG_INFINITY } else { f64::INFINITY }
            }
            seconds => seconds?,
        };
        if seconds.is_nan() || seconds < 0.0 {
            return Err(invalid(format!(
                "{seconds} is not a valid duration: use 0 or more seconds"
            )));
        }
        Ok(Self(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)))
    }
}

/// The time limit of a wait. `None` and an infinite timeout both mean no limit.
pub(crate) fn wait_limit(timeout: Option<Seconds>) -> Option<Duration> {
    timeout.map(|Seconds(timeout)| timeout).filter(|timeout| *timeout != Duration::MAX)
}

/// Whether the object is an integer or has `__index__`, as the integers of numeric packages do.
fn is_integer(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(object.is_instance_of::<PyInt>() || object.get_type().hasattr("__index__")?)
}

/// An integer in the range of `T`.
pub(crate) fn integer<T: TryFrom<i64>>(
    object: &Bound<'_, PyAny>,
    option: &str,
    range: &str,
) -> PyResult<T> {
    if !is_integer(object)? {
        return Err(PyTypeError::new_err(format!("{option} must be an integer: {range}")));
    }
    let out_of_range = || invalid(format!("{option} is out of range: {range}"));
    let number = match object.extract::<i64>() {
        Err(error) if error.is_instance_of::<PyOverflowError>(object.py()) => {
            return Err(out_of_range());
        }
        number => number?,
    };
    T::try_from(number).map_err(|_| out_of_range())
}

/// The topology as a dictionary: each node with its neighbours, both sorted.
pub(crate) fn adjacency<'py>(py: Python<'py>, mesh: &Mesh) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (node, neighbors) in mesh.iter() {
        dict.set_item(node.as_str(), PyTuple::new(py, neighbors.iter().map(NodeName::as_str))?)?;
    }
    Ok(dict)
}

/// An event for Python: its number in `meshage.EventKind`, the node that it concerns ("" if none)
/// and its instance, the reason ("" if none), how a node departed, and the address ("" if none) and
/// the key ids of a node with other keys.
pub(crate) type EventParts =
    (u8, String, Option<u64>, String, Option<&'static str>, String, Vec<String>);

/// The parts of an event.
pub(crate) fn event_parts(event: &Event) -> EventParts {
    let kind = match event {
        Event::LinkUp { .. } => 1,
        Event::LinkDown { .. } => 2,
        Event::NodeJoined { .. } => 3,
        Event::NodeLeft { .. } => 4,
        Event::Topology => 5,
        Event::NameConflict { .. } => 6,
        Event::DiscoveryFailed { .. } => 8,
        Event::KeyMismatch { .. } => 9,
        Event::Revoked { .. } => 10,
        Event::Overflow | _ => 7,
    };
    let departure = event.departure().map(|departure| match departure {
        Departure::Left => "left",
        Departure::Failed => "failed",
    });
    (
        kind,
        event.node().map(ToString::to_string).unwrap_or_default(),
        event.instance().map(|instance| instance.0),
        event.reason().unwrap_or_default(),
        departure,
        event.address().map(|address| address.to_string()).unwrap_or_default(),
        event.key_ids().iter().map(ToString::to_string).collect(),
    )
}
