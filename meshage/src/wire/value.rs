//! Serde values as bodies, in bincode's standard configuration.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::BodyError;

pub(crate) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, BodyError> {
    bincode::serde::encode_to_vec(value, bincode::config::standard())
        .map_err(|error| BodyError::Encode(error.into()))
}

pub(crate) fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, BodyError> {
    match bincode::serde::decode_from_slice(body, bincode::config::standard()) {
        Ok((value, length)) if length == body.len() => Ok(value),
        Ok((_, length)) => {
            let left = body.len() - length;
            Err(BodyError::Decode(format!("{left} bytes follow the value").into()))
        }
        Err(error) => Err(BodyError::Decode(error.into())),
    }
}
