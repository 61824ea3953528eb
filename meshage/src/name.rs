//! Names and numbers that identify things: parsed once, then always valid.
//!
//! All input (a caller's string, bytes from the wire) is parsed into one of these types exactly
//! once. The rest of the crate does not check it again.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use smol_str::SmolStr;

/// The longest node name or namespace, in bytes: a DNS label's 63, rounded up.
pub const NAME_BYTES_MAX: usize = 64;

/// The length of the lollipop's stem: sequences up to this one are used only once, after a start.
///
/// The same value as in the original.
pub const LOLLIPOP_LENGTH: u32 = 16;

/// Why a name or a namespace is not valid.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameError {
    /// A node name is empty.
    Empty,
    /// The name is longer than [`NAME_BYTES_MAX`]; carries the length in bytes.
    TooLong(usize),
    /// The name has a character outside `[A-Za-z0-9._-]`; carries it.
    Forbidden(char),
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => {
                write!(f, "the node name is empty: it needs 1 to {NAME_BYTES_MAX} bytes")
            }
            Self::TooLong(len) => {
                write!(f, "a name of {len} bytes is too long: the limit is {NAME_BYTES_MAX}")
            }
            Self::Forbidden(c) => {
                write!(f, "{c:?} is not allowed in a name: use letters, digits, '.', '_' and '-'")
            }
        }
    }
}

impl std::error::Error for NameError {}

fn is_allowed(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

/// Checks the length and the characters of a name, which may be empty.
pub(crate) fn check(text: &str) -> Result<(), NameError> {
    if text.len() > NAME_BYTES_MAX {
        return Err(NameError::TooLong(text.len()));
    }
    match text.bytes().position(|b| !is_allowed(b)) {
        // Everything before is ASCII, so a character starts here.
        Some(at) => Err(NameError::Forbidden(text[at..].chars().next().unwrap_or_default())),
        None => Ok(()),
    }
}

/// The name of a node: 1 to 64 bytes of `[A-Za-z0-9._-]`. Cheap to clone: up to 23 bytes are stored
/// inline, so the names of a message need no allocations.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeName(SmolStr);

impl NodeName {
    /// Parses a name.
    ///
    /// # Errors
    /// [`NameError`] if the text is not valid.
    pub fn new(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        check(text)?;
        Ok(Self(SmolStr::new(text)))
    }

    /// As [`NodeName::new`], from arbitrary bytes.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, NameError> {
        if bytes.is_empty() || bytes.len() > NAME_BYTES_MAX || !bytes.iter().all(|b| is_allowed(*b))
        {
            return Self::new(&String::from_utf8_lossy(bytes));
        }
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Self(SmolStr::new(text))),
            Err(_) => Err(NameError::Forbidden(char::REPLACEMENT_CHARACTER)),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A namespace: only nodes of the same one find each other. 0 to 64 bytes of `[A-Za-z0-9._-]`.
///
/// The empty namespace is the default and has no special meaning.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Namespace(Arc<str>);

impl Namespace {
    /// Parses a namespace.
    ///
    /// # Errors
    /// [`NameError`] if the text is not valid.
    pub fn new(text: &str) -> Result<Self, NameError> {
        check(text)?;
        Ok(Self(text.into()))
    }

    /// The namespace as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Self("".into())
    }
}

macro_rules! text_type {
    ($name:ident) => {
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }
        impl TryFrom<&str> for $name {
            type Error = NameError;
            fn try_from(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }
        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(&text)
            }
        }
        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.as_str().into()
            }
        }
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                &*self.0 == other
            }
        }
        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                &*self.0 == *other
            }
        }
    };
}

text_type!(NodeName);
text_type!(Namespace);

/// A short list of names, which derefs to a slice. Up to two names are stored inline.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Names(SmallVec<[NodeName; 2]>);

impl Names {
    /// An empty list.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a name.
    pub fn push(&mut self, name: NodeName) {
        self.0.push(name);
    }

    /// The names as a slice.
    pub fn as_slice(&self) -> &[NodeName] {
        &self.0
    }
}

/// The most names that one line of text lists: enough to recognise the cause of a failure.
const NAMES_SHOWN_MAX: usize = 10;

/// Names as they appear in an error text or a printed message: `a, b and 3 more`.
pub(crate) struct NameSummary<'a>(pub(crate) &'a [NodeName]);

