//! The core's log, for a Python thread that passes it to `logging`.
//!
//! The core logs through `tracing`. When a program first enables logging, this module installs a
//! subscriber. It formats each event and its spans as one line and puts the line into a bounded
//! queue.

use meshage::RawDescriptor;
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use pyo3::prelude::*;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};

use crate::errors;
use crate::queue::{Receiver, Sender, bounded};

/// The most lines that wait for `logging`: enough for a burst in a mesh of 1,000 nodes.
const LINES_MAX: usize = 4096;

/// The most bytes of waiting lines: far more than that number of lines normally has.
const LINES_BYTES_MAX: usize = 16 << 20;

/// Python's level, the module that logged the line, and the line.
type Line = (u8, &'static str, String);

/// The queue of lines, for the thread that passes them to `logging`.
#[pyclass(frozen, module = "meshage._meshage")]
pub(crate) struct LogQueue(Receiver<Line>);

static SENDER: Mutex<Option<Sender<Line>>> = Mutex::new(None);
static LEVEL: AtomicU8 = AtomicU8::new(u8::MAX);
static INSTALLED: OnceLock<bool> = OnceLock::new();

#[pymethods]
impl LogQueue {
    /// Directs the core's log to a new queue. An earlier queue ends.
    #[new]
    fn new(level: u8) -> PyResult<Self> {
        let installed = INSTALLED
            .get_or_init(|| tracing::subscriber::set_global_default(Collector::default()).is_ok());
        if !installed {
            return Err(errors::other(
                "another module of this process has already installed a log subscriber",
            ));
        }
        let (sender, receiver) =
            bounded(LINES_MAX, LINES_BYTES_MAX, |(_, _, text): &Line| text.len())
                .map_err(|error| errors::resource("cannot open the queue of log lines", &error))?;
        LEVEL.store(level, Ordering::Relaxed);
        let earlier = lock(&SENDER).replace(sender);
        drop(earlier);
        Ok(Self(receiver))
    }

    /// The descriptor to wait for; see `Receiver::detach`.
    fn detach(&self) -> Option<RawDescriptor> {
        self.0.detach()
    }

    /// Takes all queued lines.
    fn take(&self) -> Vec<Line> {
        self.0.take()
    }

    /// The number of lines that were dropped because the queue was full.
    #[getter]
    fn dropped(&self) -> u64 {
        self.0.dropped()
    }

    /// Stops logging and ends the queue.
    #[staticmethod]
    fn stop() {
        LEVEL.store(u8::MAX, Ordering::Relaxed);
        let earlier = lock(&SENDER).take();
        drop(earlier);
    }
}

/// The `tracing` subscriber: formats events and spans.
#[derive(Default)]
struct Collector {
    last_span: AtomicU64,
    spans: Mutex<HashMap<u64, Span>>,
}

struct Span {
    text: String,
    handles: usize,
}

thread_local! {
    /// The spans that this thread has entered, outermost first.
    static ENTERED: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

impl Subscriber for Collector {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span() || python_level(*metadata.level()) >= LEVEL.load(Ordering::Relaxed)
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let id = self.last_span.fetch_add(1, Ordering::Relaxed) + 1;
        let mut text = Fields(attributes.metadata().name().to_owned());
        attributes.record(&mut text);
        lock(&self.spans).insert(id, Span { text: text.0, handles: 1 });
        Id::from_u64(id)
    }

    fn record(&self, id: &Id, values: &Record<'_>) {
        if let Some(span) = lock(&self.spans).get_mut(&id.into_u64()) {
            let mut text = Fields(std::mem::take(&mut span.text));
            values.record(&mut text);
            span.text = text.0;
        }
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = Fields(String::new());
        event.record(&mut text);
        let mut text = text.0;
        ENTERED.with_borrow(|entered| {
            let spans = lock(&self.spans);
            for span in entered.iter().filter_map(|id| spans.get(id)) {
                let _ = write!(text, " [{}]", span.text);
            }
        });
        let metadata = event.metadata();
        if let Some(sender) = &*lock(&SENDER) {
            // The queue counts the lines that it has no room for.
            let _ = sender.push((python_level(*metadata.level()), metadata.target(), text));
        }
    }

    fn enter(&self, id: &Id) {
        ENTERED.with_borrow_mut(|entered| entered.push(id.into_u64()));
    }

    fn exit(&self, id: &Id) {
        ENTERED.with_borrow_mut(|entered| {
            if let Some(at) = entered.iter().rposition(|entered| *entered == id.into_u64()) {
                entered.remove(at);
            }
        });
    }

    fn clone_span(&self, id: &Id) -> Id {
        if let Some(span) = lock(&self.spans).get_mut(&id.into_u64()) {
            span.handles += 1;
        }
        id.clone()
    }

    fn try_close(&self, id: Id) -> bool {
        let mut spans = lock(&self.spans);
        let Some(span) = spans.get_mut(&id.into_u64()) else {
            return false;
        };
        span.handles -= 1;
        let closed = span.handles == 0;
        if closed {
            spans.remove(&id.into_u64());
        }
        closed
    }
}

/// Fields, formatted as `message key=value key=value`.
struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if !self.0.is_empty() {
            self.0.push(' ');
        }
        let _ = match field.name() {
            "message" => write!(self.0, "{value:?}"),
            name => write!(self.0, "{name}={value:?}"),
        };
    }
}

/// The levels of `logging`. 5 is below its lowest level.
fn python_level(level: Level) -> u8 {
    match level {
        Level::ERROR => 40,
        Level::WARN => 30,
        Level::INFO => 20,
        Level::DEBUG => 10,
        Level::TRACE => 5,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
