//! Passes the library's log to the application.
//!
//! ```text
//!   any thread ── line ──► bounded queue ──► one thread ──► the application's callback
//! ```
//!
//! Logging never blocks: if the callback is slow, lines are dropped, and a later line of the log
//! contains the number of dropped lines. The thread starts with the first callback and runs until
//! the process ends.

use std::cell::Cell;
use std::ffi::{c_char, c_void};
use std::fmt::{self, Write as _};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, OnceLock};
use std::thread;

use tracing::field::{Field, Visit};
use tracing::span;
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::{LookupSpan, Registry};

use crate::boundary::{c_string, status};
use crate::callback::{Callback, CallbackScope, Slot, lock, meshage_drop_cb};
use crate::failure::Failure;
use crate::status::meshage_status::{
    self, MESHAGE_ERR_FORKED, MESHAGE_ERR_INVALID, MESHAGE_ERR_IO,
};

/// The capacity of the queue of lines: enough for a burst of a hundred links that come and go.
const LINES_MAX: usize = 4096;
/// The most verbose level.
const LEVEL_MAX: i32 = 5;

/// The type of a log callback that is not NULL.
type LogFn = unsafe extern "C" fn(
    user_data: *mut c_void,
    level: i32,
    target: *const c_char,
    text: *const c_char,
);

/// Called with a line of the log: its level (1 error, 2 warning, 3 information, 4 debugging, 5
/// trace), the part of the library that logged it, and its text. Both strings are borrowed: they
/// are valid until the callback returns.
pub type meshage_log_cb = Option<
    unsafe extern "C" fn(
        user_data: *mut c_void,
        level: i32,
        target: *const c_char,
        text: *const c_char,
    ),
>;

struct Line {
    level: i32,
    target: &'static str,
    text: String,
}

/// The log of the process.
struct Log {
    process: u32,
    slot: Slot<LogFn>,
    lines: SyncSender<Line>,
    dropped: AtomicU64,
}

static LOG: OnceLock<Log> = OnceLock::new();
/// The highest level that is logged; 0 logs nothing.
static LEVEL: AtomicI32 = AtomicI32::new(0);

thread_local! {
    /// Whether this thread is the one that calls the callback. Its own lines are dropped, because
    /// each would cause another.
    static IS_LOGGER: Cell<bool> = const { Cell::new(false) };
}

/// Sets the callback for the log of all nodes of the process. `cb` is called with the lines of
/// levels up to `max_level` (0 none, 1 errors, 2 warnings, 3 information, 4 debugging, 5 trace), on
/// a separate thread, one line at a time. If the callback is slow, lines are dropped, and a later
/// line contains the number of dropped lines.
///
/// A new callback replaces the old one; NULL removes it. Without a callback the library logs
/// nothing. Remove the callback before anything that it uses is destroyed, at the latest before
/// main returns.
///
/// `drop` may be NULL. It is called exactly once, whatever this function returns: after the last
/// use of `user_data`, or at once if `cb` is NULL or this function fails.
///
/// Errors: INVALID (`max_level` is not 0 to 5), IO (the thread cannot be started), FORKED (the log
/// was started by the parent process). Any thread. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_on_log(
    max_level: i32,
    cb: meshage_log_cb,
    user_data: *mut c_void,
    drop: meshage_drop_cb,
) -> meshage_status {
    let callback = Callback::new(cb, user_data, drop);
    status(move || {
        if !(0..=LEVEL_MAX).contains(&max_level) {
            let text = format!("{max_level} is not a log level: 0 (none) to {LEVEL_MAX} (trace)");
            return Err(Failure::new(MESHAGE_ERR_INVALID, text));
        }
        let callback = callback.non_null();
        if callback.is_none() && LOG.get().is_none() {
            return Ok(());
        }
        let log = Log::start().map_err(|error| Failure::new(MESHAGE_ERR_IO, error))?;
        if log.process != process::id() {
            let text = "the log was started by the parent process";
            return Err(Failure::new(MESHAGE_ERR_FORKED, text));
        }
        let level = if callback.is_some() { max_level } else { 0 };
        log.slot.set(callback);
        LEVEL.store(level, Ordering::Relaxed);
        tracing::callsite::rebuild_interest_cache();
        Ok(())
    })
}

