//! Unique numbers, namespaces and UDP ports, which separate two runs on one machine.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::net::UdpSocket;

use crate::shell::Result;

/// The range of ports: above the registered services that a machine is likely to run, below the range
/// of ephemeral ports.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
/// The maximum number of ports to try.
const TRIES_MAX: usize = 100;

/// A number that no other run has.
pub(crate) fn number() -> u64 {
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    hasher.finish()
}

/// A namespace that no other run has.
pub(crate) fn namespace(what: &str) -> String {
    format!("{what}-{:016x}", number())
}

/// A UDP port that is free at present.
pub(crate) fn udp_port() -> Result<u16> {
    let span = u64::from(PORTS.end - PORTS.start);
    for _ in 0..TRIES_MAX {
        let port = PORTS.start + (number() % span) as u16;
        if UdpSocket::bind(("0.0.0.0", port)).is_ok() {
            return Ok(port);
        }
    }
    Err("found no free UDP port".into())
}

/// Random numbers that a seed determines (SplitMix64).
#[derive(Debug)]
pub(crate) struct Generator(u64);

impl Generator {
    /// The numbers of a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number of a range that is not empty.
    pub(crate) fn in_range(&mut self, range: std::ops::Range<u64>) -> u64 {
        range.start + self.next() % (range.end - range.start)
    }

    /// One of the items; `None` if there are none.
    pub(crate) fn choose<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        if items.is_empty() {
            None
        } else {
            items.get(self.in_range(0..items.len() as u64) as usize)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_determines_the_numbers() {
        let numbers = |seed| {
            let mut generator = Generator::new(seed);
            [(); 3].map(|()| generator.in_range(10..20))
        };
        assert_eq!(numbers(7), numbers(7));
        assert!(numbers(7).iter().all(|number| (10..20).contains(number)));
        assert_eq!(Generator::new(7).choose::<u8>(&[]), None);
    }

    #[test]
    fn two_runs_have_different_namespaces() {
        assert_ne!(namespace("demo"), namespace("demo"));
        assert!(namespace("demo").len() <= 64);
        assert!(PORTS.contains(&udp_port().expect("some port is free")));
    }
}
