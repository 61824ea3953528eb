//! Raw TCP with the standard library: a thread for each connection.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::count::{Round, Times};
use super::protocol::{self, Arguments, BODY, Result, Role};
use super::raw::{self, ANSWERS_MAX, Messages, READ_BYTES};

/// Plays a part of a case.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let size = arguments.number("size", BODY.len())?;
    match (arguments.role, arguments.case.as_str()) {
        (Role::Serve, "set_rtt" | "relay_rtt") => listen(1, echo),
        (Role::Serve, "set_64" | "set_window" | "large") => {
            listen(1, move |stream| answer(stream, size))
        }
        (Role::Serve, "fanout") => {
            listen(arguments.number("neighbours", 16)?, |stream| answer(stream, BODY.len()))
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
        (Role::Serve | Role::Relay | Role::Drive, _) => arguments.unknown(),
    }
}

fn connect(to: &str) -> Result<TcpStream> {
    let stream = TcpStream::connect(to)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Opens so many listeners and gives every connection a thread.
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
                // An end that went away has nobody to tell.
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

fn answer(mut stream: TcpStream, size: usize) -> Result<()> {
    let mut buffer = vec![0; READ_BYTES.min(size * ANSWERS_MAX)];
    let mut messages = Messages::of(size);
    loop {
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        let ended = messages.ended(read);
        if ended > 0 {
            stream.write_all(&[0; ANSWERS_MAX][..ended])?;
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
    let mut times = Times::default();
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
    let mut answers = [0; ANSWERS_MAX];
    let (mut under_way, mut answered) = (0, 0);
    let start = Instant::now();
    while start.elapsed() < limit {
        stream.write_all(&messages[..(window - under_way) * BODY.len()])?;
        let read = stream.read(&mut answers)?;
        if read == 0 {
            return Err("the other end has gone".into());
        }
        answered += read;
        under_way = window - read;
    }
    stream.read_exact(&mut answers[..under_way])?;
    Ok(Round::messages(answered + under_way, start))
}

fn bodies(stream: &mut TcpStream, body: &[u8], window: usize, limit: Duration) -> Result<Round> {
    let (mut sent, mut answered) = (0, 0);
    let mut answers = [0; ANSWERS_MAX];
    let start = Instant::now();
    while answered < sent || start.elapsed() < limit {
        if sent < answered + window && start.elapsed() < limit {
            stream.write_all(body)?;
            sent += 1;
            continue;
        }
        let read = stream.read(&mut answers)?;
        if read == 0 {
            return Err("the other end has gone".into());
        }
        answered += read;
    }
    Ok(Round::bodies(answered, body.len(), start))
}

/// Writes to every socket, then waits for every answer.
fn fan_out(streams: &mut [TcpStream], limit: Duration) -> Result<Round> {
    let mut times = Times::default();
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
