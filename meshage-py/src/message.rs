//! The Python message object. It is immutable and shares its body with the core. The body is
//! copied when a program first reads it as `bytes`.

use std::ffi::c_int;
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::mem::MaybeUninit;

use bytes::Bytes;
use meshage::message::{Command, Encoding, Outgoing};
use meshage::name::{Names, NodeName};
use pyo3::exceptions::{PyRecursionError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyString, PyTuple};

use crate::convert::{Body, NameList, integer};

/// The most bytes of a body that `repr` and `str` show.
const SHOWN_BYTES_MAX: usize = 64;

/// The most bytes of a body that are hashed: enough to distinguish messages, and few enough that a
/// large body is not read to its end.
const HASHED_BYTES_MAX: usize = 64;

/// A body of at least this size is copied with the interpreter released, so that other
/// threads run. A smaller one is copied in less than 20 µs, and releasing and reacquiring
/// the interpreter costs more.
const DETACHED_BYTES_MIN: usize = 256 << 10;

/// A received message, or one to send. It is immutable.
#[pyclass(frozen, weakref, module = "meshage")]
pub(crate) struct Message {
    /// `None` in a message that this program made.
    source: Option<NodeName>,
    recipients: Names,
    route: Names,
    id: u64,
    instance: u64,
    encoding: Encoding,
    body: Bytes,
    /// The body as a Python object, once it was read.
    body_object: PyOnceLock<Py<PyBytes>>,
}

impl From<meshage::message::Message> for Message {
    fn from(message: meshage::message::Message) -> Self {
        Self {
            source: Some(message.source),
            recipients: message.recipients,
            route: message.route,
            id: message.id.0,
            instance: message.instance.0,
            encoding: message.encoding,
            body: message.body,
            body_object: PyOnceLock::new(),
        }
    }
}

impl Message {
    /// The message for the core to send. Without recipients it is a broadcast.
    pub(crate) fn outgoing(&self) -> Outgoing {
        let outgoing = if self.recipients.is_empty() {
            Outgoing::broadcast(self.body.clone())
        } else {
            Outgoing::set(self.recipients.iter().cloned(), self.body.clone())
        };
        outgoing.encoding(self.encoding)
    }

    /// The start of the body: as text if it was sent as text, else as bytes.
    fn short_body(&self) -> String {
        let start = &self.body[..self.body.len().min(SHOWN_BYTES_MAX)];
        let left_out = if start.len() < self.body.len() { "…" } else { "" };
        let is_text = matches!(self.encoding, Encoding::TEXT | Encoding::JSON);
        let text = match std::str::from_utf8(start) {
            // The start may end inside a character.
            Err(error) if error.error_len().is_none() => {
                std::str::from_utf8(&start[..error.valid_up_to()])
            }
            valid => valid,
        };
        match text {
            Ok(text) if is_text => format!("{text:?}{left_out}"),
            Ok(_) | Err(_) => format!("\"{}\"{left_out}", start.escape_ascii()),
        }
    }

    /// `7 from ada to bob, carol and 3 more`.
    fn id_and_nodes(&self) -> String {
        let mut text = String::new();
        if let Some(source) = &self.source {
            let _ = write!(text, "{} from {source} ", self.id);
        }
        let _ = match self.recipients.is_empty() {
            true => write!(text, "to all"),
            false => write!(text, "to {}", self.recipients),
        };
        text
    }

    fn equals(&self, other: &Self) -> bool {
        self.source == other.source
            && self.recipients == other.recipients
            && self.route == other.route
            && self.id == other.id
            && self.instance == other.instance
            && self.encoding == other.encoding
            && self.body == other.body
    }
}

fn tuple<'py>(py: Python<'py>, names: &[NodeName]) -> PyResult<Bound<'py, PyTuple>> {
    PyTuple::new(py, names.iter().map(NodeName::as_str))
}

/// A body as a Python object.
#[expect(unsafe_code, reason = "a large object is filled while other threads run")]
fn to_python_bytes(py: Python<'_>, body: &[u8]) -> PyResult<Py<PyBytes>> {
    if body.len() < DETACHED_BYTES_MIN {
        return Ok(PyBytes::new(py, body).unbind());
    }
    let len = ffi::Py_ssize_t::try_from(body.len())
        .map_err(|_| PyValueError::new_err("the body is too large for a bytes object"))?;
    // SAFETY: the interpreter returns a new, uninitialized object of `len` bytes, or null and an
    // exception. No other code has a reference to the object until this function returns it, so its
    // bytes may be written with the interpreter released. All of them are written.
    unsafe {
        let object = ffi::PyBytes_FromStringAndSize(std::ptr::null(), len);
        let object = Bound::from_owned_ptr_or_err(py, object)?;
        let start = ffi::PyBytes_AsString(object.as_ptr()).cast::<MaybeUninit<u8>>();
        let destination = std::slice::from_raw_parts_mut(start, body.len());
        py.detach(|| {
            body.as_ptr().copy_to_nonoverlapping(destination.as_mut_ptr().cast(), body.len())
        });
        Ok(object.cast_into_unchecked::<PyBytes>().unbind())
    }
}

#[pymethods]
impl Message {
    #[new]
    #[pyo3(signature = (body, recipients = None, encoding = None))]
    fn new(
        body: Body,
        recipients: Option<NameList>,
        encoding: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let encoding = match encoding {
            Some(number) => Encoding(integer(number, "encoding", "0 to 4,294,967,295")?),
            None => body.encoding,
        };
        Ok(Self {
            source: None,
            recipients: recipients.map(|NameList(names)| names).unwrap_or_default(),
            route: Names::new(),
            id: 0,
            instance: 0,
            encoding,
            body: body.bytes,
            body_object: PyOnceLock::new(),
        })
    }

