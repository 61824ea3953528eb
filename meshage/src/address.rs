//! Parses addresses: those that a node dials, listens on and sends solicitations to.
//!
//! ```text
//!  host    host:port    10.0.0.1    10.0.0.1:9000    fe80::1%eth0    [fe80::1%eth0]:9000
//! ```
//!
//! It resolves neither names nor zones. A zone is the name (or number) of an interface: a link-local
//! IPv6 address exists on each network once, so that it means nothing without its interface.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// The reason why a link-local address cannot be used.
pub(crate) const ZONE_MISSING: &str =
    "a link-local address needs a zone, the name of its interface, as in fe80::1%eth0";

/// An IP address, with the zone that a link-local IPv6 address needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ZonedIp {
    pub(crate) ip: IpAddr,
    /// The interface, by name or number.
    pub(crate) zone: Option<String>,
}

/// An IP address with an optional port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) ip: ZonedIp,
    pub(crate) port: Option<u16>,
}

impl ZonedIp {
    /// Parses an address without a port or brackets. Returns `None` if the text is something else,
    /// a host name for instance.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (ip, zone) = match text.split_once('%') {
            Some((ip, zone)) if !zone.is_empty() => (IpAddr::V6(ip.parse().ok()?), Some(zone)),
            Some(_) => return None,
            None => (text.parse().ok()?, None),
        };
        Some(Self { ip, zone: zone.map(str::to_owned) })
    }

    /// Whether this address means nothing without a zone, and has none. A multicast address needs
    /// none: without it, it stands for all interfaces.
    pub(crate) fn lacks_zone(&self) -> bool {
        self.zone.is_none() && is_link_local(self.ip)
    }

    /// The socket address, given the number of the interface that the zone names (0 without a zone).
    #[cfg(feature = "net")]
    pub(crate) fn with(&self, port: u16, interface: u32) -> std::net::SocketAddr {
        use std::net::SocketAddr;
        let mut address = SocketAddr::new(self.ip, port);
        if let SocketAddr::V6(address) = &mut address {
            address.set_scope_id(interface);
        }
        address
    }
}

impl From<IpAddr> for ZonedIp {
    fn from(ip: IpAddr) -> Self {
        Self { ip, zone: None }
    }
}

impl fmt::Display for ZonedIp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ip.fmt(f)?;
        match &self.zone {
            Some(zone) => write!(f, "%{zone}"),
            None => Ok(()),
        }
    }
}

impl Endpoint {
    /// Parses an IP address that may have a zone, brackets and a port.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if let Some(ip) = ZonedIp::parse(text) {
            return Some(Self { ip, port: None });
        }
        let (host, port) = split_with(text, None).ok()?;
        ZonedIp::parse(host).map(|ip| Self { ip, port })
    }
}

/// Whether this is the address of one host on one network: fe80::/10.
pub(crate) fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if is_unicast_link_local(ip))
}

fn is_unicast_link_local(ip: Ipv6Addr) -> bool {
    ip.segments()[0] & 0xffc0 == 0xfe80
}

/// Splits an address into host and port; the port is `default` if the address has none.
pub(crate) fn split(text: &str, default: u16) -> Result<(&str, u16), &'static str> {
    match split_with(text, Some(default))? {
        (_, None | Some(0)) => {
            Err("the port is missing, and this node has none to use instead (its port is 0)")
        }
        (host, Some(port)) => Ok((host, port)),
    }
}

fn split_with(text: &str, default: Option<u16>) -> Result<(&str, Option<u16>), &'static str> {
    let number = |digits: &str| match digits.parse() {
        Ok(0) | Err(_) => Err("the port must be a number from 1 to 65535"),
        Ok(port) => Ok(Some(port)),
    };
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or("the ']' is missing")?;
        match rest.strip_prefix(':') {
            Some(digits) => (host, number(digits)?),
            None if rest.is_empty() => (host, default),
            None => return Err("only ':' and a port may follow ']'"),
        }
    } else if ZonedIp::parse(text).is_some() {
        (text, default)
    } else {
        match text.rsplit_once(':') {
            Some((host, _)) if host.contains(':') => {
                return Err("write an IPv6 address with a port as [v6]:port");
            }
            Some((host, digits)) => (host, number(digits)?),
            None => (text, default),
        }
    };
    if host.is_empty() {
        return Err("the host is missing");
    }
    if host.contains('%') && ZonedIp::parse(host).is_none() {
        return Err("only an IPv6 address may have a zone, as in fe80::1%eth0");
    }
    Ok((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_leave_the_port_out() {
        assert_eq!(split("host", 9), Ok(("host", 9)));
        assert_eq!(split("host:1", 9), Ok(("host", 1)));
        assert_eq!(split("10.0.0.1:1", 9), Ok(("10.0.0.1", 1)));
        assert_eq!(split("[::1]:1", 9), Ok(("::1", 1)));
        assert_eq!(split("[::1]", 9), Ok(("::1", 9)));
        assert_eq!(split("::1", 9), Ok(("::1", 9)));
    }

    #[test]
    fn an_ipv6_address_may_have_a_zone() {
        assert_eq!(split("fe80::1%eth0", 9), Ok(("fe80::1%eth0", 9)));
        assert_eq!(split("[fe80::1%eth0]", 9), Ok(("fe80::1%eth0", 9)));
        assert_eq!(split("[fe80::1%eth0]:1", 9), Ok(("fe80::1%eth0", 1)));
        let zoned = |zone: &str| ZonedIp {
            ip: "fe80::1".parse().expect("valid"),
            zone: Some(zone.to_owned()),
        };
        for (text, port) in [("fe80::1%eth0", None), ("[fe80::1%eth0]:7", Some(7))] {
            assert_eq!(Endpoint::parse(text), Some(Endpoint { ip: zoned("eth0"), port }));
        }
        assert_eq!(ZonedIp::parse("fe80::1%3"), Some(zoned("3")));
        assert_eq!(zoned("eth0").to_string(), "fe80::1%eth0");
        for text in ["fe80::1%", "10.0.0.1%eth0", "host%eth0", "[fe80::1%]:1", "host%eth0:1"] {
            assert!(split(text, 9).is_err(), "{text}");
            assert_eq!(Endpoint::parse(text), None, "{text}");
        }
    }

    #[test]
    fn only_link_local_addresses_of_hosts_need_a_zone() {
        let lacks = |text| ZonedIp::parse(text).expect("valid").lacks_zone();
        assert!(lacks("fe80::1"));
        for text in ["fe80::1%eth0", "ff02::1", "::1", "2001:db8::1", "169.254.0.1"] {
            assert!(!lacks(text), "{text}");
        }
    }

    #[test]
    fn a_text_that_is_no_address_is_an_error() {
        for text in ["", ":1", "host:", "host:0", "host:x", "host:65536", "[::1", "[::1]x", "a:b:1"]
        {
            assert!(split(text, 9).is_err(), "{text:?}");
        }
        assert!(split("host", 0).is_err());
    }
}
