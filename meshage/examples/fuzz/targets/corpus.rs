//! The committed inputs: `meshage/tests/corpus/` has a file for each target.
//!
//! A line is an input in hex after `valid` or `invalid`; `#` begins a remark. For a target that
//! decides by itself what its bytes mean, every input is `valid`. An input that once led to a fault
//! is added there.

use std::path::{Path, PathBuf};

/// The file of a target.
pub(crate) fn file(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(format!("{target}.hex"))
}

/// The inputs of a target, each with whether it is valid.
pub(crate) fn read(target: &str) -> Result<Vec<(bool, Vec<u8>)>, String> {
    let path = file(target);
    let text = std::fs::read_to_string(&path)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (verdict, hex) = line.split_once(' ').unwrap_or((line, ""));
            let bytes = from_hex(hex).map_err(|error| format!("{}: {error}", path.display()))?;
            Ok((verdict == "valid", bytes))
        })
        .collect()
}

/// Bytes as hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

/// The bytes of a text in hex.
pub(crate) fn from_hex(text: &str) -> Result<Vec<u8>, String> {
    let decoded = data_encoding::HEXLOWER.decode(text.as_bytes());
    decoded.map_err(|error| format!("{text:?} is no hex: {error}"))
}
