//! Keys, identities and tickets in files, and new keys.

use std::io;
use std::path::Path;

use zeroize::Zeroizing;

use super::error::KeyError;
use super::identity::Identity;
use super::key::{KEY_BYTES, Key, KeyId, decode_32};
use super::ticket::TICKET_BYTES_MAX;
use crate::net::clock;
use crate::net::sys::file_access;

/// A new random key, 32 bytes.
///
/// # Errors
/// The system has no random numbers.
pub fn generate_key() -> io::Result<[u8; KEY_BYTES]> {
    clock::seed()
}

/// The id of a key.
///
/// # Errors
/// [`KeyError::Format`] if the key has another length than 32 bytes.
pub fn key_id(key: &[u8]) -> Result<KeyId, KeyError> {
    Key::from_slice(key).map(|key| key.id())
}

/// Reads the keys of a file: one a line, `#` begins a remark. The first one is the primary key.
///
/// # Errors
/// [`KeyError::File`].
pub fn read_keys(path: &Path) -> Result<Vec<Key>, KeyError> {
    let text = read_private(path)?;
    let lines = lines(&text).map(|(number, line)| {
        line.parse().map_err(|error| file_error(path, format!("line {number}: {error}")))
    });
    let keys: Vec<Key> = lines.collect::<Result<_, _>>()?;
    if keys.is_empty() {
        return Err(file_error(path, "it has no key"));
    }
    Ok(keys)
}

/// Reads the identity of a file: its secret as 64 hex digits or base64, `#` begins a remark.
///
/// # Errors
/// [`KeyError::File`].
pub fn read_identity(path: &Path) -> Result<Identity, KeyError> {
    let text = read_private(path)?;
    let mut lines = lines(&text);
    let seed = lines.next().and_then(|(_, line)| decode_32(line));
    match (seed, lines.next()) {
        (Some(seed), None) => Ok(Identity::from_seed(&seed)),
        _ => Err(file_error(path, "it is no identity: one line of 64 hex digits or base64")),
    }
}

/// Reads the ticket of a file: base64, `#` begins a remark.
///
/// # Errors
/// [`KeyError::File`].
pub fn read_ticket(path: &Path) -> Result<Vec<u8>, KeyError> {
    let text = std::fs::read_to_string(path).map_err(|error| file_error(path, error))?;
    let text: String = lines(&text).map(|(_, line)| line).collect();
    let ticket = data_encoding::BASE64.decode(text.as_bytes());
    ticket
        .ok()
        .filter(|ticket| ticket.len() <= TICKET_BYTES_MAX)
        .ok_or_else(|| file_error(path, "it is no ticket"))
}

/// Reads a file that only its owner may read.
fn read_private(path: &Path) -> Result<Zeroizing<String>, KeyError> {
    if !file_access::is_private(path).map_err(|error| file_error(path, error))? {
        return Err(file_error(path, "others than its owner may read it; use chmod 600"));
    }
    std::fs::read_to_string(path).map(Zeroizing::new).map_err(|error| file_error(path, error))
}

/// The lines that are neither empty nor remarks, numbered from 1.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    (1..).zip(lines).filter(|(_, line)| !line.is_empty())
}

fn file_error(path: &Path, why: impl ToString) -> KeyError {
    KeyError::File(path.display().to_string(), why.to_string())
}
