//! The bench's worker for gRPC: tonic over one HTTP/2 connection, unary calls, both ends on a
//! runtime with as many threads as there are cores.
//!
//! ```text
//!  set_rtt               one caller
//!  set_64, set_window    concurrent tasks, each of which sends one call after the other
//!  large                 the same with large bodies
//!  memory                open connections
//! ```
//!
//! With `tls=FOLDER`, the connections use TLS.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use peer_worker::{Figures, Job, LARGE, LARGE_WINDOW, Result, Role, SMALL, Tls, Trips};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{
    Certificate, Channel, ClientTlsConfig, Endpoint, Identity, Server, ServerTlsConfig,
};
use tonic::{Request, Response, Status};

#[expect(unreachable_pub, clippy::allow_attributes_without_reason, reason = "generated")]
mod service {
    include!(concat!(env!("OUT_DIR"), "/bench.Receiver.rs"));
}

use service::receiver_client::ReceiverClient;
use service::receiver_server::{Receiver, ReceiverServer};

/// The maximum number of outstanding calls on a connection. The default, 200, is less than a window.
const CALLS_MAX: u32 = 4096;
/// The flow control window of a stream and of a connection: room for all outstanding large bodies.
/// With the default, 64 KiB, a body waits for a round trip sixteen times.
const FLOW_CONTROL_BYTES: u32 = 8 << 20;
/// The size limit of a message: the default, 4 MiB, is below the size of some bodies.
const MESSAGE_BYTES_MAX: usize = 128 << 20;

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Message {
    #[prost(bytes = "bytes", tag = "1")]
    body: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Acknowledgement {}

type Client = ReceiverClient<Channel>;

fn main() -> Result<()> {
    let job = Job::from_arguments()?;
    let runtime = Runtime::new()?;
    match (job.case.as_str(), job.role) {
        ("set_rtt" | "set_64" | "set_window" | "large" | "memory", Role::Serve) => {
            // A listener must be created in the runtime that uses it.
            runtime.block_on(async { tokio::spawn(serve(job.tls())).await? })
        }
        ("set_rtt", Role::Drive) => {
            let client = runtime.block_on(connect(&job))?;
            peer_worker::run_rounds(|round| in_a_task(&runtime, round_trips(client.clone(), round)))
        }
        ("set_64" | "set_window", Role::Drive) => {
            let client = runtime.block_on(connect(&job))?;
            let count = job.number("window", 1)?;
            peer_worker::run_rounds(|round| {
                let called = callers(client.clone(), message(SMALL), count, round);
                in_a_task(&runtime, async {
                    let (count, took) = called.await?;
                    Ok(Figures::messages(count, took))
                })
            })
        }
        ("large", Role::Drive) => {
            let client = runtime.block_on(connect(&job))?;
            let (size, count) = (job.number("size", LARGE)?, job.number("window", LARGE_WINDOW)?);
            let body = message(size);
            peer_worker::run_rounds(|round| {
                let called = callers(client.clone(), body.clone(), count, round);
                in_a_task(&runtime, async move {
                    let (count, took) = called.await?;
                    Ok(Figures::megabytes(count, size, took))
                })
            })
        }
        ("memory", Role::Drive) => {
            let mut held = Vec::new();
            for _ in 0..job.number("links", 0)? {
                let mut client = runtime.block_on(connect(&job))?;
                runtime.block_on(client.set(message(SMALL)))?;
                held.push(client);
            }
            peer_worker::run_rounds(|_| Ok(Figures::messages(0, Duration::from_secs(1))))
        }
        (_, Role::Serve | Role::Relay | Role::Drive) => job.unsupported(),
    }
}

struct Service;

#[tonic::async_trait]
impl Receiver for Service {
    async fn set(&self, message: Request<Message>) -> Result<Response<Acknowledgement>, Status> {
        match message.get_ref().body.len() {
            0 => Err(Status::invalid_argument("the body is empty")),
            _ => Ok(Response::new(Acknowledgement {})),
        }
    }
}

async fn serve(tls: Option<Tls>) -> Result<()> {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
    let mut server = Server::builder();
    let scheme = match tls {
        Some(tls) => {
            let (certificate, key) =
                (std::fs::read(tls.certificate())?, std::fs::read(tls.private_key())?);
            let identity = Identity::from_pem(certificate, key);
            server = server.tls_config(ServerTlsConfig::new().identity(identity))?;
            "https"
        }
        None => "http",
    };
    peer_worker::print_ready(&[format!("{scheme}://{}", listener.local_addr()?)]);
    peer_worker::exit_with_stdin();
    server
        .max_concurrent_streams(CALLS_MAX)
        .initial_stream_window_size(FLOW_CONTROL_BYTES)
        .initial_connection_window_size(FLOW_CONTROL_BYTES)
        .add_service(ReceiverServer::new(Service).max_decoding_message_size(MESSAGE_BYTES_MAX))
        .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)))
        .await?;
    Ok(())
}

async fn connect(job: &Job) -> Result<Client> {
    let mut endpoint = Endpoint::from_shared(job.address(0)?.to_owned())?;
    if let Some(tls) = job.tls() {
        let root = Certificate::from_pem(std::fs::read(tls.certificate())?);
        endpoint = endpoint.tls_config(ClientTlsConfig::new().ca_certificate(root))?;
    }
    Ok(Client::new(endpoint.connect().await?))
}

fn message(size: usize) -> Message {
    Message { body: vec![b'x'; size].into() }
}

/// Runs a round on a thread of the runtime, which the main thread is not.
fn in_a_task(
    runtime: &Runtime,
    round: impl Future<Output = Result<Figures>> + Send + 'static,
) -> Result<Figures> {
    runtime.block_on(runtime.spawn(round))?
}

async fn round_trips(mut client: Client, round: Duration) -> Result<Figures> {
    let mut trips = Trips::default();
    let start = Instant::now();
    let mut before = start;
    let message = message(SMALL);
    while before - start < round {
        client.set(message.clone()).await?;
        let after = Instant::now();
        trips.add(after - before);
        before = after;
    }
    trips.figures()
}

/// Concurrent callers. Returns the number of calls and the time until the last ended.
async fn callers(
    client: Client,
    message: Message,
    count: usize,
    round: Duration,
) -> Result<(u64, Duration)> {
    let mut tasks = JoinSet::new();
    let start = Instant::now();
    for _ in 0..count {
        let (mut client, message) = (client.clone(), message.clone());
        tasks.spawn(async move {
            let mut called = 0;
            while start.elapsed() < round {
                client.set(message.clone()).await?;
                called += 1;
            }
            Ok(called)
        });
    }
    let called = tasks.join_all().await.into_iter().sum::<Result<u64>>()?;
    Ok((called, start.elapsed()))
}
