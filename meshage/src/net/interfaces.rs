//! The interfaces of this machine: which are up, and the address from which to send on each.
//!
//! ```text
//!  the system ──► list ──► Interface (one for each address) ──► sources ──► Source (one for each
//!                                                                           network to send on)
//! ```
//!
//! The list is made anew whenever it is needed, because interfaces come and go.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use if_addrs::IfAddr;

use super::sys::socket;
use crate::address::{ZonedIp, is_link_local};

/// One address of an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Interface {
    pub(super) name: String,
    pub(super) index: u32,
    pub(super) ip: IpAddr,
    /// The length of the prefix that all addresses of the network share, in bits.
    pub(super) prefix: u8,
    /// The broadcast address of the network.
    pub(super) broadcast: Option<Ipv4Addr>,
    /// Whether the interface is up and has a carrier.
    pub(super) up: bool,
}

/// An address to send a solicitation from. It determines the network that the datagram goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) name: String,
    /// The number of the interface; 0 if it is not known.
    pub(super) index: u32,
    pub(super) ip: IpAddr,
    pub(super) broadcast: Option<Ipv4Addr>,
}

/// The addresses of all interfaces, in the order of the system.
pub(super) fn list() -> io::Result<Vec<Interface>> {
    let addresses = if_addrs::get_if_addrs()?;
    Ok(addresses
        .into_iter()
        .map(|address| {
            let (ip, prefix, broadcast) = match &address.addr {
                IfAddr::V4(v4) => (v4.ip.into(), v4.prefixlen, v4.broadcast),
                IfAddr::V6(v6) => (v6.ip.into(), v6.prefixlen, None),
            };
            Interface {
                index: address.index.unwrap_or(0),
                up: address.is_oper_up(),
                name: address.name,
                ip,
                prefix,
                broadcast,
            }
        })
        .collect())
}

/// Where to send what is meant for every network: one source for each IPv4 network of each
/// interface, or for each interface with IPv6. `bind` is the address to which the node is bound, if
/// it is one of the same family; `chosen` are the names of the interfaces to use, or empty.
pub(super) fn sources(
    interfaces: &[Interface],
    v4: bool,
    bind: Option<SocketAddr>,
    chosen: &[String],
) -> Vec<Source> {
    let mut sources: Vec<Source> = Vec::new();
    let mut networks = BTreeSet::new();
    // Link-local addresses first: they are the ones that every node on the network can dial.
    let (first, rest): (Vec<_>, Vec<_>) =
        interfaces.iter().partition(|interface| v4 || is_link_local(interface.ip));
    for interface in first.into_iter().chain(rest) {
        let suitable = interface.up && interface.ip.is_ipv4() == v4 && is_chosen(interface, chosen);
        // The loopback has no IPv6 multicast.
        if !suitable || (!v4 && interface.ip.is_loopback()) {
            continue;
        }
        if bind.is_some_and(|bind| !has_address(interface, bind)) {
            continue;
        }
        if networks.insert((interface.index, network(interface))) {
            sources.push(Source {
                name: interface.name.clone(),
                index: interface.index,
                ip: interface.ip,
                broadcast: interface.broadcast,
            });
        }
    }
    // An address that no interface lists, such as 127.0.0.2, may still be one of this machine.
    if let Some(bind) = bind
        && sources.is_empty()
        && chosen.is_empty()
        && !interfaces.iter().any(|interface| has_address(interface, bind))
    {
        let ip = bind.ip();
        sources.push(Source { name: "bind".into(), index: 0, ip, broadcast: None });
    }
    sources
}