impl fmt::Display for NameSummary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.0[..self.0.len().min(NAMES_SHOWN_MAX)];
        for (position, name) in shown.iter().enumerate() {
            let separator = if position == 0 { "" } else { ", " };
            write!(f, "{separator}{name}")?;
        }
        match self.0.len() - shown.len() {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

impl std::ops::Deref for Names {
    type Target = [NodeName];
    fn deref(&self) -> &[NodeName] {
        &self.0
    }
}

impl std::ops::DerefMut for Names {
    fn deref_mut(&mut self) -> &mut [NodeName] {
        &mut self.0
    }
}

/// Prints the first names, and the number of those that are left out.
impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        NameSummary(self).fmt(f)
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<const N: usize> PartialEq<[NodeName; N]> for Names {
    fn eq(&self, other: &[NodeName; N]) -> bool {
        self.as_slice() == other
    }
}

impl PartialEq<[NodeName]> for Names {
    fn eq(&self, other: &[NodeName]) -> bool {
        self.as_slice() == other
    }
}

impl FromIterator<NodeName> for Names {
    fn from_iter<I: IntoIterator<Item = NodeName>>(names: I) -> Self {
        Self(names.into_iter().collect())
    }
}

impl From<Vec<NodeName>> for Names {
    fn from(names: Vec<NodeName>) -> Self {
        Self(names.into())
    }
}

impl From<NodeName> for Names {
    fn from(name: NodeName) -> Self {
        Self::from_iter([name])
    }
}

impl IntoIterator for Names {
    type Item = NodeName;
    type IntoIter = smallvec::IntoIter<[NodeName; 2]>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Names {
    type Item = &'a NodeName;
    type IntoIter = std::slice::Iter<'a, NodeName>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

/// One life of a node: a random number, new at each start, which identifies the node in the mesh.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Instance(pub u64);

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// The number of a link, counted from the node's start. It is local to the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

impl fmt::Display for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "link-{}", self.0)
    }
}

/// The id of a message at its source instance: 1, 2, 3 …
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MessageId(pub u64);

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How often a name has been taken over from a node that failed. Of two reachable nodes with one
/// name, the one with the higher claim holds it; with equal claims, the lesser instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Claim(pub u32);

impl Claim {
    /// The claim of a node that knows of no former holder of its name.
    pub const FIRST: Self = Self(1);

    /// The claim of a node that takes the name over.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// The result of comparing two sequences of one instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    /// The first is newer than the second.
    Newer,
    /// They are the same.
    Same,
    /// The first is older than the second.
    Older,
}

/// The sequence number of an announcement, from a lollipop-shaped space.
///
/// A stem of [`LOLLIPOP_LENGTH`] numbers is used once. Then the numbers cycle through a ring, so
/// that a start can always be distinguished from a wrap-around.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Sequence(pub u32);

impl Sequence {
    /// The first announcement of an instance.
    pub const FIRST: Self = Self(1);

    /// The size of the ring.
    const RING: u32 = u32::MAX - LOLLIPOP_LENGTH;

    /// The sequence after this one. The ring's first number follows its last.
    #[must_use]
    pub fn next(self) -> Self {
        if self.0 == u32::MAX { Self(LOLLIPOP_LENGTH + 1) } else { Self(self.0 + 1) }
    }

    /// Compares two sequences of one instance.
    pub fn age(self, other: Self) -> Age {
        if self == other {
            return Age::Same;
        }
        let on_ring = |s: Self| s.0 > LOLLIPOP_LENGTH;
        let newer = if on_ring(self) && on_ring(other) {
            let (a, b) = (self.0 - LOLLIPOP_LENGTH - 1, other.0 - LOLLIPOP_LENGTH - 1);
            let ahead = if a >= b { a - b } else { Self::RING - (b - a) };
            ahead < Self::RING / 2
        } else {
            self.0 > other.0
        };
        if newer { Age::Newer } else { Age::Older }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_the_protocol_allows_are_valid() {
        assert!(NodeName::new("a.b_c-D9").is_ok());
        assert_eq!(NodeName::new(""), Err(NameError::Empty));
        assert_eq!(NodeName::new("a b"), Err(NameError::Forbidden(' ')));
        assert_eq!(NodeName::new("a:b"), Err(NameError::Forbidden(':')));
        assert_eq!(NodeName::new("ä"), Err(NameError::Forbidden('ä')));
        assert!(NodeName::new(&"x".repeat(64)).is_ok());
        assert_eq!(NodeName::new(&"x".repeat(65)), Err(NameError::TooLong(65)));
        assert!(Namespace::new("").is_ok());
    }

    #[test]
    fn a_sequence_leaves_the_stem_once_and_then_cycles() {
        assert_eq!(Sequence(2).age(Sequence::FIRST), Age::Newer);
        assert_eq!(Sequence(17).age(Sequence(16)), Age::Newer);
        assert_eq!(Sequence(1).age(Sequence(4_000_000_000)), Age::Older);
        assert_eq!(Sequence(u32::MAX).next(), Sequence(17));
        assert_eq!(Sequence(u32::MAX).next().age(Sequence(u32::MAX)), Age::Newer);
        assert_eq!(Sequence(u32::MAX).age(Sequence(17)), Age::Older);
        assert_eq!(Sequence(18).age(Sequence(18)), Age::Same);
    }
}
