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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_runs_have_different_namespaces() {
        assert_ne!(namespace("demo"), namespace("demo"));
        assert!(namespace("demo").len() <= 64);
        assert!(PORTS.contains(&udp_port().expect("some port is free")));
    }
}
