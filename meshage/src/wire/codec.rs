//! bincode behind two functions, and the encoding of names and numbers.

use bincode::de::Decoder;
use bincode::enc::Encoder;
use bincode::enc::write::Writer;
use bincode::error::{DecodeError, EncodeError};
use bincode::{Decode, Encode};

use super::WireError;
use crate::name::{Claim, Instance, NAME_BYTES_MAX, Namespace, NodeName, Sequence};
use crate::secure::UnixMillis;
use crate::secure::name_pattern::{NamePattern, PATTERN_BYTES_MAX};

/// The most bytes that one decoded value may claim: those of a frame, with room for the size of its
/// entries in memory. A larger claim is an error before anything is allocated.
const DECODED_BYTES_MAX: usize = 1 << 20;

const CONFIG: bincode::config::Configuration<
    bincode::config::LittleEndian,
    bincode::config::Varint,
    bincode::config::Limit<DECODED_BYTES_MAX>,
> = bincode::config::standard().with_limit::<DECODED_BYTES_MAX>();

/// Appends the encoding of a value.
pub(crate) fn encode(value: &impl Encode, into: &mut Vec<u8>) {
    // A write into memory cannot fail, and every type of this crate encodes.
    #[expect(clippy::expect_used, reason = "a broken invariant panics")]
    bincode::encode_into_writer(value, VecWriter(into), bincode::config::standard())
        .expect("every frame encodes");
}

struct VecWriter<'a>(&'a mut Vec<u8>);

impl Writer for VecWriter<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

/// Decodes a value from the front of `bytes`. Bytes after it belong to a later version and are
/// ignored.
pub(crate) fn decode<T: Decode<()>>(bytes: &[u8]) -> Result<T, WireError> {
    bincode::decode_from_slice(bytes, CONFIG)
        .map(|(value, _)| value)
        .map_err(|error| WireError::new(error.to_string()))
}

/// `BorrowDecode` for a type that borrows nothing: the same as `Decode`.
macro_rules! borrowed_as_owned {
    ($name:ty) => {
        impl<'de, C> bincode::BorrowDecode<'de, C> for $name {
            fn borrow_decode<D: bincode::de::BorrowDecoder<'de, Context = C>>(
                decoder: &mut D,
            ) -> Result<Self, bincode::error::DecodeError> {
                bincode::Decode::decode(decoder)
            }
        }
    };
}

macro_rules! text_codec {
    ($name:ident, $bytes_max:expr) => {
        impl Encode for $name {
            fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
                self.as_str().encode(encoder)
            }
        }
        impl<C> Decode<C> for $name {
            fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
                let len = usize::try_from(u64::decode(decoder)?).unwrap_or(usize::MAX);
                if len > $bytes_max {
                    return Err(DecodeError::OtherString(format!("a name of {len} bytes")));
                }
                let mut bytes = [0; $bytes_max];
                bincode::de::read::Reader::read(decoder.reader(), &mut bytes[..len])?;
                let text = std::str::from_utf8(&bytes[..len])
                    .map_err(|inner| DecodeError::Utf8 { inner })?;
                $name::new(text).map_err(|error| DecodeError::OtherString(error.to_string()))
            }
        }
        borrowed_as_owned!($name);
    };
}

text_codec!(NodeName, NAME_BYTES_MAX);
text_codec!(Namespace, NAME_BYTES_MAX);
text_codec!(NamePattern, PATTERN_BYTES_MAX);

macro_rules! number_codec {
    ($name:ident, $inner:ty) => {
        impl Encode for $name {
            fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
                self.0.encode(encoder)
            }
        }
        impl<C> Decode<C> for $name {
            fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
                <$inner>::decode(decoder).map($name)
            }
        }
        borrowed_as_owned!($name);
    };
}

number_codec!(Instance, u64);
number_codec!(Sequence, u32);
number_codec!(Claim, u32);
number_codec!(UnixMillis, u64);
