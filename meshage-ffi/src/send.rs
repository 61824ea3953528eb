//! Sending: waiting for the acknowledgements, or being called when they are there.

use std::ffi::{c_char, c_void};
use std::ptr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use meshage::error::SendError;
use meshage::message::{Outgoing, Report};
use meshage::node;

use crate::boundary::{Failure, free, status, value};
use crate::callback::{Inside, UserData};
use crate::convert::{Wait, body, names, out, required};
use crate::handle::meshage_node;
use crate::message::meshage_message;
use crate::names::meshage_names;
use crate::report::{judge, meshage_report};
use crate::status::{self, meshage_status};

/// A send under way.
pub struct meshage_op {
    pending: node::Pending,
    node: Weak<meshage_node>,
}

/// Called once with the end of a send. The report is the callback's to free with
/// `meshage_report_free`; it is NULL where the status is neither a recipient's nor PARTIAL (CLOSED).
pub type meshage_report_cb = Option<
    unsafe extern "C" fn(
        user_data: *mut c_void,
        status: meshage_status,
        owned: *mut meshage_report,
    ),
>;

/// Gives a message the time that the call was given.
fn timed(outgoing: Outgoing, timeout_ms: i32) -> Result<Outgoing, Failure> {
    Ok(match Wait::parse(timeout_ms)? {
        Wait::Default => outgoing,
        Wait::Forever => outgoing.timeout(Duration::MAX),
        Wait::AtMost(limit) => outgoing.timeout(limit),
    })
}

/// Sends and waits.
fn send(
    node: &Arc<meshage_node>,
    outgoing: Outgoing,
    timeout_ms: i32,
    out: Option<&mut *mut meshage_report>,
) -> Result<(), Failure> {
    let report = node.node.send(timed(outgoing, timeout_ms)?)?;
    let judged = judge(&report);
    if let Some(out) = out {
        *out = meshage_report::publish(report);
    }
    judged
}

/// Sends a body to the named nodes and waits until all have acknowledged it: until it is in their
/// queues. Doubles count once; the sender itself is skipped among others. The body is copied; it
/// may be NULL where `len` is 0. With a time of 0 the message leaves, and nothing is waited for.
///
/// `*report` names each recipient once and is yours to free with `meshage_report_free`; `report` may
/// be NULL. It is filled whenever the message was sent on its way: on OK and PARTIAL, and where the
/// status is the only recipient's (TIMEOUT, NO_ROUTE, BUSY, LOST, TOO_LARGE of the receiver's).
///
/// Errors: NULL; INVALID (no recipient, a bad name); UTF8; SELF (the sender is the only recipient);
/// NO_ROUTE, TIMEOUT, BUSY, LOST of a single recipient; PARTIAL of several; TOO_LARGE; AGAIN; CLOSED;
/// FORKED. Blocks; wakes when the node is closed.
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
    let report = unsafe { out(report, ptr::null_mut()) };
    status(|| {
        // SAFETY: the caller's promise.
        let (node, recipients, body) = unsafe {
            (
                meshage_node::enter(node)?,
                names(recipients, count, "recipients")?,
                self::body(body, len)?,
            )
        };
        send(&node, Outgoing::set(recipients, body), timeout_ms, report)
    })
}

/// Sends a body to every node that can be reached now, and waits until all have acknowledged it. On
/// an empty mesh: OK, with an empty report. The body is copied; it may be NULL where `len` is 0.
///
/// `report` and errors as of `meshage_set`. Blocks; wakes when the node is closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_broadcast(
    node: *mut meshage_node,
    body: *const c_void,
    len: usize,
    timeout_ms: i32,
    report: *mut *mut meshage_report,
) -> meshage_status {
    // SAFETY: the caller's promise.
    let report = unsafe { out(report, ptr::null_mut()) };
    status(|| {
        // SAFETY: the caller's promise.
        let (node, body) = unsafe { (meshage_node::enter(node)?, self::body(body, len)?) };
        send(&node, Outgoing::broadcast(body), timeout_ms, report)
    })
}

