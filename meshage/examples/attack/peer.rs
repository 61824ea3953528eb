//! A peer that is a bare socket: it completes the handshake and the database exchange, and then
//! sends what it is told to, whether the protocol permits it or not.

use std::io::{self, IoSlice, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use meshage::name::{Claim, Sequence};
use meshage::secure::seal::Opened;
use meshage::secure::{Handshake, KeyRing, Opener, Sealer, Secured};
use meshage::wire::control::{Announcement, ControlFrame};
use meshage::wire::deframe::Deframer;
use meshage::wire::frame::{FrameKind, WireFrame};
use meshage::wire::hello::{Hello, PREFACE_BYTES};
use meshage::{Instance, LOLLIPOP_LENGTH, NodeName};

use super::mesh::{self, Credentials, Member};

/// The time limit of one read.
const READ_TIMEOUT: Duration = Duration::from_secs(20);

/// A link to a node, from a peer without a router.
#[derive(Debug)]
pub(super) struct RawPeer {
    /// The connection.
    pub(super) stream: TcpStream,
    /// What was read and is not a complete frame yet.
    pub(super) deframer: Deframer,
    /// Who the peer claims to be.
    pub(super) member: Member,
    /// The peer's own name.
    pub(super) name: NodeName,
    /// The peer's own instance.
    pub(super) instance: Instance,
    /// The hello of the node.
    pub(super) node: Hello,
    /// The keys of a sealed link.
    seals: Option<Seals>,
}

/// The keys of a sealed link.
#[derive(Debug)]
struct Seals {
    sealer: Sealer,
    opener: Opener,
    ring: KeyRing,
    /// What was read and is not a complete record yet.
    arrived: Vec<u8>,
}

impl RawPeer {
    /// Connects and exchanges hellos, over a sealed link if the peer has credentials.
    ///
    /// # Errors
    /// The connection failed, or the other end refused the peer or is no mesh node.
    pub(super) fn connect(address: &str, member: &Member) -> io::Result<Self> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(READ_TIMEOUT))?;
        let (node, seals) = match &member.credentials {
            None => (exchange_hellos(&mut stream, &member.hello())?, None),
            Some(credentials) => {
                let (secured, _) = shake_hands(&mut stream, credentials, member.hello())?;
                let Secured { sealer, opener, peer } = secured;
                let ring = credentials.context.ring.clone();
                (peer.hello, Some(Seals { sealer, opener, ring, arrived: Vec::new() }))
            }
        };
        Ok(Self {
            stream,
            deframer: Deframer::default(),
            name: member.name.clone(),
            instance: member.instance,
            member: member.clone(),
            node,
            seals,
        })
    }

    /// Becomes a peer of the node, whose name must be greater than the peer's own. Returns the
    /// announcements that the node sent.
    ///
    /// # Errors
    /// The connection failed, or the node refused the link.
    pub(super) fn join(&mut self) -> io::Result<Vec<Announcement>> {
        for frame in [
            ControlFrame::Admit { other_link: false },
            ControlFrame::Digest { entries: Vec::new(), last: true },
            self.member.announce(self.announcement(LOLLIPOP_LENGTH, vec![self.node.instance])),
            ControlFrame::Synced,
        ] {
            self.send(&frame.encode())?;
        }
        let mut known = Vec::new();
        loop {
            for frame in self.read_control()? {
                match frame {
                    ControlFrame::Announce(announcement) => known.push(announcement),
                    ControlFrame::SignedAnnounce(signed) => known.push(signed.announcement),
                    ControlFrame::Synced => return Ok(known),
                    ControlFrame::Refuse { reason } => {
                        return Err(io::Error::other(format!("refused: {reason:?}")));
                    }
                    ControlFrame::Admit { .. }
                    | ControlFrame::Digest { .. }
                    | ControlFrame::Leaving
                    | ControlFrame::Revocations { .. }
                    | ControlFrame::Claims { .. }
                    | ControlFrame::Compare { .. }
                    | ControlFrame::Listing { .. }
                    | ControlFrame::Request { .. }
                    | ControlFrame::DigestRequest { .. }
                    | ControlFrame::Have { .. }
                    | ControlFrame::Probe
                    | ControlFrame::ProbeAnswer => {}
                }
            }
        }
    }

    /// An announcement of this peer.
    pub(super) fn announcement(&self, sequence: u32, peers: Vec<Instance>) -> Announcement {
        Announcement {
            name: self.name.clone(),
            instance: self.instance,
            sequence: Sequence(sequence),
            claim: Claim::FIRST,
            leaving: false,
            peers,
        }
    }

    /// Sends a frame.
    ///
    /// # Errors
    /// The connection failed.
    pub(super) fn send(&mut self, frame: &WireFrame) -> io::Result<()> {
        self.send_bytes(&[&frame.head[..], &frame.body[..]].concat())
    }

    /// Sends any bytes where frames are expected.
    ///
    /// # Errors
    /// The connection failed.
    pub(super) fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(seals) = &mut self.seals else { return self.stream.write_all(bytes) };
        let mut records = Vec::new();
        seals.sealer.seal_frames(&[IoSlice::new(bytes)], usize::MAX, &mut records);
        self.stream.write_all(&records)
    }

    /// Waits for bytes, and returns the control frames that they complete.
    ///
    /// # Errors
    /// The connection failed or ended.
    pub(super) fn read_control(&mut self) -> io::Result<Vec<ControlFrame>> {
        let mut bytes = [0; 16 << 10];
        let length = self.stream.read(&mut bytes)?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match &mut self.seals {
            None => self.deframer.buffer().extend_from_slice(&bytes[..length]),
            Some(seals) => {
                seals.arrived.extend_from_slice(&bytes[..length]);
                let not_opened = |error: meshage::AuthError| io::Error::other(error.to_string());
                while let Some((opened, length)) =
                    seals.opener.open(&mut seals.arrived, &seals.ring).map_err(not_opened)?
                {
                    if let Opened::Frames(range) = opened {
                        self.deframer.buffer().extend_from_slice(&seals.arrived[range]);
                    }
                    seals.arrived.drain(..length);
                }
            }
        }
        let mut frames = Vec::new();
        let invalid = |error: meshage::wire::WireError| io::Error::other(error.0);
        while let Some(frame) = self.deframer.next_frame().map_err(invalid)? {
            if frame.kind == Some(FrameKind::Control) {
                frames.push(ControlFrame::decode(&frame.payload).map_err(invalid)?);
            }
        }
        Ok(frames)
    }

    /// Reads and discards everything that the node sends, on a thread of its own, until the
    /// connection ends.
    ///
    /// # Errors
    /// The socket cannot be shared.
    pub(super) fn discard_arrivals(&self) -> io::Result<()> {
        let mut stream = self.stream.try_clone()?;
        stream.set_read_timeout(None)?;
        std::thread::spawn(move || {
            let mut bytes = vec![0; 256 << 10];
            while let Ok(1..) = stream.read(&mut bytes) {}
            let _ = stream.shutdown(Shutdown::Both);
        });
        Ok(())
    }
}

