//! Sending: calls that wait for the acknowledgements, and calls that report them to a callback.

use std::ffi::{c_char, c_void};
use std::ptr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use meshage::error::SendError;
use meshage::message::{Outgoing, Report};
use meshage::node;

use crate::boundary::{create, free, status, value};
use crate::callback::{CallbackScope, UserData};
use crate::convert::{Wait, body, names, out, required};
use crate::failure::Failure;
use crate::handle::{call, meshage_node, query};
use crate::message::meshage_message;
use crate::names::meshage_names;
use crate::report::{meshage_report, to_result};
use crate::status::{meshage_status, of_report};

/// An outstanding send.
pub struct meshage_op {
    pending: node::Pending,
    node: Weak<meshage_node>,
}

/// Called once with the result of a send. The callback owns the report and frees it with
/// `meshage_report_free`. The report is NULL if there is no outcome, which is the case if the
/// status is CLOSED.
pub type meshage_report_cb = Option<
    unsafe extern "C" fn(
        user_data: *mut c_void,
        status: meshage_status,
        owned: *mut meshage_report,
    ),
>;

/// The options of a send. Not thread-safe while it is changed; any number of sends may use it at
/// once.
#[derive(Clone, Copy)]
pub struct meshage_send_options {
    timeout: Wait,
    retry: bool,
}

impl meshage_send_options {
    const DEFAULTS: Self = Self { timeout: Wait::Default, retry: false };

    /// The defaults with another time limit.
    fn timed(timeout_ms: i32) -> Result<Self, Failure> {
        Ok(Self { timeout: Wait::parse(timeout_ms)?, ..Self::DEFAULTS })
    }

    /// The options that the caller passed; the defaults for NULL.
    fn given(options: Option<&Self>) -> Self {
        options.copied().unwrap_or(Self::DEFAULTS)
    }

    /// Sets the options of a message.
    fn apply(self, outgoing: Outgoing) -> Outgoing {
        let outgoing = outgoing.retry(self.retry);
        match self.timeout {
            Wait::Default => outgoing,
            Wait::Forever => outgoing.timeout(Duration::MAX),
            Wait::AtMost(limit) => outgoing.timeout(limit),
        }
    }
}

/// Creates the options of a send, with the defaults. They can be used for any number of sends. Free
/// the result with `meshage_send_options_free`.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_send_options_create() -> *mut meshage_send_options {
    create(|| Ok(meshage_send_options::DEFAULTS))
}

/// Sets how long the send waits for the acknowledgements, in milliseconds: 0 (do not wait; see
/// `meshage_set`) or more, `MESHAGE_INFINITE`, or `MESHAGE_DEFAULT`, the node's own timeout.
/// Default: `MESHAGE_DEFAULT`.
///
/// Errors: NULL, INVALID.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_send_options_timeout(
    options: Option<&mut meshage_send_options>,
    ms: i32,
) -> meshage_status {
    status(|| {
        required(options, "options")?.timeout = Wait::parse(ms)?;
        Ok(())
    })
}

/// Sets whether the send is retried until its timeout: a message that finds no route, or whose
/// route breaks, is sent again along the route at that time, so that NO_ROUTE and LOST do not end
/// the send. No node receives a message twice. (A full queue at a receiver is tried again until the
/// timeout in any case.) With a timeout of 0 the call returns at once, with TIMEOUT also for a node
/// without a route, and the message is retried for up to 10 s. Default: false.
///
/// Errors: NULL.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_send_options_retry(
    options: Option<&mut meshage_send_options>,
    retry: bool,
) -> meshage_status {
    status(|| {
        required(options, "options")?.retry = retry;
        Ok(())
    })
}

/// Frees the options of a send, at any time: a send has its own copy. Does nothing for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_send_options_free(options: *mut meshage_send_options) {
    // SAFETY: the caller's promise.
    unsafe { free(options) }
}

/// Sends a message, waits for the acknowledgements, and returns the report in `*report`. The message
/// is read first, then the options.
///
/// # Safety
/// As [`meshage_node::enter`]; `report` is NULL or may be written to.
unsafe fn send(
    node: *mut meshage_node,
    report: *mut *mut meshage_report,
    outgoing: impl FnOnce() -> Result<Outgoing, Failure>,
    options: impl FnOnce() -> Result<meshage_send_options, Failure>,
) -> meshage_status {
    // SAFETY: the caller's promise.
    let (out, node) = unsafe { (out(report, ptr::null_mut()), meshage_node::enter(node)) };
    call(node, |node| {
        let outgoing = outgoing()?;
        let report = node.node.send(options()?.apply(outgoing))?;
        let result = to_result(&report);
        if let Some(out) = out {
            *out = meshage_report::new_raw(report);
        }
        result
    })
}

