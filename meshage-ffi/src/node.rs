//! The functions of a node: creation and closing, settings, links, snapshots.

use std::ffi::c_char;
use std::ptr;

use meshage::blocking;
use meshage::node::WaitCondition;

use crate::boundary::{c_string, status, value};
use crate::config::meshage_config;
use crate::convert::{Wait, milliseconds, names, out, required, text};
use crate::handle::{call, meshage_node, query};
use crate::mesh::meshage_mesh;
use crate::names::meshage_names;
use crate::stats::meshage_stats;
use crate::status::meshage_status;

/// Creates and starts a node. When this function returns, the node listens; it finds its links in
/// the background. The configuration is copied. Free `*out` with `meshage_node_free`.
///
/// Errors: NULL; INVALID (the name is not valid, a file cannot be used, or the options for a closed
/// mesh do not fit together; `meshage_last_error` gives the reason); ADDR_IN_USE; IO. Does not wait for the network.
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
        *out = meshage_node::new_raw(node);
        Ok(())
    })
}

/// Starts to close a node. The node accepts no more sends. All waiting calls return CLOSED,
/// including `meshage_set`, whose message may still arrive. For up to 2 s, the node flushes what is
/// in flight and notifies its peers that it leaves. Messages in its queue can still be received.
/// The handle must still be freed. Does nothing for a closed node or for NULL.
///
/// Any thread, including inside a callback. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_node_close(node: *mut meshage_node) {
    value((), || {
        // SAFETY: the caller's promise.
        if let Ok(node) = unsafe { meshage_node::enter(node) } {
            node.node.node().close();
        }
    });
}

/// Closes a node, waits until it is closed (slightly more than 2 s at most) and until none of its
/// callbacks is running, and frees it. Inside a callback this function does not wait: another
/// thread does. Does nothing for NULL.
///
/// Other threads may be waiting in the node: their calls return CLOSED. No call with this handle
/// may *begin* after this one: stop the calling threads first, or close the node and free it when
/// they have ended. In a forked child: frees what can be freed there, and leaves the parent's node
/// as it is. May be called at the end of a thread or of the program, as by `atexit`. A callback that
/// calls exit(3) makes those handlers run inside the callback: the program then ends before the
/// other thread has flushed what was sent last.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_node_free(node: *mut meshage_node) {
    if node.is_null() {
        return;
    }
    // SAFETY: not NULL, and the caller's promise.
    value((), || unsafe { meshage_node::release(node) });
}

/// Returns the node's name; NULL for NULL. Borrowed: valid as long as the node.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_node_name(node: *const meshage_node) -> *const c_char {
    // SAFETY: the caller's promise.
    value(ptr::null(), || match unsafe { meshage_node::enter_any(node) } {
        Some(node) => node.name.as_ptr(),
        None => ptr::null(),
    })
}

/// Returns the TCP port that the node listens on; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_node_port(node: *const meshage_node) -> u16 {
    // SAFETY: the caller's promise.
    value(0, || unsafe { meshage_node::enter_any(node) }.map_or(0, |node| node.port))
}

/// Returns the node's degree, the number of links that it looks for; 0 for NULL and in a forked
/// child.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_node_degree(node: *const meshage_node) -> u32 {
    // SAFETY: the caller's promise.
    value(0, || unsafe { meshage_node::enter(node) }.map_or(0, |node| node.node.node().degree()))
}

/// Sets the node's degree, the number of links that it looks for: 0 to 256. Existing links stay.
/// Has no effect on a closed node.
///
/// Errors: NULL, INVALID, FORKED. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_node_set_degree(
    node: *mut meshage_node,
    degree: u32,
) -> meshage_status {
    // SAFETY: the caller's promise.
    let node = unsafe { meshage_node::enter(node) };
    call(node, |node| Ok(node.node.node().set_degree(degree)?))
}

/// Returns the MSA period: how often the node compares what it knows of the mesh with its peers, in
/// milliseconds; 0 for NULL and in a forked child.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_node_msa_timeout(node: *const meshage_node) -> i32 {
    value(0, || {
        // SAFETY: the caller's promise.
        let node = unsafe { meshage_node::enter(node) };
        node.map_or(0, |node| milliseconds(node.node.node().msa_timeout()))
    })
}

/// Sets the MSA period: how often the node compares what it knows of the mesh with its peers, in
/// milliseconds: 100 to 86,400,000 (one day). Has no effect on a closed node.
///
/// Errors: NULL, INVALID (also for `MESHAGE_INFINITE` and `MESHAGE_DEFAULT`), FORKED. Does not
/// block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_node_set_msa_timeout(
    node: *mut meshage_node,
    ms: i32,
) -> meshage_status {
    // SAFETY: the caller's promise.
    let node = unsafe { meshage_node::enter(node) };
    call(node, |node| {
        let period = Wait::parse(ms)?.setting("msa_timeout")?;
        Ok(node.node.node().set_msa_timeout(period)?)
    })
}

/// Announces the node's links now. Does nothing on a closed node.
///
/// Errors: NULL, FORKED. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_node_msa(node: *mut meshage_node) -> meshage_status {
    // SAFETY: the caller's promise.
    let node = unsafe { meshage_node::enter(node) };
    call(node, |node| {
        node.node.node().msa();
        Ok(())
    })
}

