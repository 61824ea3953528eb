//! The configuration of a node: the core's builder, with one function for each option.

use std::ffi::c_char;

use meshage::config::{Config, ConfigBuilder};
use meshage::name::NodeName;
use meshage::{Key, PublicKey};

use crate::boundary::{create, free, status};
use crate::convert::{Wait, bytes, required, text};
use crate::failure::Failure;
use crate::status::meshage_status::{self, MESHAGE_ERR_INVALID};

/// The configuration of a node. Not thread-safe: one thread at a time may use it.
pub struct meshage_config {
    pub(crate) builder: ConfigBuilder,
}

/// Sets an option if the core accepts it. It is checked on a builder that has only this option,
/// since the options are independent of each other.
fn change(
    config: Option<&mut meshage_config>,
    set: impl Fn(ConfigBuilder) -> ConfigBuilder,
) -> Result<(), Failure> {
    let config = required(config, "config")?;
    set(Config::builder("any")).build()?;
    config.builder = set(config.builder.clone());
    Ok(())
}

/// Sets an option that is a string; `what` is its name in the header.
///
/// # Safety
/// As [`text`].
unsafe fn change_text<'a>(
    config: Option<&mut meshage_config>,
    value: *const c_char,
    what: &str,
    set: impl Fn(ConfigBuilder, &'a str) -> ConfigBuilder,
) -> meshage_status {
    status(|| {
        // SAFETY: the caller's promise.
        let value = unsafe { text(value, what)? };
        change(config, |builder| set(builder, value))
    })
}

/// Creates the configuration of a node named `name`: 1 to 64 bytes of `[A-Za-z0-9._-]`, unique on
/// the mesh. All other options have defaults. `meshage_node_create` checks the name.
///
/// Free the result with `meshage_config_free`. Returns NULL if `name` is NULL or not UTF-8;
/// `meshage_last_error` gives the reason.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_config_create(name: *const c_char) -> *mut meshage_config {
    create(|| {
        // SAFETY: the caller's promise.
        let name = unsafe { text(name, "name")? };
        Ok(meshage_config { builder: Config::builder(name) })
    })
}

/// Frees a configuration. Nodes that were created with it have their own copy. Does nothing for
/// NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_config_free(config: *mut meshage_config) {
    // SAFETY: the caller's promise.
    unsafe { free(config) }
}

/// Sets the namespace: 0 to 64 bytes of `[A-Za-z0-9._-]`. Nodes discover only nodes of the same
/// namespace. Default: "", which is a namespace like any other.
///
/// Errors: NULL, UTF8, INVALID. The string is copied.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_config_namespace(
    config: Option<&mut meshage_config>,
    ns: *const c_char,
) -> meshage_status {
    // SAFETY: the caller's promise.
    unsafe { change_text(config, ns, "ns", ConfigBuilder::namespace) }
}

/// Sets the degree, the number of links that the node looks for: 0 to 256. A node with fewer links
/// sends solicitations. Default: 0, which sends none.
///
/// Errors: NULL, INVALID.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_config_degree(
    config: Option<&mut meshage_config>,
    degree: u32,
) -> meshage_status {
    status(|| change(config, |builder| builder.degree(degree)))
}

/// Adds an IP address to which solicitations are sent. If none is added: 255.255.255.255.
///
/// 255.255.255.255 and IPv6 multicast addresses without a zone ("ff02::1") stand for every network
/// that this machine is connected to: the node sends once on each of them, from its own address
/// there, and looks anew at each solicitation. Any other address is used as it is, by the routing
/// table of the system. 127.255.255.255 reaches all nodes on the same machine and no others. An
/// address may have a zone and a port: "ff02::1%eth0", "[ff02::1%eth0]:9000".
///
/// Errors: NULL, UTF8, INVALID (it cannot be parsed, or is link-local without a zone). The string is
/// copied.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_config_broadcast(
    config: Option<&mut meshage_config>,
    ip: *const c_char,
) -> meshage_status {
    // SAFETY: the caller's promise.
    unsafe { change_text(config, ip, "ip", ConfigBuilder::broadcast) }
}

/// Adds an interface, by name, to send solicitations on. If none is added: all that are up. It may
/// be called several times. An interface that does not exist when the node starts is used as soon as
/// it does. Addresses that do not stand for every network are not affected.
///
/// Errors: NULL, UTF8, INVALID (an empty name, or more than 64). The string is copied.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_config_interface(
    config: Option<&mut meshage_config>,
    name: *const c_char,
) -> meshage_status {
    // SAFETY: the caller's promise.
    unsafe { change_text(config, name, "name", |builder, name| builder.interfaces([name])) }
}