/// Sends a hello and reads that of the node.
fn exchange_hellos(stream: &mut TcpStream, hello: &Hello) -> io::Result<Hello> {
    stream.write_all(&hello.encode())?;
    let mut preface = [0; PREFACE_BYTES];
    stream.read_exact(&mut preface)?;
    let length = Hello::length(preface).map_err(|error| io::Error::other(error.0))?;
    let mut rest = vec![0; length];
    stream.read_exact(&mut rest)?;
    Hello::decode(&rest).map_err(|error| io::Error::other(error.0))
}

/// The handshake of a sealed link. Returns what was sent as well, one message after the other.
///
/// # Errors
/// The connection failed, or one end refused the other.
pub(super) fn shake_hands(
    stream: &mut TcpStream,
    credentials: &Credentials,
    hello: Hello,
) -> io::Result<(Secured, Vec<Vec<u8>>)> {
    let mut handshake = Handshake::dial(credentials.context.clone(), hello, &mut mesh::fill);
    let mut sent = Vec::new();
    loop {
        let output = handshake.take_output();
        stream.write_all(&output)?;
        sent.push(output);
        let mut bytes = vec![0; handshake.wanted()];
        stream.read_exact(&mut bytes)?;
        let received = handshake.receive(&bytes, mesh::now(), &mut mesh::fill);
        if let Some(secured) = received.map_err(|error| io::Error::other(format!("{error:?}")))? {
            return Ok((secured, sent));
        }
    }
}
