//! Bytes of the data plane's frames, field by field.
//!
//! Every message passes here twice a hop, so headers and acknowledgements are read and written by
//! hand. The bytes are those that bincode gives the same types, which the tests of [`super::data`]
//! and [`super::ack`] hold to: numbers up to 250 are one byte; greater ones are a byte that tells the width, and then
//! the number, little-endian.

use super::WireError;
use crate::name::{NAME_BYTES_MAX, NodeName};

/// A number up to this is one byte.
const ONE_BYTE_MAX: u64 = 250;
/// The longest that a number is.
pub(super) const NUMBER_BYTES_MAX: usize = 9;
/// What stands before a number of two, four, eight bytes.
const TWO_BYTES: u8 = 251;
const FOUR_BYTES: u8 = 252;
const EIGHT_BYTES: u8 = 253;

/// What is still to be read of a frame's payload.
pub(super) struct FieldReader<'a> {
    rest: &'a [u8],
}

impl<'a> FieldReader<'a> {
    pub(super) fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    #[inline]
    fn take<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let Some((bytes, rest)) = self.rest.split_first_chunk::<N>() else {
            return Err(cut_off());
        };
        self.rest = rest;
        Ok(*bytes)
    }

    #[inline]
    pub(super) fn byte(&mut self) -> Result<u8, WireError> {
        self.take::<1>().map(|[byte]| byte)
    }

    #[inline]
    pub(super) fn number(&mut self) -> Result<u64, WireError> {
        Ok(match self.byte()? {
            TWO_BYTES => u16::from_le_bytes(self.take()?).into(),
            FOUR_BYTES => u32::from_le_bytes(self.take()?).into(),
            EIGHT_BYTES => u64::from_le_bytes(self.take()?),
            byte if u64::from(byte) <= ONE_BYTE_MAX => byte.into(),
            other => return Err(unknown("a number of kind", other.into())),
        })
    }

    #[inline]
    pub(super) fn flag(&mut self) -> Result<bool, WireError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(unknown("a flag of", other.into())),
        }
    }

    #[inline]
    pub(super) fn name(&mut self) -> Result<NodeName, WireError> {
        let bytes = self.name_bytes()?;
        NodeName::from_bytes(bytes).map_err(|error| WireError::new(error.to_string()))
    }

    /// A name that is often the same as `other`.
    #[inline]
    pub(super) fn name_like(&mut self, other: &NodeName) -> Result<NodeName, WireError> {
        let before = self.rest;
        if self.name_bytes()? == other.as_str().as_bytes() {
            return Ok(other.clone());
        }
        self.rest = before;
        self.name()
    }

    #[inline]
    fn name_bytes(&mut self) -> Result<&'a [u8], WireError> {
        let length = self.number()?;
        if length > NAME_BYTES_MAX as u64 {
            return Err(unknown("a name of so many bytes:", length));
        }
        let Some((bytes, rest)) = self.rest.split_at_checked(length as usize) else {
            return Err(cut_off());
        };
        self.rest = rest;
        Ok(bytes)
    }
}

#[cold]
fn cut_off() -> WireError {
    WireError::new("a frame that ends in the middle of a field")
}

#[cold]
pub(super) fn unknown(what: &str, number: u64) -> WireError {
    WireError::new(format!("{what} {number}"))
}

#[inline]
pub(super) fn put_number(into: &mut Vec<u8>, number: u64) {
    if number <= ONE_BYTE_MAX {
        into.push(number as u8);
    } else if let Ok(number) = u16::try_from(number) {
        put_wide(into, TWO_BYTES, number.to_le_bytes());
    } else if let Ok(number) = u32::try_from(number) {
        put_wide(into, FOUR_BYTES, number.to_le_bytes());
    } else {
        put_wide(into, EIGHT_BYTES, number.to_le_bytes());
    }
}

#[inline]
fn put_wide<const N: usize>(into: &mut Vec<u8>, kind: u8, bytes: [u8; N]) {
    let mut all = [kind; 9];
    all[1..=N].copy_from_slice(&bytes);
    into.extend_from_slice(&all[..=N]);
}

#[inline]
pub(super) fn put_name(into: &mut Vec<u8>, name: &NodeName) {
    // At most 64, so that it is one byte.
    into.push(name.as_str().len() as u8);
    into.extend_from_slice(name.as_str().as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_bincode_s_at_every_width() {
        for number in [0, 1, 250, 251, 255, 256, 65_535, 65_536, u32::MAX.into(), 1 << 32, u64::MAX]
        {
            let mut bytes = Vec::new();
            put_number(&mut bytes, number);
            let theirs = bincode::encode_to_vec(number, bincode::config::standard());
            assert_eq!(Ok(&bytes), theirs.as_ref().map_err(|_| ()));
            assert_eq!(FieldReader::new(&bytes).number(), Ok(number));
            for end in 0..bytes.len() {
                assert!(FieldReader::new(&bytes[..end]).number().is_err());
            }
        }
        assert!(FieldReader::new(&[254, 0, 0, 0, 0, 0, 0, 0, 0]).number().is_err());
    }

    #[test]
    fn names_beyond_their_limits_are_errors() {
        for bytes in [&[0][..], &[2, b'a'], &[1, b'/'], &[65], &[2, 0xc3, 0xa4]] {
            assert!(FieldReader::new(bytes).name().is_err(), "{bytes:?}");
        }
        let name = NodeName::new("ab").expect("valid");
        assert_eq!(FieldReader::new(&[2, b'a', b'b']).name_like(&name), Ok(name.clone()));
        let other = NodeName::new("a").expect("valid");
        assert_eq!(FieldReader::new(&[1, b'a', b'b']).name_like(&name), Ok(other));
    }
}
