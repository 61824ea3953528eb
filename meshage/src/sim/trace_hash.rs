//! What happened, folded into one number as it happens, so that two runs are told apart by a byte.

use std::fmt;
use std::time::Duration;

/// A running digest of every event, and where it is asked for a line of text for each.
#[derive(Debug)]
pub struct TraceHash {
    digest: u64,
    events: u64,
    trace: bool,
}

/// The numbers of the FNV-1a hash: fast on short inputs, and nobody attacks a simulator.
const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0100_0000_01b3;

impl TraceHash {
    /// An empty trace_hash; with `trace` every line goes to standard output.
    pub fn new(trace: bool) -> Self {
        Self { digest: OFFSET, events: 0, trace }
    }

    /// An event: when, what kind, and two numbers of it.
    pub(super) fn event(&mut self, at: Duration, kind: u8, first: u64, second: u64) {
        self.events += 1;
        for number in [at.as_nanos() as u64, u64::from(kind), first, second] {
            self.fold(number);
        }
    }

    /// Bytes of it.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.fold(u64::from_le_bytes(*word));
        }
        for byte in rest {
            self.fold(u64::from(*byte));
        }
    }

    /// A line for who reads along.
    pub(super) fn line(&self, at: Duration, text: impl FnOnce() -> String) {
        if self.trace {
            println!("{:>12.6} {}", at.as_secs_f64(), text());
        }
    }

    /// The digest of everything so far.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// How many events there were.
    pub fn events(&self) -> u64 {
        self.events
    }

    fn fold(&mut self, number: u64) {
        self.digest = (self.digest ^ number).wrapping_mul(PRIME).rotate_left(23);
    }
}

impl fmt::Display for TraceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_byte_more_or_less_is_another_digest() {
        let digest = |bytes: &[u8]| {
            let mut trace_hash = TraceHash::new(false);
            trace_hash.event(Duration::ZERO, 1, 2, 3);
            trace_hash.bytes(bytes);
            trace_hash.digest()
        };
        assert_eq!(digest(b"123456789"), digest(b"123456789"));
        assert_ne!(digest(b"123456789"), digest(b"123456780"));
        assert_ne!(digest(b"12345678"), digest(b"123456789"));
    }
}
