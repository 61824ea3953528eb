//! A message, as Python sees it: immutable, its body shared with the core until somebody wants it
//! as `bytes`.

use std::ffi::c_int;
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::mem::MaybeUninit;

use bytes::Bytes;
use meshage::message::{Command, Encoding, Outgoing};
use meshage::name::{Names, NodeName};
use pyo3::exceptions::PyValueError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyString, PyTuple};

use crate::convert::{Body, NameList, whole};

/// How many bytes of a body a printed message shows.
const SHOWN_BYTES_MAX: usize = 64;

/// How many bytes of a body go into a message's hash: enough to tell messages apart, few enough not
/// to read a large body through.
const HASHED_BYTES_MAX: usize = 64;

/// From here on a body is copied without the interpreter, so that other threads run meanwhile:
/// below it, 20 µs of copying, giving the interpreter away and waiting for it costs more.
const DETACHED_BYTES_MIN: usize = 256 << 10;

/// A message as it arrived, or one to send. Its fields never change.
#[pyclass(frozen, weakref, module = "meshage")]
pub(crate) struct Message {
    /// `None` in a message made here.
    source: Option<NodeName>,
    recipients: Names,
    route: Names,
    id: u64,
    instance: u64,
    encoding: Encoding,
    body: Bytes,
    /// The body as Python's object, once it was asked for.
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
    /// The message as the core sends it. Without recipients it is for every node.
    pub(crate) fn outgoing(&self) -> Outgoing {
        let outgoing = if self.recipients.is_empty() {
            Outgoing::broadcast(self.body.clone())
        } else {
            Outgoing::set(self.recipients.iter().cloned(), self.body.clone())
        };
        outgoing.encoding(self.encoding)
    }

    fn shown_body(&self) -> String {
        let shown = &self.body[..self.body.len().min(SHOWN_BYTES_MAX)];
        let mut text = format!("\"{}\"", shown.escape_ascii());
        if shown.len() < self.body.len() {
            let _ = write!(text, " … ({} bytes)", self.body.len());
        }
        text
    }

    fn same(&self, other: &Self) -> bool {
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

/// A body as Python's object.
#[expect(unsafe_code, reason = "a large object is filled while other threads run")]
fn copied(py: Python<'_>, body: &[u8]) -> PyResult<Py<PyBytes>> {
    if body.len() < DETACHED_BYTES_MIN {
        return Ok(PyBytes::new(py, body).unbind());
    }
    let len = ffi::Py_ssize_t::try_from(body.len())
        .map_err(|_| PyValueError::new_err("the body is too large for a bytes object"))?;
    // SAFETY: the interpreter gives a new object of `len` bytes, not yet filled, or null and an
    // exception. Nobody else knows the object until this function gives it away, so its bytes may
    // be written without the interpreter; all of them are.
    unsafe {
        let object = ffi::PyBytes_FromStringAndSize(std::ptr::null(), len);
        let object = Bound::from_owned_ptr_or_err(py, object)?;
        let start = ffi::PyBytes_AsString(object.as_ptr()).cast::<MaybeUninit<u8>>();
        let room = std::slice::from_raw_parts_mut(start, body.len());
        py.detach(|| body.as_ptr().copy_to_nonoverlapping(room.as_mut_ptr().cast(), body.len()));
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
            Some(number) => Encoding(whole(number, "encoding", "0 to 4,294,967,295")?),
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

    /// The node that sent it; empty in a message made here.
    #[getter]
    fn source(&self) -> &str {
        self.source.as_ref().map_or("", NodeName::as_str)
    }

    /// Whom it was sent to; empty for a broadcast.
    #[getter]
    fn recipients<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        tuple(py, &self.recipients)
    }

    /// The nodes that put it on a link, in order: the source, then each relay.
    #[getter]
    fn route<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        tuple(py, &self.route)
    }

    /// Its number at the source's instance.
    #[getter]
    fn id(&self) -> u64 {
        self.id
    }

    /// The life of the source that sent it.
    #[getter]
    fn instance(&self) -> u64 {
        self.instance
    }

    /// How the body is to be read.
    #[getter]
    fn encoding(&self) -> u32 {
        self.encoding.0
    }

    /// Always MESSAGE: the original's field.
    #[getter]
    fn command(&self) -> i32 {
        Command::Message as i32
    }

    /// The body, copied once; `memoryview(message)` does not copy.
    #[getter]
    fn body(&self, py: Python<'_>) -> PyResult<Py<PyBytes>> {
        let object = self.body_object.get_or_try_init(py, || copied(py, &self.body));
        Ok(object?.clone_ref(py))
    }

    /// The body as text.
    fn text<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        PyString::from_encoded_object(self.body(py)?.bind(py), Some(c"utf-8"), Some(c"strict"))
    }

    /// The body as a JSON value.
    fn json<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        py.import("json")?.call_method1("loads", (self.text(py)?,))
    }

    fn __len__(&self) -> usize {
        self.body.len()
    }

    /// A message is true, its body empty or not.
    fn __bool__(&self) -> bool {
        true
    }

    fn __bytes__(&self, py: Python<'_>) -> PyResult<Py<PyBytes>> {
        self.body(py)
    }

    /// What is no message gets `NotImplemented`, and is asked in its turn.
    fn __eq__(&self, other: &Self) -> bool {
        self.same(other)
    }

    fn __hash__(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.instance, self.id, self.encoding, &self.recipients).hash(&mut hasher);
        self.body.len().hash(&mut hasher);
        self.body[..self.body.len().min(HASHED_BYTES_MAX)].hash(&mut hasher);
        hasher.finish()
    }

    fn __repr__(&self) -> String {
        let recipients: Vec<&str> = self.recipients.iter().map(NodeName::as_str).collect();
        let to = if recipients.is_empty() { "all".to_owned() } else { recipients.join(", ") };
        let body = self.shown_body();
        match &self.source {
            Some(source) => format!("<Message {} from {source} to {to}: {body}>", self.id),
            None => format!("<Message to {to}: {body}>"),
        }
    }

    /// Every field, as the original prints them; the body shortened.
    fn __str__(&self) -> String {
        format!(
            "Message {{ recipients: {:?}, source: {}, instance: {:016x}, route: {:?}, id: {}, \
             command: {:?}, body: {} }}",
            self.recipients,
            self.source(),
            self.instance,
            self.route,
            self.id,
            Command::Message,
            self.shown_body(),
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

    /// Lends the body, read-only: the buffer keeps the message alive.
    #[expect(unsafe_code, reason = "the buffer protocol hands out a pointer")]
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        let body = &slf.get().body;
        let len = ffi::Py_ssize_t::try_from(body.len())
            .map_err(|_| PyValueError::new_err("the body is too large for a buffer"))?;
        // SAFETY: `view` is the interpreter's. The bytes live and stay as they are as long as the
        // message, which the view holds a reference to; the view is marked read-only, so nobody
        // writes through the pointer.
        let filled = unsafe {
            let start = body.as_ptr().cast_mut().cast();
            ffi::PyBuffer_FillInfo(view, slf.as_ptr(), start, len, 1, flags)
        };
        if filled == -1 { Err(PyErr::fetch(slf.py())) } else { Ok(()) }
    }
}

/// What a pickled message consists of.
type Fields<'py> =
    (String, Bound<'py, PyTuple>, Bound<'py, PyTuple>, u64, u64, u32, Bound<'py, PyBytes>);

/// A message from its pickled fields.
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
