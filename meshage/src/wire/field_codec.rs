//! Reads and writes the fields of the data plane's frames.
//!
//! Every message is decoded and encoded once per hop, so headers and acknowledgements have a codec
//! written by hand. The bytes are the same as bincode's for the same types; the tests of
//! [`super::data`] and [`super::ack`] check this. Numbers up to 250 take one byte. Greater numbers
//! take a byte for the width, then the number in little-endian order.

use super::WireError;
use crate::name::{NAME_BYTES_MAX, NodeName};

/// The greatest number that takes one byte.
const ONE_BYTE_MAX: u64 = 250;
/// The most bytes that a number takes.
pub(super) const NUMBER_BYTES_MAX: usize = 9;
/// The width byte before a number of two, four or eight bytes.
const TWO_BYTES: u8 = 251;
const FOUR_BYTES: u8 = 252;
const EIGHT_BYTES: u8 = 253;

/// The part of a frame's payload that is not yet read.
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
            return Err(truncated());
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
            other => return Err(unknown("unknown width of a number:", other.into())),
        })
    }

    #[inline]
    pub(super) fn flag(&mut self) -> Result<bool, WireError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(unknown("a flag that is neither 0 nor 1:", other.into())),
        }
    }

    #[inline]
    pub(super) fn name(&mut self) -> Result<NodeName, WireError> {
        let bytes = self.name_bytes()?;
        NodeName::from_bytes(bytes).map_err(|error| WireError::new(error.to_string()))
    }

    /// Reads a name that is often equal to `other`, and then clones `other`.
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
            return Err(unknown("too many bytes in a name:", length));
        }
        let Some((bytes, rest)) = self.rest.split_at_checked(length as usize) else {
            return Err(truncated());
        };
        self.rest = rest;
        Ok(bytes)
    }
}

#[cold]
fn truncated() -> WireError {
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
fn put_wide<const N: usize>(into: &mut Vec<u8>, width: u8, bytes: [u8; N]) {
    let mut all = [width; NUMBER_BYTES_MAX];
    all[1..=N].copy_from_slice(&bytes);
    into.extend_from_slice(&all[..=N]);
}

#[inline]
pub(super) fn put_name(into: &mut Vec<u8>, name: &NodeName) {
    // The length is at most 64, so it takes one byte.
    into.push(name.as_str().len() as u8);
    into.extend_from_slice(name.as_str().as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_width_have_the_same_bytes_as_with_bincode() {
        for number in [0, 1, 250, 251, 255, 256, 65_535, 65_536, u32::MAX.into(), 1 << 32, u64::MAX]
        {
            let mut bytes = Vec::new();
            put_number(&mut bytes, number);
            let with_bincode = bincode::encode_to_vec(number, bincode::config::standard());
            assert_eq!(Ok(&bytes), with_bincode.as_ref().map_err(|_| ()));
            assert_eq!(FieldReader::new(&bytes).number(), Ok(number));
            for end in 0..bytes.len() {
                assert!(FieldReader::new(&bytes[..end]).number().is_err());
            }
        }
        assert!(FieldReader::new(&[254, 0, 0, 0, 0, 0, 0, 0, 0]).number().is_err());
    }

    #[test]
    fn names_that_break_a_rule_are_errors() {
        for bytes in [&[0][..], &[2, b'a'], &[1, b'/'], &[65], &[2, 0xc3, 0xa4]] {
            assert!(FieldReader::new(bytes).name().is_err(), "{bytes:?}");
        }
        let name = NodeName::new("ab").expect("valid");
        assert_eq!(FieldReader::new(&[2, b'a', b'b']).name_like(&name), Ok(name.clone()));
        let other = NodeName::new("a").expect("valid");
        assert_eq!(FieldReader::new(&[1, b'a', b'b']).name_like(&name), Ok(other));
    }
}
