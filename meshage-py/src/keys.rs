//! Keys of closed meshes: arguments, new keys and their ids.

use meshage::{Key, KeyError, PublicKey};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyString};
use zeroize::Zeroizing;

use crate::errors;

/// A pre-shared key as an argument. Nothing keeps its bytes.
pub(crate) struct PresharedKey(pub(crate) Key);

impl<'a, 'py> FromPyObject<'a, 'py> for PresharedKey {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        parse(&object, "a key", str::parse, Key::parse).map(Self)
    }
}

/// A public key as an argument.
pub(crate) struct PublicKeyArgument(pub(crate) PublicKey);

impl<'a, 'py> FromPyObject<'a, 'py> for PublicKeyArgument {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        parse(&object, "a public key", str::parse, PublicKey::parse).map(Self)
    }
}

/// Parses a `str`, or the bytes or the text in a `bytes` or a `bytearray`. The errors do not repeat
/// the argument.
fn parse<T>(
    object: &Bound<'_, PyAny>,
    what: &str,
    parse_text: impl FnOnce(&str) -> Result<T, KeyError>,
    parse_bytes: impl FnOnce(&[u8]) -> Result<T, KeyError>,
) -> PyResult<T> {
    let parsed = if let Ok(text) = object.cast::<PyString>() {
        parse_text(text.to_str().unwrap_or_default())
    } else if let Ok(bytes) = object.cast::<PyBytes>() {
        parse_bytes(bytes.as_bytes())
    } else if let Ok(bytes) = object.cast::<PyByteArray>() {
        parse_bytes(&Zeroizing::new(bytes.to_vec()))
    } else {
        let kind = object.get_type().name()?.to_string();
        return Err(PyTypeError::new_err(format!("{what} must be bytes or str, not {kind}")));
    };
    parsed.map_err(|error| errors::key(&error))
}

/// A new random key, 32 bytes.
#[pyfunction]
pub(crate) fn generate_key(py: Python<'_>) -> PyResult<Bound<'_, PyBytes>> {
    let key = meshage::generate_key().map_err(|error| errors::system(&error))?;
    Ok(PyBytes::new(py, &*Zeroizing::new(key)))
}

/// The id of a key, 16 hex digits.
#[pyfunction]
pub(crate) fn key_id(key: PresharedKey) -> String {
    key.0.id().to_string()
}
