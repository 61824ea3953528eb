//! A digest of all events of a run, so that a difference of one byte between two runs is visible.

use std::fmt;
use std::time::Duration;

/// A running digest of every event. With `trace`, it also prints a line of text for each event.
#[derive(Debug)]
pub struct TraceHash {
    digest: u64,
    events: u64,
    trace: bool,
}

/// The constants of the FNV-1a hash: fast on short inputs. A simulator needs no protection from
/// attacks.
const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0100_0000_01b3;

impl TraceHash {
    /// An empty digest; with `trace`, every line goes to standard output.
    pub fn new(trace: bool) -> Self {
        Self { digest: OFFSET, events: 0, trace }
    }

    /// Adds an event: its time, its kind and two numbers.
    pub(super) fn event(&mut self, at: Duration, kind: u8, first: u64, second: u64) {
        self.events += 1;
        for number in [at.as_nanos() as u64, u64::from(kind), first, second] {
            self.fold(number);
        }
    }

    /// Adds bytes.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.fold(u64::from_le_bytes(*word));
        }
        for byte in rest {
            self.fold(u64::from(*byte));
        }
    }

    /// Prints a line of the trace, if it is enabled.
    pub(super) fn line(&self, at: Duration, text: impl FnOnce() -> String) {
        if self.trace {
            println!("{:>12.6} {}", at.as_secs_f64(), text());
        }
    }

    /// The digest of everything so far.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// The number of events.
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
    fn a_difference_of_one_byte_changes_the_digest() {
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
