//! Keys of closed meshes: new keys, and the keys of a running node.

use std::ffi::c_char;
use std::ptr;

use meshage::{Key, KeyId, generate_key};
use zeroize::Zeroizing;

use crate::boundary::status;
use crate::convert::{bytes, out, required, text};
use crate::failure::Failure;
use crate::handle::{call, meshage_node, query};
use crate::names::meshage_names;
use crate::status::meshage_status::{self, MESHAGE_ERR_IO, MESHAGE_ERR_STATE};

/// The bytes of a key, a public key and the text of a key id with its NUL.
const KEY_BYTES: usize = 32;
const ID_TEXT_BYTES: usize = 17;

/// Makes a new random key of 32 bytes, for `meshage_config_key`, and writes it to `out`. Erase it
/// when you no longer need it.
///
/// Errors: NULL, IO (the system has no random numbers). Any thread. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_key_generate(out: *mut u8) -> meshage_status {
    // SAFETY: the caller's promise: 32 bytes.
    let out = unsafe { self::out(out.cast::<[u8; KEY_BYTES]>(), [0; KEY_BYTES]) };
    status(|| {
        let out = required(out, "out")?;
        let key = generate_key().map_err(|error| Failure::new(MESHAGE_ERR_IO, error))?;
        out.copy_from_slice(&*Zeroizing::new(key));
        Ok(())
    })
}

/// Writes the id of a key to `out`: 16 hex digits and a NUL. The id is public: it appears in errors,
/// events and logs, and nothing can be learnt from it about the key. The key is in any form that
/// `meshage_config_key` accepts.
///
/// Errors: NULL, INVALID (not a key). `*out` is "" then. Any thread. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_key_id(
    key: *const u8,
    len: usize,
    out: *mut c_char,
) -> meshage_status {
    // SAFETY: the caller's promise: 17 bytes.
    let out = unsafe { self::out(out.cast::<[u8; ID_TEXT_BYTES]>(), [0; ID_TEXT_BYTES]) };
    status(|| {
        let out = required(out, "out")?;
        // SAFETY: the caller's promise.
        let id = Key::parse(unsafe { bytes(key, len, "key")? })?.id().to_string();
        out[..id.len()].copy_from_slice(id.as_bytes());
        Ok(())
    })
}

/// Adds a key to a running node, which accepts it from now on. A key that the node has already is no
/// error. A node that found no peer because it lacked the key joins at once. The key is in any form
/// that `meshage_config_key` accepts.
///
/// To change the key of a mesh without losing a message: add the new key on every node, then use it
/// on every node (`meshage_node_key_use`), then remove the old one from every node
/// (`meshage_node_key_remove`).
///
/// Errors: NULL; INVALID (not a key); STATE (the node is open, or has 8 keys); CLOSED; FORKED. Does
/// not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_node_key_add(
    node: *mut meshage_node,
    key: *const u8,
    len: usize,
) -> meshage_status {
    // SAFETY: the caller's promise.
    let node = unsafe { meshage_node::enter(node) };
    call(node, |node| {
        // SAFETY: the caller's promise.
        let key = Key::parse(unsafe { bytes(key, len, "key")? })?;
        node.node.node().keys().add(key)?;
        Ok(())
    })
}

/// Makes the key with this id the primary one. The node moves its links to it, as far as their other
/// ends have it; no message is lost.
///
/// Errors: NULL; UTF8; INVALID (not an id); NOT_FOUND (the node has no such key); STATE (the node is
/// open); CLOSED; FORKED. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_node_key_use(
    node: *mut meshage_node,
    id: *const c_char,
) -> meshage_status {
    // SAFETY: the caller's promise.
    let node = unsafe { meshage_node::enter(node) };
    call(node, |node| {
        // SAFETY: the caller's promise.
        let id = unsafe { key_id(id)? };
        Ok(node.node.node().keys().use_key(id)?)
    })
}

/// Removes the key with this id. Links under it move to the primary key; a link whose other end does
/// not have that one is closed.
///
/// Errors: NULL; UTF8; INVALID (not an id); NOT_FOUND (the node has no such key); STATE (it is the
/// primary key, or the node is open); CLOSED; FORKED. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_node_key_remove(
    node: *mut meshage_node,
    id: *const c_char,
) -> meshage_status {
    // SAFETY: the caller's promise.
    let node = unsafe { meshage_node::enter(node) };
    call(node, |node| {
        // SAFETY: the caller's promise.
        let id = unsafe { key_id(id)? };
        Ok(node.node.node().keys().remove(id)?)
    })
}

/// Reads the key file again and takes its keys instead of all present ones. If the file cannot be
/// used, the keys stay as they are.
///
/// Errors: NULL; INVALID (the file cannot be used; `meshage_last_error` gives the reason); STATE (the
/// node was created without a key file); CLOSED; FORKED. Reads a file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_node_keys_reload(node: *mut meshage_node) -> meshage_status {
    // SAFETY: the caller's promise.
    let node = unsafe { meshage_node::enter(node) };
    call(node, |node| Ok(node.node.node().keys().reload()?))
}

/// Returns in `*ids` the ids of the node's keys, the primary one first; none for an open node. Free
/// the list with `meshage_names_free`. Nothing returns a key itself.
///
/// Errors: NULL, FORKED. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_node_keys(
    node: *const meshage_node,
    ids: *mut *mut meshage_names,
) -> meshage_status {
    // SAFETY: the caller's promise.
    let (ids, node) = unsafe { (out(ids, ptr::null_mut()), meshage_node::enter(node)) };
    query(node, ids, |node| Ok(meshage_names::new_raw(&node.node.node().keys().ids())))
}

/// Writes the public key of the node's identity, 32 bytes, to `out`. Others name it in
/// `meshage_config_allow`. Without an identity file it is another one at each start.
///
/// Errors: NULL, STATE (the node is open, and has none), FORKED. `out` is zeroed then. Does not
/// block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_node_public_key(
    node: *const meshage_node,
    out: *mut u8,
) -> meshage_status {
    // SAFETY: the caller's promise: 32 bytes.
    let out = unsafe { self::out(out.cast::<[u8; KEY_BYTES]>(), [0; KEY_BYTES]) };
    // SAFETY: the caller's promise.
    let node = unsafe { meshage_node::enter(node) };
    query(node, out, |node| {
        let public_key = node.node.node().public_key();
        let text = "the node was created without a key, so it has no public key";
        Ok(public_key.ok_or_else(|| Failure::new(MESHAGE_ERR_STATE, text))?.0)
    })
}

/// Takes a revocation of a ticket, which the root signed, and passes it on to every node. Links of
/// the node that has the ticket are closed everywhere.
///
/// Errors: NULL; INVALID (not a revocation that the root of this node signed); STATE (the node is
/// open); CLOSED; FORKED. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_node_revoke(
    node: *mut meshage_node,
    revocation: *const u8,
    len: usize,
) -> meshage_status {
    // SAFETY: the caller's promise.
    let node = unsafe { meshage_node::enter(node) };
    call(node, |node| {
        // SAFETY: the caller's promise.
        Ok(node.node.node().revoke(unsafe { bytes(revocation, len, "revocation")? })?)
    })
}

/// Converts the text of a key id.
///
/// # Safety
/// As [`text`].
unsafe fn key_id(id: *const c_char) -> Result<KeyId, Failure> {
    // SAFETY: the caller's promise.
    Ok(unsafe { text(id, "id")? }.parse()?)
}
