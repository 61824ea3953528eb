//! Raw TCP with the standard library: a thread for each connection.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::protocol::{self, Arguments, BODY, Result, Role};
use super::raw::{self, Messages, READ_BYTES, REPLIES_MAX};
use super::round::{Round, Samples};

/// Runs one role of a case.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let size = arguments.number("size", BODY.len())?;
    match (arguments.role, arguments.case.as_str()) {
        (Role::Serve, "set_rtt" | "relay_rtt") => listen(1, echo),
        (Role::Serve, "set_64" | "set_window" | "large") => {
            listen(1, move |stream| acknowledge(stream, size))
        }
        (Role::Serve, "fanout") => {
            listen(arguments.number("neighbours", 16)?, |stream| acknowledge(stream, BODY.len()))
        }
        (Role::Relay, "relay_rtt") => {
            let to = arguments.target()?.to_owned();
            listen(1, move |stream| relay(stream, &to))
        }
        (Role::Drive, "set_rtt" | "relay_rtt") => {
            let mut stream = connect(arguments.target()?)?;
            protocol::drive(|limit| round_trips(&mut stream, limit))
        }
        (Role::Drive, "set_64" | "set_window") => {
            let window = arguments.number("window", 1)?;
            let mut stream = connect(arguments.target()?)?;
            protocol::drive(|limit| windowed(&mut stream, window, limit))
        }
        (Role::Drive, "large") => {
            let window = arguments.number("window", 1)?;
            let mut stream = connect(arguments.target()?)?;
            let body = vec![7; size];
            protocol::drive(|limit| bodies(&mut stream, &body, window, limit))
        }
        (Role::Drive, "fanout") => {
            let streams = arguments.to.iter().map(|to| connect(to));
            let mut streams = streams.collect::<Result<Vec<_>>>()?;
            protocol::drive(|limit| fan_out(&mut streams, limit))
        }
        (Role::Serve | Role::Relay | Role::Drive, _) => arguments.unsupported(),
    }
}

fn connect(to: &str) -> Result<TcpStream> {
    let stream = TcpStream::connect(to)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Opens `count` listeners, and starts a thread for every connection.
fn listen(
    count: usize,
    each: impl Fn(TcpStream) -> Result<()> + Clone + Send + 'static,
) -> Result<()> {
    let mut addresses = Vec::new();
    for _ in 0..count {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        addresses.push(listener.local_addr()?.to_string());
        let each = each.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let each = each.clone();
                // An error means that the other end closed the connection.
                thread::spawn(move || stream.set_nodelay(true).map(|()| each(stream)));
            }
        });
    }
    protocol::serve(&addresses)
}

fn echo(mut stream: TcpStream) -> Result<()> {
    let mut body = BODY.to_vec();
    loop {
        stream.read_exact(&mut body)?;
        stream.write_all(&body)?;
    }
}

fn acknowledge(mut stream: TcpStream, size: usize) -> Result<()> {
    let mut buffer = vec![0; READ_BYTES.min(size * REPLIES_MAX)];
    let mut messages = Messages::of(size);
    loop {
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        let completed = messages.completed(read);
        if completed > 0 {
            stream.write_all(&[0; REPLIES_MAX][..completed])?;
        }
    }
}

fn relay(from: TcpStream, to: &str) -> Result<()> {
    let to = connect(to)?;
    let (mut from_back, mut to_back) = (from.try_clone()?, to.try_clone()?);
    thread::spawn(move || copy(&mut to_back, &mut from_back));
    copy(&mut { from }, &mut { to })
}

fn copy(from: &mut TcpStream, to: &mut TcpStream) -> Result<()> {
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        to.write_all(&buffer[..read])?;
    }
}

fn round_trips(stream: &mut TcpStream, limit: Duration) -> Result<Round> {
    let mut times = Samples::default();
    let mut back = BODY.to_vec();
    let start = Instant::now();
    while start.elapsed() < limit {
        let sent = Instant::now();
        stream.write_all(BODY)?;
        stream.read_exact(&mut back)?;
        times.push(sent.elapsed());
    }
    Ok(times.micros())
}

fn windowed(stream: &mut TcpStream, window: usize, limit: Duration) -> Result<Round> {
    let messages = raw::small(window);
    let mut replies = [0; REPLIES_MAX];
    let (mut outstanding, mut acknowledged) = (0, 0);
    let start = Instant::now();
    while start.elapsed() < limit {
        stream.write_all(&messages[..(window - outstanding) * BODY.len()])?;
        let read = stream.read(&mut replies)?;
        if read == 0 {
            return Err("the other end closed the connection".into());
        }
        acknowledged += read;
        outstanding = window - read;
    }
    stream.read_exact(&mut replies[..outstanding])?;
    Ok(Round::messages(acknowledged + outstanding, start))
}

fn bodies(stream: &mut TcpStream, body: &[u8], window: usize, limit: Duration) -> Result<Round> {
    let (mut sent, mut acknowledged) = (0, 0);
    let mut replies = [0; REPLIES_MAX];
    let start = Instant::now();
    while acknowledged < sent || start.elapsed() < limit {
        if sent < acknowledged + window && start.elapsed() < limit {
            stream.write_all(body)?;
            sent += 1;
            continue;
        }
        let read = stream.read(&mut replies)?;
        if read == 0 {
            return Err("the other end closed the connection".into());
        }
        acknowledged += read;
    }
    Ok(Round::bodies(acknowledged, body.len(), start))
}

/// Writes to every socket, then waits for a reply from each.
fn fan_out(streams: &mut [TcpStream], limit: Duration) -> Result<Round> {
    let mut times = Samples::default();
    let start = Instant::now();
    while start.elapsed() < limit {
        let sent = Instant::now();
        for stream in streams.iter_mut() {
            stream.write_all(BODY)?;
        }
        for stream in streams.iter_mut() {
            stream.read_exact(&mut [0])?;
        }
        times.push(sent.elapsed());
    }
    Ok(times.micros())
}