/// Sets the IP address to listen on. Default: 0.0.0.0, or "::" if a broadcast address is an IPv6
/// address. "::" accepts IPv4 and IPv6. A link-local address needs its zone: "fe80::1%eth0". A port
/// ("[fe80::1%eth0]:9000") is taken as the listen port. A node that is bound to one address also
/// solicits from it.
///
/// Errors: NULL, UTF8, INVALID (it cannot be parsed, or is link-local without a zone). The string is
/// copied.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_config_bind(
    config: Option<&mut meshage_config>,
    ip: *const c_char,
) -> meshage_status {
    // SAFETY: the caller's promise.
    unsafe { change_text(config, ip, "ip", ConfigBuilder::bind) }
}

/// Sets the port of the mesh, for TCP and UDP. Default: `MESHAGE_DEFAULT_PORT`. With 0 the node
/// listens on any free TCP port and receives no solicitations.
///
/// Errors: NULL.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_config_port(
    config: Option<&mut meshage_config>,
    port: u16,
) -> meshage_status {
    status(|| change(config, |builder| builder.port(port)))
}

/// Sets the TCP port only, so that several nodes can run on one machine; 0 is any free port.
/// Default: the port of the mesh.
///
/// Errors: NULL.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_config_listen_port(
    config: Option<&mut meshage_config>,
    port: u16,
) -> meshage_status {
    status(|| change(config, |builder| builder.listen_port(port)))
}

/// Sets the version of the application, at most 256 bytes. The node logs a warning about a peer
/// with another version; there is no other effect. Default: "".
///
/// Errors: NULL, UTF8, INVALID. The string is copied.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_config_version(
    config: Option<&mut meshage_config>,
    version: *const c_char,
) -> meshage_status {
    // SAFETY: the caller's promise.
    unsafe { change_text(config, version, "version", ConfigBuilder::version) }
}

/// Sets the node's own timeout in milliseconds: 0 or more, or `MESHAGE_INFINITE`. Calls with the
/// time `MESHAGE_DEFAULT` use it. With 0 these calls do not wait (see `meshage_set`). Default:
/// `MESHAGE_DEFAULT_TIMEOUT_MS`.
///
/// Errors: NULL, INVALID (also for `MESHAGE_DEFAULT`).
#[unsafe(no_mangle)]
pub extern "C" fn meshage_config_timeout(
    config: Option<&mut meshage_config>,
    ms: i32,
) -> meshage_status {
    status(|| {
        let timeout = Wait::parse(ms)?.setting("timeout")?;
        change(config, |builder| builder.timeout(timeout))
    })
}

/// Sets the MSA period: how often the node compares what it knows of the mesh with its peers, so that
/// every difference is found and repaired (changes are announced at once). In milliseconds: 100 to 86,400,000 (one day). Default: `MESHAGE_DEFAULT_MSA_TIMEOUT_MS`.
///
/// Errors: NULL, INVALID (also for `MESHAGE_INFINITE` and `MESHAGE_DEFAULT`).
#[unsafe(no_mangle)]
pub extern "C" fn meshage_config_msa_timeout(
    config: Option<&mut meshage_config>,
    ms: i32,
) -> meshage_status {
    status(|| {
        let period = Wait::parse(ms)?.setting("msa_timeout")?;
        change(config, |builder| builder.msa_timeout(period))
    })
}

/// Sets the capacity of the receive queue, in messages: 1 to 1,048,576. When the queue is full,
/// senders wait. Default: `MESHAGE_RECEIVE_BUFFER`.
///
/// Errors: NULL, INVALID.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_config_receive_buffer(
    config: Option<&mut meshage_config>,
    messages: usize,
) -> meshage_status {
    status(|| change(config, |builder| builder.receive_buffer(messages)))
}

/// Sets the largest body that the node sends or receives, in bytes: 1 to 1 GiB. Default: 64 MiB.
///
/// Errors: NULL, INVALID.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_config_max_message(
    config: Option<&mut meshage_config>,
    bytes: usize,
) -> meshage_status {
    status(|| change(config, |builder| builder.max_message(bytes)))
}

/// Sets the number of the node's I/O threads: 1 to 64. Default: 1.
///
/// Errors: NULL, INVALID.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_config_worker_threads(
    config: Option<&mut meshage_config>,
    threads: u32,
) -> meshage_status {
    status(|| {
        let threads =
            usize::try_from(threads).map_err(|error| Failure::new(MESHAGE_ERR_INVALID, error))?;
        change(config, |builder| builder.worker_threads(threads))
    })
}

/// Adds an address ("host", "host:port", "[v6]:port" or "fe80::1%eth0") that the node dials until it
/// is linked, and again whenever that link breaks. A host that cannot be resolved is not an error: the node keeps
/// trying.
///
/// Errors: NULL, UTF8, INVALID (the address cannot be parsed). The string is copied.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_config_seed_address(
    config: Option<&mut meshage_config>,
    address: *const c_char,
) -> meshage_status {
    // SAFETY: the caller's promise.
    unsafe { change_text(config, address, "address", ConfigBuilder::seed) }
}

