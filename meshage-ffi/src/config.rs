//! A configuration: the core's builder, one function an option.

use std::ffi::c_char;

use meshage::config::{Config, ConfigBuilder, DEFAULT_MSA_TIMEOUT, DEFAULT_TIMEOUT};

use crate::boundary::{Failure, create, free, status};
use crate::convert::{Wait, required, text};
use crate::status::meshage_status::{self, MESHAGE_ERR_INVALID};

/// What a node is configured with. Used by one thread at a time.
pub struct meshage_config {
    pub(crate) builder: ConfigBuilder,
}

/// Sets an option, if the core takes it: every option is independent of the others.
fn change(
    config: Option<&mut meshage_config>,
    set: impl Fn(ConfigBuilder) -> ConfigBuilder,
) -> Result<(), Failure> {
    let config = required(config, "config")?;
    set(Config::builder("any")).build()?;
    config.builder = set(config.builder.clone());
    Ok(())
}

/// A configuration for a node of this name: 1 to 64 bytes of `[A-Za-z0-9._-]`, unique on the mesh.
/// All else has a default. The name is checked by `meshage_node_create`.
///
/// Yours to free with `meshage_config_free`. NULL where `name` is NULL or not UTF-8;
/// `meshage_last_error` says so.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_config_create(name: *const c_char) -> *mut meshage_config {
    create(|| {
        // SAFETY: the caller's promise.
        let name = unsafe { text(name, "name")? };
        Ok(meshage_config { builder: Config::builder(name) })
    })
}

/// Frees a configuration. NULL is nothing to free. Nodes made with it keep their copy.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_config_free(config: *mut meshage_config) {
    // SAFETY: the caller's promise.
    unsafe { free(config) }
}

/// Only nodes of one namespace join each other by themselves: 0 to 64 bytes of `[A-Za-z0-9._-]`.
/// Default: the empty one, "", which is a namespace like any other.
///
/// Errors: NULL, UTF8, INVALID. The string is copied.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_config_namespace(
    config: Option<&mut meshage_config>,
    ns: *const c_char,
) -> meshage_status {
    status(|| {
        // SAFETY: the caller's promise.
        let ns = unsafe { text(ns, "ns")? };
        change(config, |builder| builder.namespace(ns))
    })
}

/// How many links the node wants; with fewer it solicits. 0 to 256. Default: 0, it solicits never.
///
/// Errors: NULL, INVALID.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_config_degree(
    config: Option<&mut meshage_config>,
    degree: u32,
) -> meshage_status {
    status(|| change(config, |builder| builder.degree(degree)))
}

/// Adds an IP address to solicit at. Default, where none is added: 255.255.255.255. On one machine,
/// 127.255.255.255 reaches every node of that machine and nobody else.
///
/// Errors: NULL, UTF8, INVALID. The string is copied.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_config_broadcast(
    config: Option<&mut meshage_config>,
    ip: *const c_char,
) -> meshage_status {
    status(|| {
        // SAFETY: the caller's promise.
        let ip = unsafe { text(ip, "ip")? };
        change(config, |builder| builder.broadcast(ip))
    })
}

/// The IP address to listen at. Default: 0.0.0.0. An IPv6 address makes an IPv6 listener ("::"
/// takes both kinds).
///
/// Errors: NULL, UTF8, INVALID. The string is copied.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_config_bind(
    config: Option<&mut meshage_config>,
    ip: *const c_char,
) -> meshage_status {
    status(|| {
        // SAFETY: the caller's promise.
        let ip = unsafe { text(ip, "ip")? };
        change(config, |builder| builder.bind(ip))
    })
}

/// The port of the mesh, for TCP and UDP. Default: 9000. 0 takes any free TCP port and never hears
/// a solicitation.
///
/// Errors: NULL.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_config_port(
    config: Option<&mut meshage_config>,
    port: u16,
) -> meshage_status {
    status(|| change(config, |builder| builder.port(port)))
}

/// The TCP port alone, so that many nodes share a machine; 0 takes any free one. Default: the port
/// of the mesh.
///
/// Errors: NULL.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_config_listen_port(
    config: Option<&mut meshage_config>,
    port: u16,
) -> meshage_status {
    status(|| change(config, |builder| builder.listen_port(port)))
}

/// The application's version, at most 256 bytes. A peer with another one is warned of in the log,
/// nothing more. Default: empty.
///
/// Errors: NULL, UTF8, INVALID. The string is copied.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_config_version(
    config: Option<&mut meshage_config>,
    version: *const c_char,
) -> meshage_status {
    status(|| {
        // SAFETY: the caller's promise.
        let version = unsafe { text(version, "version")? };
        change(config, |builder| builder.version(version))
    })
}

/// What `MESHAGE_DEFAULT` stands for in this node's calls, in milliseconds. 0 or more, or
/// `MESHAGE_INFINITE`. Default: `MESHAGE_DEFAULT_TIMEOUT_MS`.
///
/// Errors: NULL, INVALID.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_config_timeout(
    config: Option<&mut meshage_config>,
    ms: i32,
) -> meshage_status {
    status(|| {
        let timeout = Wait::parse(ms)?.setting(DEFAULT_TIMEOUT);
        change(config, |builder| builder.timeout(timeout))
    })
}

/// How often the node announces its links though nothing changed, in milliseconds: 100 to a day's.
/// Default: `MESHAGE_DEFAULT_MSA_TIMEOUT_MS`.
///
/// Errors: NULL, INVALID.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_config_msa_timeout(
    config: Option<&mut meshage_config>,
    ms: i32,
) -> meshage_status {
    status(|| {
        let period = Wait::parse(ms)?.setting(DEFAULT_MSA_TIMEOUT);
        change(config, |builder| builder.msa_timeout(period))
    })
}

/// How many messages wait for the application at most, 1 to 1,048,576; senders wait for room.
/// Default: `MESHAGE_RECEIVE_BUFFER`.
///
/// Errors: NULL, INVALID.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_config_receive_buffer(
    config: Option<&mut meshage_config>,
    messages: usize,
) -> meshage_status {
    status(|| change(config, |builder| builder.receive_buffer(messages)))
}

/// The largest body sent or received, in bytes: 1 to 1 GiB. Default: 64 MiB.
///
/// Errors: NULL, INVALID.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_config_max_message(
    config: Option<&mut meshage_config>,
    bytes: usize,
) -> meshage_status {
    status(|| change(config, |builder| builder.max_message(bytes)))
}

/// How many threads move the node's bytes, 1 to 64. Default: 1.
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

/// Adds an address ("host", "host:port", "[v6]:port") that the node dials until it is linked, for
/// ever, also after the link broke. What is no such address is INVALID; a host that cannot be found
/// is not, the node goes on trying.
///
/// Errors: NULL, UTF8, INVALID. The string is copied.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_config_seed_address(
    config: Option<&mut meshage_config>,
    address: *const c_char,
) -> meshage_status {
    status(|| {
        // SAFETY: the caller's promise.
        let address = unsafe { text(address, "address")? };
        change(config, |builder| builder.seed(address))
    })
}