/// Says in words that there is nothing to send from.
pub(super) fn describe_lack(
    interfaces: &[Interface],
    v4: bool,
    bind: Option<SocketAddr>,
    chosen: &[String],
) -> String {
    let family = if v4 { "IPv4" } else { "IPv6" };
    let address = match bind {
        Some(bind) => format!("the address {}", bind.ip()),
        None => format!("an {family} address to send from"),
    };
    let which = match chosen {
        [] => "no interface".to_owned(),
        names => format!("no chosen interface ({})", names.join(", ")),
    };
    // The loopback has no IPv6 multicast.
    let usable = interfaces.iter().filter(|it| it.up && (v4 || !it.ip.is_loopback()));
    let up = names(usable);
    let up = if up.is_empty() { "none is up".to_owned() } else { format!("up: {up}") };
    let why = if v4 { "" } else { " and IPv6 multicast" };
    format!("{which} is up with {address}{why} ({up})")
}

/// The chosen interfaces that do not exist or have no address.
pub(super) fn missing<'a>(interfaces: &[Interface], chosen: &'a [String]) -> Vec<&'a str> {
    let exists = |name: &&String| interfaces.iter().any(|interface| is_named(interface, name));
    chosen.iter().filter(|name| !exists(name)).map(String::as_str).collect()
}

/// The socket address of an IP address that may have a zone.
///
/// # Errors
/// No interface has the name that the zone gives.
pub(super) fn resolve(ip: &ZonedIp, port: u16) -> io::Result<SocketAddr> {
    let Some(zone) = &ip.zone else { return Ok(ip.with(port, 0)) };
    if let Ok(index) = zone.parse() {
        return Ok(ip.with(port, index));
    }
    let interfaces = list()?;
    match interfaces.iter().find(|interface| is_named(interface, zone)) {
        Some(interface) => Ok(ip.with(port, interface.index)),
        None => {
            let known = names(interfaces.iter());
            let error = format!("no interface is named {zone:?} (there are: {known})");
            Err(io::Error::new(io::ErrorKind::NotFound, error))
        }
    }
}

/// The addresses that can be used now. The ones in `known` are not tried again.
pub(super) fn usable(
    interfaces: &[Interface],
    known: &BTreeSet<(u32, IpAddr)>,
) -> BTreeSet<(u32, IpAddr)> {
    let up = interfaces.iter().filter(|interface| interface.up);
    up.map(|interface| (interface.index, interface.ip))
        .filter(|address| known.contains(address) || can_send_from(address.1, address.0))
        .collect()
}

/// Whether a socket can be bound to an address. An IPv6 address cannot be used before the system
/// has checked that no other machine has it, which takes a second or two.
fn can_send_from(ip: IpAddr, index: u32) -> bool {
    ip.is_ipv4() || socket::bind_source_udp(ZonedIp::from(ip).with(0, scope(ip, index))).is_ok()
}

/// The number of the interface as part of an address: only link-local ones have it.
pub(super) fn scope(ip: IpAddr, index: u32) -> u32 {
    if is_link_local(ip) { index } else { 0 }
}

fn is_chosen(interface: &Interface, chosen: &[String]) -> bool {
    chosen.is_empty() || chosen.iter().any(|name| is_named(interface, name))
}

/// Linux lists an address with a label under the label: `eth0:1`.
fn is_named(interface: &Interface, name: &str) -> bool {
    let rest = interface.name.strip_prefix(name);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
}

fn has_address(interface: &Interface, address: SocketAddr) -> bool {
    let scope = match address {
        SocketAddr::V4(_) => 0,
        SocketAddr::V6(address) => address.scope_id(),
    };
    interface.ip == address.ip() && (scope == 0 || scope == interface.index)
}

/// What distinguishes the networks of one interface. All IPv6 addresses of an interface are on one
/// network, where its nodes have link-local addresses.
fn network(interface: &Interface) -> Option<(u32, u8)> {
    match interface.ip {
        IpAddr::V4(ip) => {
            let host_bits = 32 - u32::from(interface.prefix.min(32));
            let mask = u32::MAX.checked_shl(host_bits).unwrap_or(0);
            Some((ip.to_bits() & mask, interface.prefix))
        }
        IpAddr::V6(_) => None,
    }
}