/// The nodes that a broadcast would go to now, sorted. `*out` is yours to free with
/// `meshage_names_free`.
///
/// Errors: NULL, FORKED. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_broadcast_recipients(
    node: *const meshage_node,
    out: *mut *mut meshage_names,
) -> meshage_status {
    // SAFETY: the caller's promise.
    let out = unsafe { self::out(out, ptr::null_mut()) };
    status(|| {
        // SAFETY: the caller's promise.
        let node = unsafe { meshage_node::enter(node)? };
        let out = required(out, "out")?;
        *out = meshage_names::publish(&node.node.node().broadcast_recipients());
        Ok(())
    })
}

/// Sends a message built by hand and waits for the acknowledgements. Without recipients it is a
/// broadcast. The message stays yours, and may be sent again; a received one may be sent as well.
///
/// `report` and errors as of `meshage_set`. Blocks; wakes when the node is closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_send(
    node: *mut meshage_node,
    message: Option<&meshage_message>,
    timeout_ms: i32,
    report: *mut *mut meshage_report,
) -> meshage_status {
    // SAFETY: the caller's promise.
    let report = unsafe { out(report, ptr::null_mut()) };
    status(|| {
        // SAFETY: the caller's promise.
        let node = unsafe { meshage_node::enter(node)? };
        send(&node, required(message, "message")?.outgoing(), timeout_ms, report)
    })
}

/// Begins to send a message and gives back at once. `cb` runs exactly once if this answers OK, never
/// otherwise: on a thread of the node's that does no I/O, maybe before this returns. Keep it short:
/// other reports and snooped messages wait for it. The message stays yours.
///
/// `op` may be NULL; `*op` is yours to free with `meshage_op_free`, at any time.
///
/// Where the node closes meanwhile, `cb` hears what became of the send if that is known within the
/// flush, else CLOSED.
///
/// Errors: NULL (the node, the message or `cb`: a send always has its callback), INVALID, SELF,
/// TOO_LARGE, AGAIN (the local queue is full), CLOSED, FORKED. Does not block.
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
    let op = unsafe { out(op, ptr::null_mut()) };
    status(|| {
        // SAFETY: the caller's promise.
        let node = unsafe { meshage_node::enter(node)? };
        let outgoing = timed(required(message, "message")?.outgoing(), timeout_ms)?;
        let cb = required(cb, "cb")?;
        let user_data = UserData(user_data);
        let counted = node.callbacks.under.count();
        let done = move |ended: Result<Report, SendError>| {
            let user_data = user_data;
            let (status, report) = match ended {
                Ok(report) => (status::of_report(&report), meshage_report::publish(report)),
                Err(error) => (Failure::from(error).status, ptr::null_mut()),
            };
            let inside = Inside::enter();
            // SAFETY: the program's function with its own data, and a report that is now its own.
            unsafe { cb(user_data.0, status, report) };
            drop(inside);
            drop(counted);
        };
        let pending = node.node.node().send_with(outgoing, done)?;
        if let Some(op) = op {
            let node = Arc::downgrade(&node);
            *op = Box::into_raw(Box::new(meshage_op { pending, node }));
        }
        Ok(())
    })
}

/// Ends a send at once: to a recipient that it has not left for it is CANCELED, to another TIMEOUT
/// at once, its outcome unknown: it may still arrive. Its callback still runs, once. After the end
/// of the send, or for NULL: does nothing.
///
/// Any thread. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_op_cancel(op: *mut meshage_op) {
    value((), || {
        // SAFETY: the caller's promise. Shared, because several threads may cancel at once.
        let Some(op) = (unsafe { op.as_ref() }) else { return };
        let Some(node) = op.node.upgrade() else { return };
        if !node.node.is_forked() {
            op.pending.cancel();
        }
    });
}

/// Lets go of a send. Does not cancel it: its callback still runs. NULL is nothing to free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_op_free(op: *mut meshage_op) {
    // SAFETY: the caller's promise.
    unsafe { free(op) }
}
