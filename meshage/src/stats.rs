//! A node's counters, by name.

use std::collections::BTreeMap;

/// A snapshot of a node's counters, sorted by name. A name contains `bytes` if the counter counts
/// bytes. PROTOCOL.md describes each counter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stats {
    values: BTreeMap<&'static str, u64>,
}

impl Stats {
    pub(crate) fn set(&mut self, name: &'static str, value: u64) {
        self.values.insert(name, value);
    }

    /// Each counter with its value, sorted by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&'static str, u64)> {
        self.values.iter().map(|(name, value)| (*name, *value))
    }

    /// The value of one counter.
    pub fn value(&self, name: &str) -> Option<u64> {
        self.values.get(name).copied()
    }
}