impl Log {
    /// Returns the log; starts it if necessary.
    fn start() -> io::Result<&'static Self> {
        static STARTING: Mutex<()> = Mutex::new(());
        let _starting = lock(&STARTING);
        if let Some(log) = LOG.get() {
            return Ok(log);
        }
        let (lines, queue) = sync_channel(LINES_MAX);
        thread::Builder::new().name("meshage-log".into()).spawn(move || deliver_all(&queue))?;
        let (process, dropped) = (process::id(), AtomicU64::new(0));
        let log = LOG.get_or_init(|| Self { process, slot: Slot::default(), lines, dropped });
        // A subscriber that was set before in this copy of the library stays.
        let _ = tracing::subscriber::set_global_default(Registry::default().with(Lines));
        Ok(log)
    }

    fn push(&self, line: Line) {
        // A forked child has the queue but not the thread.
        if self.process == process::id() && self.lines.try_send(line).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn deliver_all(queue: &Receiver<Line>) {
    IS_LOGGER.set(true);
    for line in queue {
        let Some(log) = LOG.get() else { continue };
        let dropped = log.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            let text = format!("{dropped} lines were dropped: the log callback is slow");
            deliver_caught(log, &Line { level: 2, target: "meshage::log", text });
        }
        deliver_caught(log, &line);
    }
}

/// A panic, which is an error of the library, loses the line and not the thread. It cannot be logged
/// here; the standard library prints it.
fn deliver_caught(log: &Log, line: &Line) {
    let _ = catch_unwind(AssertUnwindSafe(|| deliver(log, line)));
}

fn deliver(log: &Log, line: &Line) {
    let Some(callback) = log.slot.current() else { return };
    if line.level > LEVEL.load(Ordering::Relaxed) {
        return;
    }
    let (target, text) = (c_string(line.target), c_string(&line.text));
    let _scope = CallbackScope::enter();
    // SAFETY: the application's function with its data, and strings that outlive the call.
    unsafe {
        (callback.function)(callback.user_data(), line.level, target.as_ptr(), text.as_ptr())
    };
}

/// The number of a level in the header.
fn number(level: Level) -> i32 {
    match level {
        Level::ERROR => 1,
        Level::WARN => 2,
        Level::INFO => 3,
        Level::DEBUG => 4,
        Level::TRACE => LEVEL_MAX,
    }
}

/// Turns the library's tracing events into lines.
struct Lines;

/// The fields of a span, as text for the lines logged inside it.
struct Fields(String);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        // Spans of every level are recorded: lines of any level may be logged inside them.
        let level = LEVEL.load(Ordering::Relaxed);
        if metadata.is_span() { level > 0 } else { number(*metadata.level()) <= level }
    }

    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, ctx: Context<'_, S>) {
        let mut text = String::new();
        attributes.record(&mut Writer(&mut text));
        if let Some(span) = ctx.span(id) {
            span.extensions_mut().insert(Fields(text));
        }
    }

    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, S>) {
        let Some(log) = LOG.get() else { return };
        if IS_LOGGER.get() {
            return;
        }
        let mut text = String::new();
        for span in ctx.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(Fields(fields)) = span.extensions().get::<Fields>() {
                let _ = write!(text, "{}{{{fields}}} ", span.name());
            }
        }
        event.record(&mut Writer(&mut text));
        let metadata = event.metadata();
        log.push(Line { level: number(*metadata.level()), target: metadata.target(), text });
    }
}

/// Writes fields as `name=value`, and the message without its name.
struct Writer<'a>(&'a mut String);

impl Visit for Writer<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if !self.0.is_empty() && !self.0.ends_with(' ') {
            self.0.push(' ');
        }
        // Writing to a String does not fail.
        let _ = match field.name() {
            "message" => write!(self.0, "{value:?}"),
            name => write!(self.0, "{name}={value:?}"),
        };
    }
}