/// Returns in `*out` the node's peers (the nodes that it has links to), sorted by name; none once
/// the node is closed. Free it with `meshage_names_free`.
///
/// Errors: NULL, FORKED. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_node_peers(
    node: *const meshage_node,
    out: *mut *mut meshage_names,
) -> meshage_status {
    // SAFETY: the caller's promise.
    let (out, node) = unsafe { (self::out(out, ptr::null_mut()), meshage_node::enter(node)) };
    query(node, out, |node| Ok(meshage_names::new_raw(&node.node.node().peers())))
}

/// Returns in `*out` a snapshot of the topology as the node knows it, including the node itself. A
/// node that has closed knows only itself. Free it with `meshage_mesh_free`. See
/// `meshage_next_event` for how to follow the mesh from a snapshot on.
///
/// Errors: NULL, FORKED. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_node_mesh(
    node: *const meshage_node,
    out: *mut *mut meshage_mesh,
) -> meshage_status {
    // SAFETY: the caller's promise.
    let (out, node) = unsafe { (self::out(out, ptr::null_mut()), meshage_node::enter(node)) };
    query(node, out, |node| Ok(meshage_mesh::new_raw(&node.node.node().mesh())))
}

/// Returns in `*out` the topology in Graphviz's DOT language. Free it with `meshage_string_free`.
///
/// Errors: NULL, FORKED. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_node_dot(
    node: *const meshage_node,
    out: *mut *mut c_char,
) -> meshage_status {
    // SAFETY: the caller's promise.
    let (out, node) = unsafe { (self::out(out, ptr::null_mut()), meshage_node::enter(node)) };
    query(node, out, |node| Ok(c_string(&node.node.node().dot()).into_raw()))
}

/// Returns in `*out` a snapshot of the node's counters. Free it with `meshage_stats_free`.
///
/// Errors: NULL, FORKED. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_node_stats(
    node: *const meshage_node,
    out: *mut *mut meshage_stats,
) -> meshage_status {
    // SAFETY: the caller's promise.
    let (out, node) = unsafe { (self::out(out, ptr::null_mut()), meshage_node::enter(node)) };
    query(node, out, |node| Ok(meshage_stats::new_raw(&node.node.node().stats())))
}

/// Waits until all the named nodes are reachable. `names` may be NULL if `count` is 0.
///
/// Errors: NULL; UTF8; INVALID; TIMEOUT (AGAIN if `timeout_ms` is 0; `meshage_last_error` names the
/// missing nodes); CLOSED; FORKED. Blocks; returns early when the node is closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_node_wait(
    node: *mut meshage_node,
    names: *const *const c_char,
    count: usize,
    timeout_ms: i32,
) -> meshage_status {
    // SAFETY: the caller's promise.
    let node = unsafe { meshage_node::enter(node) };
    call(node, |node| {
        // SAFETY: the caller's promise.
        let names = unsafe { self::names(names, count, "names")? };
        let wait = Wait::parse(timeout_ms)?;
        let condition = WaitCondition::Nodes(names.into_iter().collect());
        let reached = node.node.wait_for(condition, node.limit(wait));
        reached.map(drop).map_err(|error| wait.timeout_to_again(error.into()))
    })
}

/// Links the node to the node that listens at `address`: "host", "host:port" or "[v6]:port".
/// A link-local address has a zone: "fe80::1%eth0". Without a port, this node's own mesh port is
/// used. Returns when the link is established. A dial takes at least a round trip: with a
/// `timeout_ms` of 0 it is given up at once.
///
/// Errors: NULL; UTF8; INVALID (the address cannot be parsed); REFUSED (no node listens there, or
/// it refused the link); TIMEOUT (AGAIN if `timeout_ms` is 0); SELF; EXISTS (already linked, or the
/// other node's name is in use); AUTH (the two nodes have no key in common, one of them does not
/// encrypt, or one of them may not join; `meshage_last_error` says what was heard, with the ids of
/// the keys, and what to do); PROTOCOL; IO (the host is not found, or the connection broke
/// before the link was established); CLOSED; FORKED. Blocks; returns early when the node is closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_dial(
    node: *mut meshage_node,
    address: *const c_char,
    timeout_ms: i32,
) -> meshage_status {
    // SAFETY: the caller's promise.
    let node = unsafe { meshage_node::enter(node) };
    call(node, |node| {
        // SAFETY: the caller's promise.
        let address = unsafe { text(address, "address")? };
        let wait = Wait::parse(timeout_ms)?;
        let linked = node.node.dial(address, node.limit(wait));
        linked.map(drop).map_err(|error| wait.timeout_to_again(error.into()))
    })
}

/// Closes the link to a peer. The node may later establish a new link to the same or another peer.
///
/// Errors: NULL, UTF8, NOT_FOUND, CLOSED, FORKED. Blocks briefly.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_hangup(
    node: *mut meshage_node,
    peer: *const c_char,
) -> meshage_status {
    // SAFETY: the caller's promise.
    let node = unsafe { meshage_node::enter(node) };
    call(node, |node| {
        // SAFETY: the caller's promise.
        let peer = unsafe { text(peer, "peer")? };
        Ok(node.node.hangup(peer)?)
    })
}
