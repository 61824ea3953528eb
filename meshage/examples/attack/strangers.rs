//! The attacks on the listener of a node: they do not get as far as a link.

use std::cell::Cell;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use meshage::Instance;
use meshage::secure::Handshake;
use meshage::secure::preface;
use meshage::wire::hello::PREFACE_BYTES;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;

use super::attacks::{ATTACKER, Continues, Tally, Target};
use super::datagrams;
use super::mesh::{self, KEY, Member, Pass, STRANGE_KEY};
use super::peer::{self, RawPeer};

/// The addresses of the loopback from which connections come, where the system has more than one.
const SOURCES: u32 = 200;
/// The connections of a flood that are under way at the same time.
const AT_ONCE: u32 = 64;
/// The time limit of one read.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// How often an attack asks whether it goes on.
const CHECK: Duration = Duration::from_millis(20);

/// What one connection of an attack sends.
#[derive(Clone)]
enum Words {
    /// Nothing.
    Nothing,
    /// A byte a second.
    Slowly(Arc<[u8]>),
    /// These bytes; then it reads until the node closes.
    All(Arc<[u8]>),
    /// These bytes; then it closes.
    AndClose(Arc<[u8]>),
}

/// Connections that send nothing, each made anew when it ends.
pub(super) fn idle(target: &Target, goes_on: Continues<'_>) -> io::Result<Tally> {
    connections(target, target.connections, move |_| Words::Nothing, goes_on)
}

/// Connections that send their first message a byte a second.
pub(super) fn drip(target: &Target, goes_on: Continues<'_>) -> io::Result<Tally> {
    let first: Arc<[u8]> = first_message(target)?.into();
    connections(target, target.connections, move |_| Words::Slowly(first.clone()), goes_on)
}

/// Random bytes: some begin as the protocol does.
pub(super) fn garbage(target: &Target, goes_on: Continues<'_>) -> io::Result<Tally> {
    let begins: [&[u8]; 4] = [b"", b"GET / HTTP/1.1\r\n", b"MSHX\x01\x00", b"MSHG\x01\x10\x00"];
    let words = move |number: u64| {
        let begin = begins[number as usize % begins.len()];
        Words::All([begin, &mesh::random::<256>()].concat().into())
    };
    connections(target, AT_ONCE, words, goes_on)
}

/// The first bytes of a valid message, of every length.
pub(super) fn truncated(target: &Target, goes_on: Continues<'_>) -> io::Result<Tally> {
    let first = first_message(target)?;
    let words = move |number: u64| {
        let length = 1 + number as usize % (first.len() - 1);
        Words::AndClose(first[..length].into())
    };
    connections(target, AT_ONCE, words, goes_on)
}

/// First bytes that claim too much or too little.
pub(super) fn lying_lengths(target: &Target, goes_on: Continues<'_>) -> io::Result<Tally> {
    let first = first_message(target)?;
    let variants: Vec<Arc<[u8]>> = match target.mesh.mode.is_closed() {
        false => [u16::MAX, 1025, 1024, 1, 0]
            .into_iter()
            .map(|length| {
                let mut hello = first.clone();
                hello[5..PREFACE_BYTES].copy_from_slice(&length.to_le_bytes());
                if length == 1024 {
                    // It is permitted: what follows is no hello.
                    hello.resize(PREFACE_BYTES + 1024, 0xff);
                }
                hello.into()
            })
            .collect(),
        true => [255, 9, 0]
            .into_iter()
            .map(|keys| {
                let mut dial = first.clone();
                dial[preface::HEADER_BYTES - 1] = keys;
                dial.into()
            })
            .collect(),
    };
    let words = move |number: u64| Words::All(variants[number as usize % variants.len()].clone());
    connections(target, AT_ONCE, words, goes_on)
}

/// Connections that are refused at once, as many as possible.
pub(super) fn handshakes(target: &Target, goes_on: Continues<'_>) -> io::Result<Tally> {
    let first: Arc<[u8]> = match target.mesh.mode.is_closed() {
        true => dial(&target.mesh.stranger(ATTACKER, STRANGE_KEY)?)?.into(),
        false => b"GET / HTTP/1.1\r\n"[..].into(),
    };
    connections(target, AT_ONCE, move |_| Words::AndClose(first.clone()), goes_on)
}

/// The first message of this mesh: a hello, or the preface of a stranger that knows the id of the
/// key.
fn first_message(target: &Target) -> io::Result<Vec<u8>> {
    match target.mesh.mode.is_closed() {
        true => forged_dial(target),
        false => Ok(Member::new(ATTACKER, Instance(1))?.hello().encode()),
    }
}

/// The preface of a dialler.
fn dial(member: &Member) -> io::Result<Vec<u8>> {
    let credentials = member.credentials.as_ref().ok_or_else(|| io::Error::other("no key"))?;
    let context = credentials.context.clone();
    Ok(Handshake::dial(context, member.hello(), &mut mesh::fill).take_output())
}

/// A preface that names the key of the mesh, with a proof of another one.
fn forged_dial(target: &Target) -> io::Result<Vec<u8>> {
    let mut bytes = dial(&target.mesh.stranger(ATTACKER, STRANGE_KEY)?)?;
    let id = preface::HEADER_BYTES..preface::HEADER_BYTES + 8;
    bytes[id].copy_from_slice(&mesh::key(KEY).id().0);
    Ok(bytes)
}

