//! The bench's worker for gRPC: tonic over one HTTP/2 connection, unary calls, both ends on a
//! runtime with as many threads as there are cores.
//!
//! ```text
//!  set_rtt               one caller
//!  set_64, set_window    concurrent tasks, each of which sends one call after the other
//!  memory                open connections
//! ```

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use peer_worker::{Figures, Job, Result, Role, SMALL, Trips};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Server};
use tonic::{Request, Response, Status};

#[expect(unreachable_pub, clippy::allow_attributes_without_reason, reason = "generated")]
mod service {
    include!(concat!(env!("OUT_DIR"), "/bench.Receiver.rs"));
}

use service::receiver_client::ReceiverClient;
use service::receiver_server::{Receiver, ReceiverServer};

/// The maximum number of outstanding calls on a connection. The default, 200, is less than a window.
const CALLS_MAX: u32 = 4096;

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Message {
    #[prost(bytes = "vec", tag = "1")]
    body: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Acknowledgement {}

type Client = ReceiverClient<Channel>;

fn main() -> Result<()> {
    let job = Job::from_arguments()?;
    let runtime = Runtime::new()?;
    match (job.case.as_str(), job.role) {
        ("set_rtt" | "set_64" | "set_window" | "memory", Role::Serve) => {
            // A listener must be created in the runtime that uses it.
            runtime.block_on(async { tokio::spawn(serve()).await? })
        }
        ("set_rtt", Role::Drive) => {
            let client = runtime.block_on(connect(job.address(0)?))?;
            peer_worker::run_rounds(|round| in_a_task(&runtime, round_trips(client.clone(), round)))
        }
        ("set_64" | "set_window", Role::Drive) => {
            let client = runtime.block_on(connect(job.address(0)?))?;
            let count = job.number("window", 1)?;
            peer_worker::run_rounds(|round| {
                in_a_task(&runtime, callers(client.clone(), count, round))
            })
        }
        ("memory", Role::Drive) => {
            let mut held = Vec::new();
            for _ in 0..job.number("links", 0)? {
                let mut client = runtime.block_on(connect(job.address(0)?))?;
                runtime.block_on(client.set(message()))?;
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
            SMALL => Ok(Response::new(Acknowledgement {})),
            other => Err(Status::invalid_argument(format!("the body has {other} bytes"))),
        }
    }
}

async fn serve() -> Result<()> {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
    peer_worker::print_ready(&[format!("http://{}", listener.local_addr()?)]);
    peer_worker::exit_with_stdin();
    Server::builder()
        .max_concurrent_streams(CALLS_MAX)
        .add_service(ReceiverServer::new(Service))
        .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)))
        .await?;
    Ok(())
}

async fn connect(address: &str) -> Result<Client> {
    Ok(Client::connect(address.to_owned()).await?)
}

fn message() -> Message {
    Message { body: vec![b'x'; SMALL] }
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
    while before - start < round {
        client.set(message()).await?;
        let after = Instant::now();
        trips.add(after - before);
        before = after;
    }
    trips.figures()
}

async fn callers(client: Client, count: usize, round: Duration) -> Result<Figures> {
    let mut tasks = JoinSet::new();
    let start = Instant::now();
    for _ in 0..count {
        let mut client = client.clone();
        tasks.spawn(async move {
            let mut called = 0;
            while start.elapsed() < round {
                client.set(message()).await?;
                called += 1;
            }
            Ok(called)
        });
    }
    let called = tasks.join_all().await.into_iter().sum::<Result<u64>>()?;
    Ok(Figures::messages(called, start.elapsed()))
}