fn names<'a>(interfaces: impl Iterator<Item = &'a Interface>) -> String {
    let names: BTreeSet<&str> = interfaces.map(|interface| interface.name.as_str()).collect();
    Vec::from_iter(names).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(name: &str, index: u32, ip: &str, prefix: u8) -> Interface {
        let ip = ip.parse().expect("valid");
        Interface { name: name.into(), index, ip, prefix, broadcast: None, up: true }
    }

    fn machine() -> Vec<Interface> {
        vec![
            interface("lo", 1, "127.0.0.1", 8),
            interface("lo", 1, "::1", 128),
            interface("eth0", 2, "10.0.0.5", 24),
            interface("eth0:1", 2, "10.0.0.6", 24),
            interface("eth0", 2, "192.168.0.5", 16),
            interface("eth0", 2, "2001:db8::5", 64),
            interface("eth0", 2, "fe80::5", 64),
            interface("eth1", 3, "10.1.0.5", 24),
            interface("eth1", 3, "fe80::5", 64),
            Interface { up: false, ..interface("eth2", 4, "10.2.0.5", 24) },
        ]
    }

    fn ips(v4: bool, bind: Option<&str>, chosen: &[&str]) -> Vec<String> {
        let chosen: Vec<String> = chosen.iter().map(|&name| name.to_owned()).collect();
        let bind = bind.map(|text| text.parse().expect("valid"));
        let sources = sources(&machine(), v4, bind, &chosen);
        sources.iter().map(|source| format!("{}%{}", source.ip, source.index)).collect()
    }

    #[test]
    fn there_is_one_source_for_each_network_that_is_up() {
        let v4 = ["127.0.0.1%1", "10.0.0.5%2", "192.168.0.5%2", "10.1.0.5%3"];
        assert_eq!(ips(true, None, &[]), v4);
        assert_eq!(ips(false, None, &[]), ["fe80::5%2", "fe80::5%3"]);
    }

    #[test]
    fn interfaces_can_be_chosen() {
        assert_eq!(ips(true, None, &["eth1", "lo"]), ["127.0.0.1%1", "10.1.0.5%3"]);
        assert_eq!(ips(false, None, &["eth1"]), ["fe80::5%3"]);
        assert!(ips(true, None, &["eth2", "eth9"]).is_empty());
        let chosen = ["eth0".to_owned(), "eth9".to_owned()];
        assert_eq!(missing(&machine(), &chosen), ["eth9"]);
        let lack = describe_lack(&machine(), true, None, &chosen[1..]);
        assert!(lack.contains("eth9") && lack.contains("lo"), "{lack}");
    }

    #[test]
    fn a_node_bound_to_one_address_sends_from_it_alone() {
        assert_eq!(ips(true, Some("10.0.0.6:0"), &[]), ["10.0.0.6%2"]);
        assert_eq!(ips(true, Some("127.0.0.9:0"), &[]), ["127.0.0.9%0"], "no interface lists it");
        assert!(ips(true, Some("10.2.0.5:0"), &[]).is_empty(), "its interface is down");
        assert!(ips(true, Some("10.0.0.6:0"), &["eth1"]).is_empty());
        assert_eq!(ips(false, Some("[fe80::5%3]:0"), &[]), ["fe80::5%3"]);
        assert_eq!(ips(false, Some("[2001:db8::5]:0"), &[]), ["2001:db8::5%2"]);
    }

    #[test]
    fn the_error_of_an_unknown_zone_names_it_and_those_that_exist() {
        let error = resolve(&ZonedIp::parse("fe80::1%no-such").expect("valid"), 1);
        let error = error.expect_err("there is none").to_string();
        assert!(error.contains("\"no-such\"") && error.contains("lo"), "{error}");
        let numbered = resolve(&ZonedIp::parse("fe80::1%7").expect("valid"), 1);
        assert_eq!(numbered.expect("a number").to_string(), "[fe80::1%7]:1");
    }
}
