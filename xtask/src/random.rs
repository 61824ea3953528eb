//! What keeps two runs on one machine apart: a namespace and a UDP port of their own.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::net::UdpSocket;

use crate::shell::Result;

/// Ports to choose from: above the registered services that a machine is likely to run, below the
/// range from which systems give out ports by themselves.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
/// How many ports are tried before giving up.
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

/// A UDP port that nobody uses at this moment.
pub(crate) fn udp_port() -> Result<u16> {
    let span = u64::from(PORTS.end - PORTS.start);
    for _ in 0..TRIES_MAX {
        let port = PORTS.start + (number() % span) as u16;
        if UdpSocket::bind(("0.0.0.0", port)).is_ok() {
            return Ok(port);
        }
    }
    Err("no free UDP port found".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_runs_are_kept_apart() {
        assert_ne!(namespace("demo"), namespace("demo"));
        assert!(namespace("demo").len() <= 64);
        assert!(PORTS.contains(&udp_port().expect("some port is free")));
    }
}