/// A message with the named recipients, from its parts as C passes them.
///
/// # Safety
/// As [`names`] and [`body`].
unsafe fn outgoing_set(
    recipients: *const *const c_char,
    count: usize,
    body: *const c_void,
    len: usize,
) -> Result<Outgoing, Failure> {
    // SAFETY: the caller's promise.
    unsafe { Ok(Outgoing::set(names(recipients, count, "recipients")?, self::body(body, len)?)) }
}

/// Sends a body to the named nodes and waits until all have acknowledged it, which means that it is
/// in their queues. Duplicate names count once; if there are other recipients, the sender's own
/// name is skipped. The body is copied; it may be NULL if `len` is 0.
///
/// If `timeout_ms` is 0, the message is sent and the call does not wait. An outcome is then TIMEOUT,
/// which says that it is unknown, unless it is known at once: NO_ROUTE, or BUSY if the node's own
/// queue is full, so that nothing was sent. It is never OK. The message stays on its way for up to
/// 10 s; closing the node flushes it.
///
/// `*report` has one entry for each recipient; free it with `meshage_report_free`. `report` may be
/// NULL. It is filled whenever the message was sent: on OK and PARTIAL, and if the status is that
/// of the only recipient (TIMEOUT, NO_ROUTE, BUSY, LOST, or TOO_LARGE for the recipient).
///
/// Errors: NULL; INVALID (no recipients, a name that is not valid, the time); UTF8; SELF (the
/// sender is the only recipient); NO_ROUTE, TIMEOUT, BUSY, LOST (with one recipient); PARTIAL (with
/// several); TOO_LARGE; CLOSED; FORKED. Blocks; returns early when the node is closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_set(
    node: *mut meshage_node,
    recipients: *const *const c_char,
    count: usize,
    body: *const c_void,
    len: usize,
    timeout_ms: i32,
    report: *mut *mut meshage_report,
) -> meshage_status {
    // SAFETY: the caller's promise.
    unsafe {
        let outgoing = || outgoing_set(recipients, count, body, len);
        send(node, report, outgoing, || meshage_send_options::timed(timeout_ms))
    }
}

/// As `meshage_set`, with options; NULL stands for the defaults.
///
/// `report` and errors: as for `meshage_set`; with retries NO_ROUTE is returned at the timeout only,
/// and TIMEOUT instead of LOST. Blocks; returns early when the node is closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_set_with(
    node: *mut meshage_node,
    recipients: *const *const c_char,
    count: usize,
    body: *const c_void,
    len: usize,
    options: Option<&meshage_send_options>,
    report: *mut *mut meshage_report,
) -> meshage_status {
    // SAFETY: the caller's promise.
    unsafe {
        let outgoing = || outgoing_set(recipients, count, body, len);
        send(node, report, outgoing, || Ok(meshage_send_options::given(options)))
    }
}

/// Sends a body to all nodes that are reachable now and waits until all have acknowledged it. If
/// no node is reachable, returns OK and an empty report. The body is copied; it may be NULL if
/// `len` is 0.
///
/// `timeout_ms`, `report` and errors: as for `meshage_set`. Blocks; returns early when the node is
/// closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_broadcast(
    node: *mut meshage_node,
    body: *const c_void,
    len: usize,
    timeout_ms: i32,
    report: *mut *mut meshage_report,
) -> meshage_status {
    // SAFETY: the caller's promise.
    unsafe {
        let outgoing = || Ok(Outgoing::broadcast(self::body(body, len)?));
        send(node, report, outgoing, || meshage_send_options::timed(timeout_ms))
    }
}

/// As `meshage_broadcast`, with options; NULL stands for the defaults. Retries concern the nodes
/// that were reachable when the call began.
///
/// `report` and errors: as for `meshage_set_with`. Blocks; returns early when the node is closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_broadcast_with(
    node: *mut meshage_node,
    body: *const c_void,
    len: usize,
    options: Option<&meshage_send_options>,
    report: *mut *mut meshage_report,
) -> meshage_status {
    // SAFETY: the caller's promise.
    unsafe {
        let outgoing = || Ok(Outgoing::broadcast(self::body(body, len)?));
        send(node, report, outgoing, || Ok(meshage_send_options::given(options)))
    }
}

/// Returns in `*out` the nodes to which a broadcast would be sent now, sorted by name. Free it with
/// `meshage_names_free`.
///
/// Errors: NULL, FORKED. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_broadcast_recipients(
    node: *const meshage_node,
    out: *mut *mut meshage_names,
) -> meshage_status {
    // SAFETY: the caller's promise.
    let (out, node) = unsafe { (self::out(out, ptr::null_mut()), meshage_node::enter(node)) };
    query(node, out, |node| Ok(meshage_names::new_raw(&node.node.node().broadcast_recipients())))
}

