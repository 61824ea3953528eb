//! The node: start, close, settings, links, snapshots.

use std::ffi::c_char;
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use meshage::blocking;
use meshage::config::DEFAULT_MSA_TIMEOUT;
use meshage::node::WaitCondition;

use crate::boundary::{c_string, status, value};
use crate::config::meshage_config;
use crate::convert::{Wait, milliseconds, names, out, required, text};
use crate::handle::meshage_node;
use crate::mesh::meshage_mesh;
use crate::names::meshage_names;
use crate::stats::meshage_stats;
use crate::status::meshage_status;

/// Starts a node: it listens when this returns, and finds its links by itself from then on.
///
/// `*out` is yours to free with `meshage_node_free`. The configuration is copied. Does not wait for
/// the network.
///
/// Errors: NULL; INVALID (a bad name: `meshage_last_error` says what is wrong with it);
/// ADDR_IN_USE; IO.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_node_create(
    config: Option<&meshage_config>,
    out: *mut *mut meshage_node,
) -> meshage_status {
    // SAFETY: the caller's promise.
    let out = unsafe { self::out(out, ptr::null_mut()) };
    status(|| {
        let config = required(config, "config")?;
        let out = required(out, "out")?;
        let node = blocking::Node::start(config.builder.clone().build()?)?;
        *out = meshage_node::publish(node);
        Ok(())
    })
}

/// Closes a node and gives back at once: it takes no more sends, wakes every waiter with CLOSED (a
/// waiting `meshage_set` too, whose message may still arrive), flushes what is under way and tells
/// its peers that it leaves, in up to 2 s. Messages in its queue can still be taken after it.
/// Closing twice, or NULL, does nothing. The handle stays yours to free.
///
/// Any thread, inside callbacks too. Never blocks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_node_close(node: *mut meshage_node) {
    value((), || {
        // SAFETY: the caller's promise.
        if let Ok(node) = unsafe { meshage_node::enter(node) } {
            node.node.node().close();
        }
    });
}

/// Closes a node, waits until it is closed (up to 2 s, and a moment) and until none of its
/// callbacks runs any more, and frees it. Inside a callback the waiting is left to another thread.
/// NULL is nothing to free.
///
/// Other threads may be waiting in the node: they wake with CLOSED. No call with this handle may
/// *begin* once this one has; stop your own threads from calling, or close first and free when they
/// have left. In a forked child: does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_node_free(node: *mut meshage_node) {
    if node.is_null() {
        return;
    }
    // SAFETY: not NULL, and the caller's promise.
    value((), || unsafe { meshage_node::release(node) });
}

/// The node's name; NULL for NULL. Borrowed: lives as long as the node.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_node_name(node: *const meshage_node) -> *const c_char {
    // SAFETY: the caller's promise.
    value(ptr::null(), || match unsafe { meshage_node::enter_any(node) } {
        Some(node) => node.name.as_ptr(),
        None => ptr::null(),
    })
}

/// The TCP port that the node listens on; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_node_port(node: *const meshage_node) -> u16 {
    // SAFETY: the caller's promise.
    value(0, || unsafe { meshage_node::enter_any(node) }.map_or(0, |node| node.port))
}

/// How many links the node wants; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_node_degree(node: *const meshage_node) -> u32 {
    // SAFETY: the caller's promise.
    value(0, || unsafe { meshage_node::enter(node) }.map_or(0, |node| node.node.node().degree()))
}

/// Wants so many links from now on, 0 to 256. Links that are there stay.
///
/// Errors: NULL, INVALID, FORKED. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_node_set_degree(
    node: *mut meshage_node,
    degree: u32,
) -> meshage_status {
    status(|| {
        // SAFETY: the caller's promise.
        let node = unsafe { meshage_node::enter(node)? };
        Ok(node.node.node().set_degree(degree)?)
    })
}

/// How often the node announces its links though nothing changed, in milliseconds; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_node_msa_timeout(node: *const meshage_node) -> i32 {
    value(0, || {
        // SAFETY: the caller's promise.
        let node = unsafe { meshage_node::enter(node) };
        node.map_or(0, |node| milliseconds(node.node.node().msa_timeout()))
    })
}

/// Announces so often from now on, in milliseconds: 100 to a day's.
///
/// Errors: NULL, INVALID, FORKED. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_node_set_msa_timeout(
    node: *mut meshage_node,
    ms: i32,
) -> meshage_status {
    status(|| {
        // SAFETY: the caller's promise.
        let node = unsafe { meshage_node::enter(node)? };
        let period = Wait::parse(ms)?.setting(DEFAULT_MSA_TIMEOUT);
        Ok(node.node.node().set_msa_timeout(period)?)
    })
}

/// Announces the node's links now.
///
/// Errors: NULL, FORKED. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_node_msa(node: *mut meshage_node) -> meshage_status {
    status(|| {
        // SAFETY: the caller's promise.
        let node = unsafe { meshage_node::enter(node)? };
        node.node.node().msa();
        Ok(())
    })
}

