//! Keys, identities, tickets and revocations in files, and new keys.
//!
//! Each file is text. `#` begins a remark. A secret that passes through is erased behind it.

use std::fs::File;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use data_encoding::{BASE64, HEXLOWER};
use zeroize::Zeroizing;

use super::error::KeyError;
use super::identity::{Identity, PublicKey};
use super::key::{KEY_BYTES, Key, KeyId, decode_32};
use super::key_ring::KEYS_MAX;
use super::secret::{Secret, with_stack_erased};
use super::ticket::{Revocation, TICKET_BYTES_MAX, Ticket};
use crate::net::clock;
use crate::net::sys::file_access;

/// The most bytes of a file: room for eight keys and for remarks.
pub const FILE_BYTES_MAX: usize = 64 * 1024;

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
/// [`KeyError::File`]: the file is missing, others than its owner may read it, a line is no key, or
/// there is none, or there are more than 8.
pub fn read_keys(path: &Path) -> Result<Vec<Key>, KeyError> {
    let text = read_private(path)?;
    let mut keys: Vec<Key> = Vec::new();
    for (number, line) in lines(as_text(&text, path)?) {
        let key = line.parse().map_err(|error| {
            file_error(path, format!("line {number} is {error}; `#` begins a remark"))
        })?;
        if keys.contains(&key) {
            continue;
        }
        if keys.len() == KEYS_MAX {
            return Err(file_error(
                path,
                format!("line {number} is one key too many: a node has at most 8; remove some"),
            ));
        }
        keys.push(key);
    }
    if keys.is_empty() {
        return Err(file_error(path, "it has no key; make one with `cargo xtask key new`"));
    }
    Ok(keys)
}

/// Reads the identity of a file: its secret as 64 hex digits or base64, `#` begins a remark.
///
/// # Errors
/// [`KeyError::File`].
pub fn read_identity(path: &Path) -> Result<Identity, KeyError> {
    let text = read_private(path)?;
    let mut lines = lines(as_text(&text, path)?);
    let seed = lines.next().and_then(|(_, line)| decode_32(line));
    match (seed, lines.next()) {
        (Some(seed), None) => Ok(Identity::from_seed(&seed)),
        _ => Err(file_error(
            path,
            "it is no identity: one line of 64 hex digits or base64; make one with \
             `cargo xtask key identity`",
        )),
    }
}

/// Reads the ticket of a file: base64, `#` begins a remark. Its signature is not verified.
///
/// # Errors
/// [`KeyError::File`].
pub fn read_ticket(path: &Path) -> Result<Ticket, KeyError> {
    let file = File::open(path).map_err(|error| open_error(path, &error))?;
    let text = read_all(path, file)?;
    let bytes = decode_base64(as_text(&text, path)?);
    let ticket = bytes.filter(|bytes| bytes.len() <= TICKET_BYTES_MAX);
    ticket
        .and_then(|bytes| Ticket::decode(&bytes).ok())
        .ok_or_else(|| file_error(path, "it is no ticket; make one with `cargo xtask key ticket`"))
}

/// Reads a revocation: its bytes, or the text of its file. Its signature is not verified.
pub fn parse_revocation(contents: &[u8]) -> Option<Revocation> {
    if let Ok(revocation) = Revocation::decode(contents) {
        return Some(revocation);
    }
    let text = std::str::from_utf8(contents).ok().filter(|text| text.len() <= FILE_BYTES_MAX)?;
    Revocation::decode(&decode_base64(text)?).ok()
}

/// Makes a key and writes it to a new key file. Returns its id.
///
/// # Errors
/// [`KeyError::File`], also if the file exists and `replace` is not set.
pub fn create_key(path: &Path, replace: bool) -> Result<KeyId, KeyError> {
    let key = new_secret(path)?;
    let id = Key::from_bytes(&key).id();
    write_private(path, &secret_line(&key, &format!("key {id}")), replace)?;
    Ok(id)
}

/// Makes a key and adds it to a key file, behind the keys that are there. Returns its id.
///
/// # Errors
/// [`KeyError::File`], also if the file has 8 keys.
pub fn add_key(path: &Path) -> Result<KeyId, KeyError> {
    if read_keys(path)?.len() == KEYS_MAX {
        return Err(file_error(path, "it has 8 keys, the most that a node may have; remove one"));
    }
    let key = new_secret(path)?;
    let id = Key::from_bytes(&key).id();
    let line = secret_line(&key, &format!("key {id}"));
    let old = read_private(path)?;
    let old = as_text(&old, path)?;
    let newline = if old.ends_with('\n') { "" } else { "\n" };
    write_private(path, &joined(&[old, newline, &line]), true)?;
    Ok(id)
}