/// Sends a message and waits for the acknowledgements. A message without recipients is a broadcast.
/// A received message can be sent too. The caller still owns the message and may send it again.
///
/// `timeout_ms`, `report` and errors: as for `meshage_set`. Blocks; returns early when the node is
/// closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_send(
    node: *mut meshage_node,
    message: Option<&meshage_message>,
    timeout_ms: i32,
    report: *mut *mut meshage_report,
) -> meshage_status {
    let outgoing = || Ok(required(message, "message")?.outgoing());
    // SAFETY: the caller's promise.
    unsafe { send(node, report, outgoing, || meshage_send_options::timed(timeout_ms)) }
}

/// As `meshage_send`, with options; NULL stands for the defaults.
///
/// `report` and errors: as for `meshage_set_with`. Blocks; returns early when the node is closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_send_with(
    node: *mut meshage_node,
    message: Option<&meshage_message>,
    options: Option<&meshage_send_options>,
    report: *mut *mut meshage_report,
) -> meshage_status {
    let outgoing = || Ok(required(message, "message")?.outgoing());
    // SAFETY: the caller's promise.
    unsafe { send(node, report, outgoing, || Ok(meshage_send_options::given(options))) }
}

/// Starts to send a message. `cb` receives the result.
fn start(
    node: &Arc<meshage_node>,
    message: Option<&meshage_message>,
    options: meshage_send_options,
    (cb, user_data): (meshage_report_cb, *mut c_void),
    op: Option<&mut *mut meshage_op>,
) -> Result<(), Failure> {
    let outgoing = options.apply(required(message, "message")?.outgoing());
    let cb = required(cb, "cb")?;
    let user_data = UserData(user_data);
    let counted = node.callbacks.in_flight.enter();
    let done = move |result: Result<Report, SendError>| {
        let user_data = user_data;
        let (status, report) = match result {
            Ok(report) => (of_report(&report), meshage_report::new_raw(report)),
            Err(error) => (Failure::from(error).status, ptr::null_mut()),
        };
        let scope = CallbackScope::enter();
        // SAFETY: the application's function with its data, and a report that it now owns.
        unsafe { cb(user_data.0, status, report) };
        drop(scope);
        drop(counted);
    };
    let pending = node.node.node().send_with(outgoing, done)?;
    if let Some(op) = op {
        let node = Arc::downgrade(node);
        *op = Box::into_raw(Box::new(meshage_op { pending, node }));
    }
    Ok(())
}

/// Starts to send a message and returns at once. `cb` is called exactly once if this function
/// returns OK, and never otherwise. It runs on the node's callback thread, possibly before this
/// function returns. It should be short: other reports and messages for the snoop callback wait for
/// it. The caller still owns the message. `timeout_ms`: as for `meshage_set`.
///
/// `op` may be NULL. Free `*op` with `meshage_op_free`, at any time.
///
/// If the node is closed before the send has ended, `cb` receives the outcome if it becomes known
/// during the flush, otherwise CLOSED.
///
/// Errors: NULL (the node, the message, or `cb`, which is required), INVALID, SELF, TOO_LARGE,
/// AGAIN (the local queue is full), CLOSED, FORKED. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_send_async(
    node: *mut meshage_node,
    message: Option<&meshage_message>,
    timeout_ms: i32,
    cb: meshage_report_cb,
    user_data: *mut c_void,
    op: *mut *mut meshage_op,
) -> meshage_status {
    // SAFETY: the caller's promise.
    let (op, node) = unsafe { (out(op, ptr::null_mut()), meshage_node::enter(node)) };
    call(node, |node| {
        start(node, message, meshage_send_options::timed(timeout_ms)?, (cb, user_data), op)
    })
}

/// As `meshage_send_async`, with options; NULL stands for the defaults. The options are copied.
///
/// Errors: as for `meshage_send_async`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_send_async_with(
    node: *mut meshage_node,
    message: Option<&meshage_message>,
    options: Option<&meshage_send_options>,
    cb: meshage_report_cb,
    user_data: *mut c_void,
    op: *mut *mut meshage_op,
) -> meshage_status {
    // SAFETY: the caller's promise.
    let (op, node) = unsafe { (out(op, ptr::null_mut()), meshage_node::enter(node)) };
    call(node, |node| {
        start(node, message, meshage_send_options::given(options), (cb, user_data), op)
    })
}

/// Cancels a send. It ends at once, and its callback is called once. The outcome for a recipient
/// is CANCELED if the message has not left this node for it. Otherwise it is TIMEOUT: the message
/// may still arrive. Does nothing after the end of the send, or for NULL.
///
/// Any thread. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_op_cancel(op: *mut meshage_op) {
    value((), || {
        // SAFETY: the caller's promise. A shared reference, because several threads may cancel at
        // once.
        let Some(op) = (unsafe { op.as_ref() }) else { return };
        let Some(node) = op.node.upgrade() else { return };
        if !node.node.is_forked() {
            op.pending.cancel();
        }
    });
}

/// Frees the handle of a send. This does not cancel the send: its callback is still called. Does
/// nothing for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_op_free(op: *mut meshage_op) {
    // SAFETY: the caller's promise.
    unsafe { free(op) }
}
