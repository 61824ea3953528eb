//! Raw TCP with tokio: a task for each connection, on one worker thread.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

use super::protocol::{self, Arguments, BODY, Result, Role};
use super::raw::{self, Messages, READ_BYTES, REPLIES_MAX};
use super::round::{Round, Samples};

/// The threads of a runtime: as many as the runtime of a blocking node has.
pub(crate) const WORKER_THREADS: usize = 1;

/// Runs one role of a case.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let runtime = runtime()?;
    let size = arguments.number("size", BODY.len())?;
    let window = arguments.number("window", 1)?;
    match (arguments.role, arguments.case.as_str()) {
        (Role::Serve, "set_rtt" | "relay_rtt") => listen(&runtime, echo),
        (Role::Serve, "set_64" | "set_window" | "large") => {
            listen(&runtime, move |stream| acknowledge(stream, size))
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
        (Role::Serve | Role::Relay | Role::Drive, _) => arguments.unsupported(),
    }
}

/// The runtime of both raw TCP and the asynchronous node.
pub(crate) fn runtime() -> Result<Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    Ok(builder.worker_threads(WORKER_THREADS).enable_all().build()?)
}

/// Runs a round in a task, so that only threads of the runtime take part in it.
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

/// Connects, and passes the connection to each round, which returns it.
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
        let connected = stream.take().ok_or("an earlier round failed")?;
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
                // An error means that the other end closed the connection.
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

async fn acknowledge(mut stream: TcpStream, size: usize) -> Result<()> {
    let mut buffer = vec![0; READ_BYTES.min(size * REPLIES_MAX)];
    let mut messages = Messages::of(size);
    loop {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        let completed = messages.completed(read);
        if completed > 0 {
            stream.write_all(&[0; REPLIES_MAX][..completed]).await?;
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
    let mut times = Samples::default();
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
    let mut replies = [0; REPLIES_MAX];
    let (mut outstanding, mut acknowledged) = (0, 0);
    let start = Instant::now();
    while start.elapsed() < limit {
        stream.write_all(&messages[..(window - outstanding) * BODY.len()]).await?;
        let read = stream.read(&mut replies).await?;
        if read == 0 {
            return Err("the other end closed the connection".into());
        }
        acknowledged += read;
        outstanding = window - read;
    }
    stream.read_exact(&mut replies[..outstanding]).await?;
    Ok((Round::messages(acknowledged + outstanding, start), stream))
}

async fn bodies(
    mut stream: TcpStream,
    size: usize,
    window: usize,
    limit: Duration,
) -> Result<(Round, TcpStream)> {
    let body = vec![7; size];
    let mut replies = [0; REPLIES_MAX];
    let (mut sent, mut acknowledged) = (0, 0);
    let start = Instant::now();
    while acknowledged < sent || start.elapsed() < limit {
        if sent < acknowledged + window && start.elapsed() < limit {
            stream.write_all(&body).await?;
            sent += 1;
            continue;
        }
        let read = stream.read(&mut replies).await?;
        if read == 0 {
            return Err("the other end closed the connection".into());
        }
        acknowledged += read;
    }
    Ok((Round::bodies(acknowledged, size, start), stream))
}