/// Makes an identity and writes it to a new file. Returns its public key.
///
/// # Errors
/// [`KeyError::File`], also if the file exists and `replace` is not set.
pub fn create_identity(path: &Path, replace: bool) -> Result<PublicKey, KeyError> {
    let seed = new_secret(path)?;
    let public_key = Identity::from_seed(&seed).public_key();
    write_private(path, &secret_line(&seed, &format!("public key {public_key}")), replace)?;
    Ok(public_key)
}

fn new_secret(path: &Path) -> Result<Secret, KeyError> {
    let secret = with_stack_erased(|| clock::seed().map(|mut seed| Secret::take(&mut seed)));
    secret.map_err(|error| file_error(path, format!("no random numbers: {error}")))
}

/// The line of a key or an identity in its file.
fn secret_line(secret: &[u8; KEY_BYTES], remark: &str) -> Zeroizing<String> {
    let mut hex = Zeroizing::new([0; 2 * KEY_BYTES]);
    HEXLOWER.encode_mut(secret, &mut hex[..]);
    joined(&[std::str::from_utf8(&hex[..]).unwrap_or_default(), " # ", remark, "\n"])
}

/// Joins texts in one buffer that does not grow, so that no copy of a part is left behind.
fn joined(parts: &[&str]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(parts.iter().map(|part| part.len()).sum()));
    for part in parts {
        text.push_str(part);
    }
    text
}

/// The line of a ticket or a revocation in its file.
pub fn public_line(bytes: &[u8]) -> String {
    format!("{}\n", BASE64.encode(bytes))
}

/// Writes a file that only its owner may read: as a whole, or not at all.
///
/// # Errors
/// [`KeyError::File`], also if the file exists and `replace` is not set.
pub fn write_private(path: &Path, text: &str, replace: bool) -> Result<(), KeyError> {
    if !replace {
        // It reserves the name, so that of two commands at a time one fails.
        file_access::create_private(path).map_err(|error| {
            if error.kind() == ErrorKind::AlreadyExists {
                file_error(path, "it exists, and is not overwritten")
            } else {
                file_error(path, error)
            }
        })?;
    }
    let written = replace_file(path, text);
    if written.is_err() && !replace {
        // What is there is the empty file from above.
        let _ = std::fs::remove_file(path);
    }
    written.map_err(|error| file_error(path, error))
}

/// Writes a file beside its final place, and moves it there.
fn replace_file(path: &Path, text: &str) -> io::Result<()> {
    let mut name = path.file_name().ok_or(ErrorKind::InvalidInput)?.to_os_string();
    name.push(format!(".{:016x}.new", clock::instance()?.0));
    let temporary: PathBuf = path.with_file_name(name);
    let written = file_access::create_private(&temporary).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    });
    if written.is_err() {
        // The error that is returned is the one that matters.
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

/// Reads a file that only its owner may read.
fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let file = File::open(path).map_err(|error| open_error(path, &error))?;
    if !file_access::is_private(&file).map_err(|error| file_error(path, error))? {
        let shown = path.display();
        return Err(file_error(
            path,
            format!("others than its owner may read or write it; use `chmod 600 {shown}`"),
        ));
    }
    read_all(path, file)
}

/// Reads a whole file into one buffer, which is erased with everything that was read.
fn read_all(path: &Path, mut file: File) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    // All at once: a buffer that grows leaves copies behind.
    let mut buffer = Zeroizing::new(vec![0; FILE_BYTES_MAX + 1]);
    let mut length = 0;
    while length <= FILE_BYTES_MAX {
        match file.read(&mut buffer[length..]) {
            Ok(0) => {
                buffer.truncate(length);
                return Ok(buffer);
            }
            Ok(read) => length += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(file_error(path, error)),
        }
    }
    Err(file_error(path, "it is longer than 64 KiB, so it is another kind of file"))
}

fn as_text<'a>(bytes: &'a [u8], path: &Path) -> Result<&'a str, KeyError> {
    let text = std::str::from_utf8(bytes).map_err(|_| file_error(path, "it is not text"))?;
    // Some editors begin a file with this mark.
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// The lines that are neither empty nor remarks, numbered from 1.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    (1..).zip(lines).filter(|(_, line)| !line.is_empty())
}

/// Decodes the lines of a text together.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let text: String = lines(text).map(|(_, line)| line).collect();
    BASE64.decode(text.as_bytes()).ok()
}

fn open_error(path: &Path, error: &io::Error) -> KeyError {
    if error.kind() == ErrorKind::NotFound {
        file_error(path, "there is no such file")
    } else if error.kind() == ErrorKind::PermissionDenied {
        file_error(path, "this user may not read it; run the node as the owner of the file")
    } else {
        file_error(path, error)
    }
}

fn file_error(path: &Path, why: impl ToString) -> KeyError {
    KeyError::File(path.display().to_string(), why.to_string())
}

#[cfg(test)]
mod tests;
