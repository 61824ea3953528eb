//! Bodies that are serde values, in bincode's standard configuration.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::BodyError;

pub(crate) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, BodyError> {
    bincode::serde::encode_to_vec(value, bincode::config::standard())
        .map_err(|error| BodyError::Encode(error.into()))
}

pub(crate) fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, BodyError> {
    bincode::serde::decode_from_slice(body, bincode::config::standard())
        .map(|(value, _)| value)
        .map_err(|error| BodyError::Decode(error.into()))
}
