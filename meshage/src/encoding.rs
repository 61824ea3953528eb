//! The encoding of a message's body.

/// How a receiver interprets a body. It travels with the message; nodes never interpret it.
///
/// Values from 1024 on are reserved for applications.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Encoding(pub u32);

impl Encoding {
    /// Bytes, with a meaning that the applications agree on.
    pub const BYTES: Self = Self(0);
    /// UTF-8 text.
    pub const TEXT: Self = Self(1);
    /// JSON, in UTF-8.
    pub const JSON: Self = Self(2);
    /// A serde value in bincode's standard configuration.
    pub const BINCODE: Self = Self(3);
    /// A Go interface value in `encoding/gob`.
    pub const GOB: Self = Self(4);
    /// The first value that is reserved for applications.
    pub const APPLICATION: Self = Self(1024);
}