    /// The node that sent the message; empty in a message that this program made.
    #[getter]
    fn source(&self) -> &str {
        self.source.as_ref().map_or("", NodeName::as_str)
    }

    /// The recipients; empty for a broadcast.
    #[getter]
    fn recipients<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        tuple(py, &self.recipients)
    }

    /// The nodes that sent the message over a link, in order: the source, then each relay.
    #[getter]
    fn route<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        tuple(py, &self.route)
    }

    /// The message's number, unique within the source's instance.
    #[getter]
    fn id(&self) -> u64 {
        self.id
    }

    /// The incarnation of the source that sent the message.
    #[getter]
    fn instance(&self) -> u64 {
        self.instance
    }

    /// The encoding of the body.
    #[getter]
    fn encoding(&self) -> u32 {
        self.encoding.0
    }

    /// Always MESSAGE. The field exists in the original.
    #[getter]
    fn command(&self) -> i32 {
        Command::Message as i32
    }

    /// The body, copied once; `memoryview(message)` does not copy.
    #[getter]
    fn body(&self, py: Python<'_>) -> PyResult<Py<PyBytes>> {
        let object = self.body_object.get_or_try_init(py, || to_python_bytes(py, &self.body));
        Ok(object?.clone_ref(py))
    }

    /// The body as text.
    fn text<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        PyString::from_encoded_object(self.body(py)?.bind(py), Some(c"utf-8"), Some(c"strict"))
    }

    /// The body as a JSON value.
    fn json<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let value = py.import("json")?.call_method1("loads", (self.text(py)?,));
        value.map_err(|error| match error.is_instance_of::<PyRecursionError>(py) {
            true => PyValueError::new_err("the JSON value is nested too deeply"),
            false => error,
        })
    }

    fn __len__(&self) -> usize {
        self.body.len()
    }

    /// A message is true, even if its body is empty.
    fn __bool__(&self) -> bool {
        true
    }

    fn __bytes__(&self, py: Python<'_>) -> PyResult<Py<PyBytes>> {
        self.body(py)
    }

    /// For an object that is not a message, Python gets `NotImplemented` and tries its `__eq__`.
    fn __eq__(&self, other: &Self) -> bool {
        self.equals(other)
    }

    fn __hash__(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.instance, self.id, self.encoding, &self.recipients).hash(&mut hasher);
        self.body.len().hash(&mut hasher);
        self.body[..self.body.len().min(HASHED_BYTES_MAX)].hash(&mut hasher);
        hasher.finish()
    }

    fn __repr__(&self) -> String {
        let mut text = format!("<Message {}: {}", self.id_and_nodes(), self.short_body());
        if self.body.len() > SHOWN_BYTES_MAX {
            let _ = write!(text, " ({} bytes)", self.body.len());
        }
        text.push('>');
        text
    }

    /// Every field in one line. Long lists of names and long bodies are shortened.
    fn __str__(&self) -> String {
        let via =
            if self.route.is_empty() { String::new() } else { format!(" via {}", self.route) };
        format!(
            "message {}{via}: {} ({} bytes, encoding {}, instance {:016x})",
            self.id_and_nodes(),
            self.short_body(),
            self.body.len(),
            self.encoding.0,
            self.instance,
        )
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, Fields<'py>)> {
        let restore = py.import("meshage._meshage")?.getattr("restore_message")?;
        let fields = (
            self.source().to_owned(),
            tuple(py, &self.recipients)?,
            tuple(py, &self.route)?,
            self.id,
            self.instance,
            self.encoding.0,
            self.body(py)?.into_bound(py),
        );
        Ok((restore, fields))
    }

    /// Exposes the body as a read-only buffer. The buffer keeps the message alive.
    #[expect(unsafe_code, reason = "the buffer protocol exposes a pointer")]
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        let body = &slf.get().body;
        let len = ffi::Py_ssize_t::try_from(body.len())
            .map_err(|_| PyValueError::new_err("the body is too large for a buffer"))?;
        // SAFETY: the interpreter provides `view`. The bytes live and stay unchanged as long as the
        // message, to which the view holds a reference. The view is marked read-only, so nothing is
        // written through the pointer.
        let filled = unsafe {
            let start = body.as_ptr().cast_mut().cast();
            ffi::PyBuffer_FillInfo(view, slf.as_ptr(), start, len, 1, flags)
        };
        if filled == -1 { Err(PyErr::fetch(slf.py())) } else { Ok(()) }
    }
}

/// The fields of a pickled message.
type Fields<'py> =
    (String, Bound<'py, PyTuple>, Bound<'py, PyTuple>, u64, u64, u32, Bound<'py, PyBytes>);

/// Restores a message from its pickled fields.
#[pyfunction]
pub(crate) fn restore_message(
    source: &str,
    recipients: NameList,
    route: NameList,
    id: u64,
    instance: u64,
    encoding: u32,
    body: Body,
) -> PyResult<Message> {
    let source = match source {
        "" => None,
        name => {
            Some(NodeName::new(name).map_err(|error| crate::errors::invalid(error.to_string()))?)
        }
    };
    Ok(Message {
        source,
        recipients: recipients.0,
        route: route.0,
        id,
        instance,
        encoding: Encoding(encoding),
        body: body.bytes,
        body_object: PyOnceLock::new(),
    })
}
