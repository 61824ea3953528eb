//! Raw TCP with tokio: a task for each connection, on one worker thread.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

use super::count::{Round, Times};
use super::protocol::{self, Arguments, BODY, Result, Role};
use super::raw::{self, ANSWERS_MAX, Messages, READ_BYTES};

/// Threads of a runtime: as many as a node of its own has.
pub(crate) const WORKER_THREADS: usize = 1;

/// Plays a part of a case.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let runtime = runtime()?;
    let size = arguments.number("size", BODY.len())?;
    let window = arguments.number("window", 1)?;
    match (arguments.role, arguments.case.as_str()) {
        (Role::Serve, "set_rtt" | "relay_rtt") => listen(&runtime, echo),
        (Role::Serve, "set_64" | "set_window" | "large") => {
            listen(&runtime, move |stream| answer(stream, size))
        }
        (Role::Relay, "relay_rtt") => {
            let to = arguments.target()?.to_owned();
            listen(&runtime, move |stream| relay(stream, to.clone()))
        }
        (Role::Drive, "set_rtt" | "relay_rtt") => drive(&runtime, arguments, round_trips),
        (Role::Drive, "set_64" | "set_window") => {
            drive(&runtime, arguments, move |stream, limit| windowed(stream, window, limit))
        }
        (Role::Drive, "large") => {
            drive(&runtime, arguments, move |stream, limit| bodies(stream, size, window, limit))
        }
        (Role::Serve | Role::Relay | Role::Drive, _) => arguments.unknown(),
    }
}

/// The runtime that both raw TCP and our node run on.
pub(crate) fn runtime() -> Result<Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    Ok(builder.worker_threads(WORKER_THREADS).enable_all().build()?)
}

/// Runs a round in a task, so that no thread but the runtime's takes part in it.
pub(crate) fn in_a_task<T: Send + 'static>(
    runtime: &Runtime,
    task: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    runtime.block_on(runtime.spawn(task))?
}

async fn connect(to: String) -> Result<TcpStream> {
    let stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Connects, and hands the connection to each round, which gives it back.
fn drive<F>(
    runtime: &Runtime,
    arguments: &Arguments,
    round: impl Fn(TcpStream, Duration) -> F,
) -> Result<()>
where
    F: Future<Output = Result<(Round, TcpStream)>> + Send + 'static,
{
    let mut stream = Some(in_a_task(runtime, connect(arguments.target()?.to_owned()))?);
    protocol::drive(|limit| {
        let connected = stream.take().ok_or("a round failed before")?;
        let (measured, back) = in_a_task(runtime, round(connected, limit))?;
        stream = Some(back);
        Ok(measured)
    })
}

fn listen<F>(
    runtime: &Runtime,
    each: impl Fn(TcpStream) -> F + Clone + Send + 'static,
) -> Result<()>
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
    let address = listener.local_addr()?.to_string();
    runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if stream.set_nodelay(true).is_ok() {
                // An end that went away has nobody to tell.
                tokio::spawn(each(stream));
            }
        }
    });
    protocol::serve(&[address])
}

async fn echo(mut stream: TcpStream) -> Result<()> {
    let mut body = BODY.to_vec();
    loop {
        stream.read_exact(&mut body).await?;
        stream.write_all(&body).await?;
    }
}

async fn answer(mut stream: TcpStream, size: usize) -> Result<()> {
    let mut buffer = vec![0; READ_BYTES.min(size * ANSWERS_MAX)];
    let mut messages = Messages::of(size);
    loop {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        let ended = messages.ended(read);
        if ended > 0 {
            stream.write_all(&[0; ANSWERS_MAX][..ended]).await?;
        }
    }
}

async fn relay(from: TcpStream, to: String) -> Result<()> {
    let (from_read, from_write) = from.into_split();
    let (to_read, to_write) = connect(to).await?.into_split();
    tokio::spawn(copy(to_read, from_write));
    copy(from_read, to_write).await
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> Result<()> {
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        to.write_all(&buffer[..read]).await?;
    }
}

async fn round_trips(mut stream: TcpStream, limit: Duration) -> Result<(Round, TcpStream)> {
    let mut times = Times::default();
    let mut back = BODY.to_vec();
    let start = Instant::now();
    while start.elapsed() < limit {
        let sent = Instant::now();
        stream.write_all(BODY).await?;
        stream.read_exact(&mut back).await?;
        times.push(sent.elapsed());
    }
    Ok((times.micros(), stream))
}

async fn windowed(
    mut stream: TcpStream,
    window: usize,
    limit: Duration,
) -> Result<(Round, TcpStream)> {
    let messages = raw::small(window);
    let mut answers = [0; ANSWERS_MAX];
    let (mut under_way, mut answered) = (0, 0);
    let start = Instant::now();
    while start.elapsed() < limit {
        stream.write_all(&messages[..(window - under_way) * BODY.len()]).await?;
        let read = stream.read(&mut answers).await?;
        if read == 0 {
            return Err("the other end has gone".into());
        }
        answered += read;
        under_way = window - read;
    }
    stream.read_exact(&mut answers[..under_way]).await?;
    Ok((Round::messages(answered + under_way, start), stream))
}

async fn bodies(
    mut stream: TcpStream,
    size: usize,
    window: usize,
    limit: Duration,
) -> Result<(Round, TcpStream)> {
    let body = vec![7; size];
    let mut answers = [0; ANSWERS_MAX];
    let (mut sent, mut answered) = (0, 0);
    let start = Instant::now();
    while answered < sent || start.elapsed() < limit {
        if sent < answered + window && start.elapsed() < limit {
            stream.write_all(&body).await?;
            sent += 1;
            continue;
        }
        let read = stream.read(&mut answers).await?;
        if read == 0 {
            return Err("the other end has gone".into());
        }
        answered += read;
    }
    Ok((Round::bodies(answered, size, start), stream))
}