/// Another key, in turn under its own id and under that of the mesh.
pub(super) fn keys(target: &Target, key: u8, goes_on: Continues<'_>) -> io::Result<Tally> {
    let own: Arc<[u8]> = dial(&target.mesh.stranger(ATTACKER, key)?)?.into();
    let forged: Arc<[u8]> = forged_dial(target)?.into();
    let words = move |number: u64| {
        Words::All(if number.is_multiple_of(2) { own.clone() } else { forged.clone() })
    };
    connections(target, AT_ONCE, words, goes_on)
}

/// Connections and datagrams in clear.
pub(super) fn plaintext(target: &Target, goes_on: Continues<'_>) -> io::Result<Tally> {
    datagrams::send_one(target, &datagrams::plain(1)?)?;
    let hello: Arc<[u8]> = Member::new(ATTACKER, Instance(1))?.hello().encode().into();
    connections(target, AT_ONCE, move |_| Words::All(hello.clone()), goes_on)
}

/// Sealed connections and datagrams.
pub(super) fn sealed(target: &Target, goes_on: Continues<'_>) -> io::Result<Tally> {
    datagrams::send_one(target, &datagrams::sealed(1, STRANGE_KEY)?)?;
    let closed = mesh::Mesh::new(mesh::Mode::Closed)?;
    let dial: Arc<[u8]> = dial(&closed.stranger(ATTACKER, STRANGE_KEY)?)?.into();
    connections(target, AT_ONCE, move |_| Words::All(dial.clone()), goes_on)
}

/// Records a handshake of a member, and sends its messages again, each after the node has answered
/// the one before.
pub(super) fn replayed_handshakes(target: &Target, goes_on: Continues<'_>) -> io::Result<Tally> {
    let member = target.mesh.hostile(ATTACKER, Pass::Valid)?;
    let credentials = member.credentials.as_ref().ok_or_else(|| io::Error::other("no key"))?;
    let mut stream = connect(target)?;
    let (_, sent) = peer::shake_hands(&mut stream, credentials, member.hello())?;
    drop(stream);
    let mut tally = Tally::default();
    while goes_on() {
        tally.tries += 1;
        let mut stream = connect(target)?;
        let mut answers = 0;
        for message in sent.iter().filter(|message| !message.is_empty()) {
            // It fails if the node has closed the connection.
            let exchanged = stream.write_all(message).and_then(|()| stream.read(&mut [0; 4096]));
            match exchanged {
                Ok(1..) => answers += 1,
                Ok(0) | Err(_) => break,
            }
        }
        // The first answer is the node's preface. A second one would be a key agreement.
        if answers > 1 {
            return Err(io::Error::other("the node continued a recorded handshake"));
        }
        tally.closed += 1;
    }
    Ok(tally)
}

/// Joins that the node must refuse in the handshake.
pub(super) fn refused(
    target: &Target,
    member: &Member,
    goes_on: Continues<'_>,
) -> io::Result<Tally> {
    let mut tally = Tally::default();
    while goes_on() {
        tally.tries += 1;
        match RawPeer::connect(&target.address.to_string(), member) {
            Ok(_) => return Err(io::Error::other("the node accepted the peer")),
            Err(_) => tally.closed += 1,
        }
    }
    Ok(tally)
}

fn connect(target: &Target) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(target.address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(READ_TIMEOUT))?;
    Ok(stream)
}

/// Keeps a number of connections open, and makes each anew as soon as it ends.
fn connections(
    target: &Target,
    count: u32,
    words: impl Fn(u64) -> Words + 'static,
    goes_on: Continues<'_>,
) -> io::Result<Tally> {
    let words = Rc::new(words);
    let tally = Rc::new((Cell::new(0), Cell::new(0)));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let address = target.address;
    // The connections end with the set.
    let tasks = tokio::task::LocalSet::new();
    for place in 0..count {
        let (tally, words) = (tally.clone(), words.clone());
        tasks.spawn_local(async move {
            loop {
                let (tried, closed) = &*tally;
                tried.set(tried.get() + 1);
                match connect_and_say(place, address, &words(tried.get())).await {
                    Ok(()) => closed.set(closed.get() + 1),
                    // The node has reset the connection, or the system has no more ports.
                    Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
                }
            }
        });
    }
    runtime.block_on(tasks.run_until(async {
        while goes_on() {
            tokio::time::sleep(CHECK).await;
        }
    }));
    Ok(Tally { tries: tally.0.get(), closed: tally.1.get() })
}

/// One connection.
async fn connect_and_say(place: u32, to: SocketAddr, words: &Words) -> io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    if cfg!(target_os = "linux") {
        socket.set_reuseaddr(true)?;
        let source = u32::from(Ipv4Addr::new(127, 1, 0, 1)) + place % SOURCES;
        socket.bind((Ipv4Addr::from(source), 0).into())?;
    }
    let mut stream = socket.connect(to).await?;
    let slowly = Duration::from_secs(1);
    match words {
        Words::Nothing => {}
        Words::Slowly(bytes) => {
            for byte in bytes.iter() {
                stream.write_all(&[*byte]).await?;
                // It ends early if the node closes.
                match tokio::time::timeout(slowly, stream.read(&mut [0; 512])).await {
                    Ok(Ok(0)) => return Ok(()),
                    Ok(Err(error)) => return Err(error),
                    Ok(Ok(_)) | Err(_) => {}
                }
            }
        }
        Words::All(bytes) => stream.write_all(bytes).await?,
        Words::AndClose(bytes) => {
            stream.write_all(bytes).await?;
            return stream.shutdown().await;
        }
    }
    while stream.read(&mut [0; 512]).await? > 0 {}
    Ok(())
}
