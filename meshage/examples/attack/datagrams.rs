//! The attacks with datagrams.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};

use meshage::name::NodeName;
use meshage::secure::datagram;
use meshage::wire::solicitation::Solicitation;
use meshage::{Instance, Namespace};

use super::attacks::{Continues, Tally, Target};
use super::mesh::{self, KEY, STRANGE_KEY};

/// The number of datagrams between two questions whether to go on.
const AT_ONCE: u64 = 64;

/// Datagrams that are no solicitations.
pub(super) fn garbage(target: &Target, goes_on: Continues<'_>) -> io::Result<Tally> {
    flood(target, goes_on, |number| {
        let begins: [&[u8]; 4] = [b"", b"MSHS\x01\xff\xff\xff\xff", b"MSHX", b"MSHS\x02"];
        let begin = begins[number as usize % begins.len()];
        Ok([begin, &mesh::random::<64>()].concat())
    })
}

/// Solicitations of nodes that do not exist, sealed if the mesh is closed.
pub(super) fn solicitations(target: &Target, goes_on: Continues<'_>) -> io::Result<Tally> {
    flood(target, goes_on, |number| match target.mesh.mode.is_closed() {
        true => sealed(number, KEY),
        false => plain(number),
    })
}

/// Datagrams under another key, and those of a member with an altered byte.
pub(super) fn forged(target: &Target, goes_on: Continues<'_>) -> io::Result<Tally> {
    flood(target, goes_on, |number| {
        if number.is_multiple_of(2) {
            return sealed(number, STRANGE_KEY);
        }
        let mut altered = sealed(number, KEY)?;
        if let Some(last) = altered.last_mut() {
            *last ^= 1;
        }
        Ok(altered)
    })
}

/// A datagram of a member, again and again.
pub(super) fn replayed(target: &Target, goes_on: Continues<'_>) -> io::Result<Tally> {
    let datagram = sealed(1, KEY)?;
    flood(target, goes_on, |_| Ok(datagram.clone()))
}

/// A solicitation of an invented node in clear.
pub(super) fn plain(number: u64) -> io::Result<Vec<u8>> {
    Ok(solicitation(number)?.encode())
}

/// A solicitation of an invented node under a key.
pub(super) fn sealed(number: u64, key: u8) -> io::Result<Vec<u8>> {
    let solicitation = solicitation(number)?;
    Ok(datagram::seal(&solicitation, &mesh::key(key), mesh::now(), &mut mesh::fill))
}

/// Sends one datagram to the node.
pub(super) fn send_one(target: &Target, datagram: &[u8]) -> io::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.send_to(datagram, target.datagrams).map(|_| ())
}

fn solicitation(number: u64) -> io::Result<Solicitation> {
    Ok(Solicitation {
        namespace: Namespace::default(),
        name: NodeName::new(&format!("invented{number}")).map_err(io::Error::other)?,
        instance: Instance(u64::from_le_bytes(mesh::random())),
        // Nobody listens there.
        port: 1,
        wanted: 1,
    })
}

fn flood(
    target: &Target,
    goes_on: Continues<'_>,
    datagram: impl Fn(u64) -> io::Result<Vec<u8>>,
) -> io::Result<Tally> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut tally = Tally::default();
    while goes_on() {
        for _ in 0..AT_ONCE {
            tally.tries += 1;
            // The system may have no buffer for it.
            let _ = socket.send_to(&datagram(tally.tries)?, target.datagrams);
        }
    }
    Ok(tally)
}