/// Sets an option of a closed mesh. It is complete only together with others, which
/// `meshage_node_create` checks.
fn change_security(
    config: Option<&mut meshage_config>,
    set: impl FnOnce(ConfigBuilder) -> Result<ConfigBuilder, Failure>,
) -> meshage_status {
    status(|| {
        let config = required(config, "config")?;
        config.builder = set(config.builder.clone())?;
        Ok(())
    })
}

/// Adds a pre-shared key, and so closes the mesh: only nodes with a key of this node can link to it.
/// The first key is the primary one, which opens new links; all are accepted. Call it again for more,
/// up to 8. If none is added, and no key file is set, the node is open.
///
/// A key is 32 bytes. Its text is accepted too, without a NUL: 64 hex digits or base64. The library
/// keeps no copy of the key itself, and erases what it derives from it when it is no longer used.
/// Erase your own copy.
///
/// Errors: NULL, INVALID (not a key).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_config_key(
    config: Option<&mut meshage_config>,
    key: *const u8,
    len: usize,
) -> meshage_status {
    change_security(config, |builder| {
        // SAFETY: the caller's promise.
        Ok(builder.key(Key::parse(unsafe { bytes(key, len, "key")? })?))
    })
}

/// Sets a file with keys: one a line as 64 hex digits or base64, the first one the primary key, `#`
/// begins a remark. The keys of `meshage_config_key` come before them. Only the file's owner may
/// have the right to read it. It is read by this call, by `meshage_node_create`, and by
/// `meshage_node_keys_reload`.
///
/// Errors: NULL, UTF8, INVALID (the file cannot be read, others than its owner may read it, or it
/// has a line that is no key; `meshage_last_error` gives the reason). The path is copied.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_config_key_file(
    config: Option<&mut meshage_config>,
    path: *const c_char,
) -> meshage_status {
    // SAFETY: the caller's promise.
    unsafe { change_text(config, path, "path", ConfigBuilder::key_file) }
}

/// Sets the file of the node's identity, which only its owner may have the right to read. Default:
/// an identity for this run, which proves no name. `meshage_node_create` reads the file.
///
/// Errors: NULL, UTF8. The path is copied.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_config_identity_file(
    config: Option<&mut meshage_config>,
    path: *const c_char,
) -> meshage_status {
    change_security(config, |builder| {
        // SAFETY: the caller's promise.
        Ok(builder.identity_file(unsafe { text(path, "path")? }))
    })
}

/// Sets the public key of the mesh's root. Nodes with a ticket that the root signed may join, under
/// the name in their ticket. The node needs keys and an identity file too.
///
/// A public key is 32 bytes, or as text 64 hex digits or base64.
///
/// Errors: NULL, INVALID (not a public key).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_config_root(
    config: Option<&mut meshage_config>,
    public_key: *const u8,
    len: usize,
) -> meshage_status {
    change_security(config, |builder| {
        // SAFETY: the caller's promise.
        Ok(builder.root(PublicKey::parse(unsafe { bytes(public_key, len, "public_key")? })?))
    })
}

/// Sets the file of the node's ticket, which the root signed. `meshage_node_create` reads the file.
///
/// Errors: NULL, UTF8. The path is copied.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_config_ticket_file(
    config: Option<&mut meshage_config>,
    path: *const c_char,
) -> meshage_status {
    change_security(config, |builder| {
        // SAFETY: the caller's promise.
        Ok(builder.ticket_file(unsafe { text(path, "path")? }))
    })
}

/// Allows the node with this name and public key to join. Call it again for more nodes. From then on
/// a name belongs to its public key, and other names cannot join. The node needs keys and an identity
/// file too.
///
/// A public key is 32 bytes, or as text 64 hex digits or base64.
///
/// Errors: NULL, UTF8, INVALID (not a name or not a public key). The string is copied.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_config_allow(
    config: Option<&mut meshage_config>,
    name: *const c_char,
    public_key: *const u8,
    len: usize,
) -> meshage_status {
    change_security(config, |builder| {
        // SAFETY: the caller's promise.
        let (name, public_key) = unsafe {
            let name = NodeName::new(text(name, "name")?)?;
            (name, PublicKey::parse(bytes(public_key, len, "public_key")?)?)
        };
        Ok(builder.allow(name.as_str(), public_key))
    })
}

/// Sets whether the node signs its announcements, and requires that all others are signed. Every node
/// of the mesh needs the same setting, and names that are bound to public keys. Default: false.
///
/// Errors: NULL.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_config_signed(
    config: Option<&mut meshage_config>,
    signed: bool,
) -> meshage_status {
    change_security(config, |builder| Ok(builder.signed(signed)))
}
