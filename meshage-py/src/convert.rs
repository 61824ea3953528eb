//! What Python programs hand in, as the core's words.

use std::time::Duration;

use bytes::Bytes;
use meshage::message::Encoding;
use meshage::name::{Names, NodeName};
use meshage::node::WaitCondition;
use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::prelude::*;
use pyo3::pybacked::{PyBackedBytes, PyBackedStr};
use pyo3::types::{PyBool, PyBytes, PyInt, PyMemoryView, PyString};

use crate::errors::invalid;

/// From here on an immutable body is lent to the core, not copied: below it a copy costs less than
/// giving the object back to the interpreter from another thread.
const LEND_BYTES_MIN: usize = 16 << 10;

/// A body and how it is to be read.
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
                "a body is str, bytes or another buffer, not {}",
                object.get_type().name()?
            )));
        };
        let bytes = view.call_method0("tobytes")?.cast_into::<PyBytes>()?;
        Ok(Self { bytes: lend(&bytes), encoding: Encoding::BYTES })
    }
}

/// A text's UTF-8. Of a large one in ASCII the object's own bytes are it; any other is encoded into
/// an object of its own, because a text would keep what was encoded for as long as it lives.
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

/// Node names: a bare `str` is one of them.
pub(crate) struct NameList(pub(crate) Names);

impl<'a, 'py> FromPyObject<'a, 'py> for NameList {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(text) = object.cast::<PyString>() {
            return Ok(Self(name(&text.to_cow()?)?.into()));
        }
        let names = object.try_iter()?.map(|item| {
            let item = item?;
            let Ok(text) = item.cast::<PyString>() else {
                return Err(PyTypeError::new_err(format!(
                    "a node name is a str, not {}",
                    item.get_type().name()?
                )));
            };
            name(&text.to_cow()?)
        });
        Ok(Self(names.collect::<PyResult<_>>()?))
    }
}

fn name(text: &str) -> PyResult<NodeName> {
    NodeName::new(text).map_err(|error| invalid(format!("{text:?}: {error}")))
}

/// What `wait_for` waits for: a number of nodes, this one included, or names.
pub(crate) struct AwaitedNodes(pub(crate) WaitCondition);

impl<'a, 'py> FromPyObject<'a, 'py> for AwaitedNodes {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        let several = object.is_instance_of::<PyBool>() || object.hasattr("__iter__")?;
        if is_whole(&object)? && !several {
            return Ok(Self(WaitCondition::Count(whole(
                &object,
                "a number of nodes",
                "0 or more",
            )?)));
        }
        Ok(Self(WaitCondition::Nodes(object.extract::<NameList>()?.0.into_iter().collect())))
    }
}

/// A number of seconds, not negative.
#[derive(Clone, Copy)]
pub(crate) struct Seconds(pub(crate) Duration);

impl<'a, 'py> FromPyObject<'a, 'py> for Seconds {
    type Error = PyErr;

    /// An infinite number, and one too large to count, is the longest there is.
    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        let seconds: f64 = object.extract()?;
        if seconds.is_nan() || seconds < 0.0 {
            return Err(invalid(format!("{seconds} is no time to wait: give 0 or more seconds")));
        }
        Ok(Self(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)))
    }
}

/// How long to wait, where `None` and what never ends are the same.
pub(crate) fn wait_limit(timeout: Option<Seconds>) -> Option<Duration> {
    timeout.map(|Seconds(timeout)| timeout).filter(|timeout| *timeout != Duration::MAX)
}

/// Whether it is a whole number, or gives itself out as one, as those of numeric packages do.
fn is_whole(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(object.is_instance_of::<PyInt>() || object.get_type().hasattr("__index__")?)
}

/// A whole number in the range of `T`.
pub(crate) fn whole<T: TryFrom<i64>>(
    object: &Bound<'_, PyAny>,
    option: &str,
    range: &str,
) -> PyResult<T> {
    if !is_whole(object)? {
        return Err(PyTypeError::new_err(format!("{option} is a whole number: {range}")));
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