/// The nodes it has links to, sorted. `*out` is yours to free with `meshage_names_free`.
///
/// Errors: NULL, FORKED. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_node_peers(
    node: *const meshage_node,
    out: *mut *mut meshage_names,
) -> meshage_status {
    // SAFETY: the caller's promise.
    let out = unsafe { self::out(out, ptr::null_mut()) };
    status(|| {
        // SAFETY: the caller's promise.
        let node = unsafe { meshage_node::enter(node)? };
        let out = required(out, "out")?;
        *out = meshage_names::publish(&node.node.node().peers());
        Ok(())
    })
}

/// The topology as the node knows it, itself included: a snapshot, which does not change any more.
/// `*out` is yours to free with `meshage_mesh_free`.
///
/// Errors: NULL, FORKED. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_node_mesh(
    node: *const meshage_node,
    out: *mut *mut meshage_mesh,
) -> meshage_status {
    // SAFETY: the caller's promise.
    let out = unsafe { self::out(out, ptr::null_mut()) };
    status(|| {
        // SAFETY: the caller's promise.
        let node = unsafe { meshage_node::enter(node)? };
        let out = required(out, "out")?;
        *out = meshage_mesh::publish(&node.node.node().mesh());
        Ok(())
    })
}

/// The topology in Graphviz's language. `*out` is yours to free with `meshage_string_free`.
///
/// Errors: NULL, FORKED. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_node_dot(
    node: *const meshage_node,
    out: *mut *mut c_char,
) -> meshage_status {
    // SAFETY: the caller's promise.
    let out = unsafe { self::out(out, ptr::null_mut()) };
    status(|| {
        // SAFETY: the caller's promise.
        let node = unsafe { meshage_node::enter(node)? };
        let out = required(out, "out")?;
        *out = c_string(&node.node.node().dot()).into_raw();
        Ok(())
    })
}

/// The node's counters at this moment. `*out` is yours to free with `meshage_stats_free`.
///
/// Errors: NULL, FORKED. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_node_stats(
    node: *const meshage_node,
    out: *mut *mut meshage_stats,
) -> meshage_status {
    // SAFETY: the caller's promise.
    let out = unsafe { self::out(out, ptr::null_mut()) };
    status(|| {
        // SAFETY: the caller's promise.
        let node = unsafe { meshage_node::enter(node)? };
        let out = required(out, "out")?;
        *out = meshage_stats::publish(&node.node.node().stats());
        Ok(())
    })
}

/// Waits until all these nodes are reachable. `names` may be NULL where `count` is 0.
///
/// Errors: NULL; UTF8; INVALID; TIMEOUT (`meshage_last_error` names who is missing), with a time
/// of 0 AGAIN; CLOSED; FORKED. Blocks; wakes when the node is closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_node_wait(
    node: *mut meshage_node,
    names: *const *const c_char,
    count: usize,
    timeout_ms: i32,
) -> meshage_status {
    status(|| {
        // SAFETY: the caller's promise.
        let (node, names) =
            unsafe { (meshage_node::enter(node)?, self::names(names, count, "names")?) };
        let wait = Wait::parse(timeout_ms)?;
        let reached = node
            .node
            .wait_for(WaitCondition::Nodes(names.into_iter().collect()), limit(&node, wait));
        reached.map(drop).map_err(|error| wait.judge(error.into()))
    })
}

/// Links the node to the one that listens at "host", "host:port" or "[v6]:port"; without a port, at
/// the node's own. Returns when the link is there.
///
/// Errors: NULL; UTF8; INVALID (an address that cannot be understood); REFUSED (nobody listens
/// there, or no link is wanted); TIMEOUT, with a time of 0 AGAIN; SELF; EXISTS (already linked, or
/// the other's name is taken); PROTOCOL; IO (the host cannot be found, or the link broke before it
/// was up); CLOSED; FORKED. Blocks; wakes when the node is closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_dial(
    node: *mut meshage_node,
    address: *const c_char,
    timeout_ms: i32,
) -> meshage_status {
    status(|| {
        // SAFETY: the caller's promise.
        let (node, address) = unsafe { (meshage_node::enter(node)?, text(address, "address")?) };
        let wait = Wait::parse(timeout_ms)?;
        let linked = node.node.dial(address, limit(&node, wait));
        linked.map(drop).map_err(|error| wait.judge(error.into()))
    })
}

/// Closes the link to a peer. The node may find another, or the same, by itself again.
///
/// Errors: NULL, UTF8, NOT_FOUND, CLOSED, FORKED. Blocks for a moment.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_hangup(
    node: *mut meshage_node,
    peer: *const c_char,
) -> meshage_status {
    status(|| {
        // SAFETY: the caller's promise.
        let (node, peer) = unsafe { (meshage_node::enter(node)?, text(peer, "peer")?) };
        Ok(node.node.hangup(peer)?)
    })
}

/// How long a call of this node waits.
pub(crate) fn limit(node: &Arc<meshage_node>, wait: Wait) -> Option<Duration> {
    let default = node.node.node().timeout();
    // The longest time there is stands for ever, so that no deadline is computed from it.
    wait.limit(default).filter(|limit| *limit != Duration::MAX)
}
