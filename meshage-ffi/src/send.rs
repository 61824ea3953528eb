//! Sending: calls that wait for the acknowledgements, and calls that report them to a callback.

use std::ffi::{c_char, c_void};
use std::ptr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use meshage::error::SendError;
use meshage::message::{Outgoing, Report};
use meshage::node;

use crate::boundary::{free, value};
use crate::callback::{CallbackScope, UserData};
use crate::convert::{Wait, body, names, out, required};
use crate::failure::Failure;
use crate::handle::{call, meshage_node, query};
use crate::message::meshage_message;
use crate::names::meshage_names;
use crate::report::{meshage_report, to_result};
use crate::status::{self, meshage_status};

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

/// Sets the time limit of a message.
fn timed(outgoing: Outgoing, timeout_ms: i32) -> Result<Outgoing, Failure> {
    Ok(match Wait::parse(timeout_ms)? {
        Wait::Default => outgoing,
        Wait::Forever => outgoing.timeout(Duration::MAX),
        Wait::AtMost(limit) => outgoing.timeout(limit),
    })
}

/// Sends a message, waits for the acknowledgements, and returns the report in `out`.
fn send(
    node: &meshage_node,
    outgoing: Outgoing,
    timeout_ms: i32,
    out: Option<&mut *mut meshage_report>,
) -> Result<(), Failure> {
    let report = node.node.send(timed(outgoing, timeout_ms)?)?;
    let result = to_result(&report);
    if let Some(out) = out {
        *out = meshage_report::new_raw(report);
    }
    result
}

/// Sends a body to the named nodes and waits until all have acknowledged it, which means that it is
/// in their queues. Duplicate names count once; if there are other recipients, the sender's own
/// name is skipped. The body is copied; it may be NULL if `len` is 0. If `timeout_ms` is 0, the
/// message is sent and the call does not wait.
///
/// `*report` has one entry for each recipient; free it with `meshage_report_free`. `report` may be
/// NULL. It is filled whenever the message was sent: on OK and PARTIAL, and if the status is that
/// of the only recipient (TIMEOUT, NO_ROUTE, BUSY, LOST, or TOO_LARGE for the recipient).
///
/// Errors: NULL; INVALID (no recipients, a name that is not valid, the time); UTF8; SELF (the
/// sender is the only recipient); NO_ROUTE, TIMEOUT, BUSY, LOST (with one recipient); PARTIAL (with
/// several); TOO_LARGE; AGAIN (the local queue is full); CLOSED; FORKED. Blocks; returns early when
/// the node is closed.
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
    let (report, node) = unsafe { (out(report, ptr::null_mut()), meshage_node::enter(node)) };
    call(node, |node| {
        // SAFETY: the caller's promise.
        let (recipients, body) =
            unsafe { (names(recipients, count, "recipients")?, self::body(body, len)?) };
        send(node, Outgoing::set(recipients, body), timeout_ms, report)
    })
}

/// Sends a body to all nodes that are reachable now and waits until all have acknowledged it. If
/// no node is reachable, returns OK and an empty report. The body is copied; it may be NULL if
/// `len` is 0.
///
/// `report` and errors: as for `meshage_set`. Blocks; returns early when the node is closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_broadcast(
    node: *mut meshage_node,
    body: *const c_void,
    len: usize,
    timeout_ms: i32,
    report: *mut *mut meshage_report,
) -> meshage_status {
    // SAFETY: the caller's promise.
    let (report, node) = unsafe { (out(report, ptr::null_mut()), meshage_node::enter(node)) };
    call(node, |node| {
        // SAFETY: the caller's promise.
        let body = unsafe { self::body(body, len)? };
        send(node, Outgoing::broadcast(body), timeout_ms, report)
    })
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
/// `report` and errors: as for `meshage_set`. Blocks; returns early when the node is closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_send(
    node: *mut meshage_node,
    message: Option<&meshage_message>,
    timeout_ms: i32,
    report: *mut *mut meshage_report,
) -> meshage_status {
    // SAFETY: the caller's promise.
    let (report, node) = unsafe { (out(report, ptr::null_mut()), meshage_node::enter(node)) };
    call(node, |node| send(node, required(message, "message")?.outgoing(), timeout_ms, report))
}

/// Starts to send a message and returns at once. `cb` is called exactly once if this function
/// returns OK, and never otherwise. It runs on the node's callback thread, possibly before this
/// function returns. It should be short: other reports and messages for the snoop callback wait for
/// it. The caller still owns the message.
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
        let outgoing = timed(required(message, "message")?.outgoing(), timeout_ms)?;
        let cb = required(cb, "cb")?;
        let user_data = UserData(user_data);
        let counted = node.callbacks.in_flight.enter();
        let done = move |result: Result<Report, SendError>| {
            let user_data = user_data;
            let (status, report) = match result {
                Ok(report) => (status::of_report(&report), meshage_report::new_raw(report)),
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
