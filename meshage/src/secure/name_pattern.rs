//! The names that a ticket is for.

use std::fmt;
use std::str::FromStr;

use smol_str::SmolStr;

use crate::name::{self, NAME_BYTES_MAX, NameError, NodeName};

/// The most bytes of a pattern: the longest name and a `*`.
pub(crate) const PATTERN_BYTES_MAX: usize = NAME_BYTES_MAX + 1;

/// One name, or all names that begin with a prefix: then `*` is the last character. `*` alone stands
/// for every name. As text, the pattern itself.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamePattern(SmolStr);

impl NamePattern {
    /// Parses a pattern.
    ///
    /// # Errors
    /// [`NameError`] if the text before the `*` is not valid in a name, or there is no text at all.
    pub fn new(text: &str) -> Result<Self, NameError> {
        match text.strip_suffix('*') {
            Some(prefix) => name::check(prefix)?,
            None => drop(NodeName::new(text)?),
        }
        Ok(Self(text.into()))
    }

    /// Whether the pattern stands for this name.
    pub fn matches(&self, name: &NodeName) -> bool {
        match self.0.strip_suffix('*') {
            Some(prefix) => name.as_str().starts_with(prefix),
            None => self.0 == name.as_str(),
        }
    }

    /// The pattern as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&NodeName> for NamePattern {
    /// The pattern that stands for this name alone.
    fn from(name: &NodeName) -> Self {
        Self(name.as_str().into())
    }
}

impl FromStr for NamePattern {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        let name = NodeName::new(name).expect("a name");
        NamePattern::new(pattern).expect("a pattern").matches(&name)
    }

    #[test]
    fn a_pattern_stands_for_one_name_or_for_those_with_its_prefix() {
        assert!(matches("ada", "ada"));
        assert!(!matches("ada", "ada2"));
        assert!(!matches("ada", "ad"));
        assert!(matches("rack1.*", "rack1.n7"));
        assert!(matches("rack1.*", "rack1."));
        assert!(!matches("rack1.*", "rack10"));
        assert!(matches("*", "x"));
    }

    #[test]
    fn a_star_is_allowed_at_the_end_only_and_the_rest_as_in_a_name() {
        for text in ["", "a*b", "**", "a b", "ä*", "*a"] {
            assert!(NamePattern::new(text).is_err(), "{text:?}");
        }
        let longest = "n".repeat(NAME_BYTES_MAX);
        assert!(NamePattern::new(&format!("{longest}*")).is_ok());
        assert!(NamePattern::new(&format!("{longest}n*")).is_err());
        assert!(NamePattern::new(&format!("{longest}n")).is_err());
    }
}
