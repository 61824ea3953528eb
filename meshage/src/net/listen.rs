//! Accepts connections and exchanges hellos over them, a limited number at a time.
//!
//! ```text
//!            ┌─ of a known host ──► one of its own places ──┐
//!  backlog ──┴─► waiting (one, while all places are taken) ─┴► handshake ──► driver
//!                   └── the oldest silent one gives its place, after 250 ms or, in a flood, less
//! ```
//!
//! In a closed mesh, handshakes whose other end has proven that it has a key go last: up to half of the
//! places are theirs. A preface with a proof counts less than a proof in this handshake, because it may
//! be a recorded one.
//!
//! One task accepts and gives complete connections to the driver. Each handshake runs in its own
//! task, and all of them end with the accepting task. While all places are taken, new connections
//! wait in the kernel's backlog. The connections of a stranger's address are not counted: behind one
//! address there may be a network, or all containers of a machine. Bytes that are no complete hello
//! do not count either: a connection that sends a byte a second is as silent as any. Connections that
//! end at once are limited by their rate: otherwise a stranger would get as much of the processor as
//! its connections cost.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{sleep, sleep_until};
use tracing::Instrument as _;

use super::clock;
use super::handshake::{self, End, Met, Offer, Progress};
use super::input::NetworkEvent;
use super::shared::Shared;
use super::tasks::{self, Panicked, inject};
use super::transport::{Listener, Transport};
use crate::error::DialError;
use crate::protocol::io::{Input, Role};
use crate::protocol::token_bucket::TokenBucket;
use crate::secure::handshake::Stage;
use crate::wire::hello::Purpose;

/// The limit on concurrent handshakes: 64 silent connections cost one socket each.
const HALF_OPEN_MAX: usize = 64;
/// The time that a handshake has before it may be evicted. A node sends its hello as soon as the
/// connection is made, so the hello arrives with the connection or a lost packet later (200 ms).
const EVICT_AFTER_MAX: Duration = Duration::from_millis(250);
/// The same while connections keep coming that stay silent: the time is halved each time that all
/// places were taken over. Then 1,000 connections a second leave the backlog, as many as may, and a
/// newcomer, whose hello arrived while it waited there, is never far behind.
const EVICT_AFTER_MIN: Duration = Duration::from_micros(62_500);
/// The rate of handshakes with strangers: 1,000 a second take 3 % of a processor (measured:
/// 33,000 take all of it). The burst is that of a mesh whose nodes all start.
const STRANGER_INTERVAL: Duration = Duration::from_millis(1);
const STRANGER_BURST: u32 = 1024;
/// The places of known hosts, and those that one of them may take: a machine restarts few nodes at
/// once. Its further connections wait as a stranger's.
const KNOWN_MAX: usize = 64;
const KNOWN_PER_HOST_MAX: usize = 4;
/// The time in which an evicted handshake may still read a hello that has arrived.
const EVICT_GRACE: Duration = Duration::from_millis(1);
/// The pause after a failure to accept, which is usually a lack of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts connections until the task is stopped.
pub(super) async fn run(
    listener: Listener,
    shared: Arc<Shared>,
    events: mpsc::Sender<NetworkEvent>,
) {
    let accept = || accept_all(&listener, &shared, &events);
    tasks::keep_running("listener", &shared.counters, accept).await;
}

async fn accept_all(
    listener: &Listener,
    shared: &Arc<Shared>,
    events: &mpsc::Sender<NetworkEvent>,
) {
    let counters = shared.counters.clone();
    let own_hello = shared.hello(Purpose::Dialled);
    let mut half_open = HalfOpen::default();
    // A connection that was accepted while all places were taken, or too many had come.
    let mut waiting = None;
    let mut delayed = false;
    loop {
        if waiting.is_some()
            && half_open.permits_stranger(clock::now())
            && let Some((transport, from)) = waiting.take()
        {
            delayed = false;
            let (evict, control) = control();
            let offer = Offer::new(own_hello.clone(), shared.security.as_ref());
            let (this, events) = (shared.clone(), events.clone());
            let handshake = shake_hands(transport, from, offer, control, this, events);
            half_open.begin(handshake.instrument(shared.span.clone()), evict, clock::now());
        }
        let full = waiting.is_some() && !half_open.has_room();
        let paced = waiting.is_some() && half_open.has_room();
        if paced && !delayed {
            delayed = true;
            counters.net_handshakes_delayed.one();
        }
        let evictable = half_open.evictable();
        let permitted = half_open.permitted_at(clock::now());
        tokio::select! {
            biased;
            finished = half_open.finished() => match finished {
                Ok(Ok((transport, met))) => {
                    let role = Role::Listener;
                    let connected = NetworkEvent::Connected { transport, role, met };
                    // The send fails only while the node closes.
                    let _ = events.send(connected).await;
                }
                Ok(Err(Unfinished::Failed(error))) => {
                    counters.net_handshakes_failed.one();
                    tracing::debug!(%error, "handshake failed");
                }
                Ok(Err(Unfinished::Evicted)) => {
                    counters.net_handshakes_evicted.one();
                    tracing::debug!("handshake given up: others wait for its place");
                }
                Ok(Err(Unfinished::Panicked(error))) => {
                    counters.net_handshakes_failed.one();
                    tracing::debug!(%error, "handshake failed");
                }
                // The task catches every panic, and nothing aborts it.
                Err(error) => tracing::debug!(%error, "handshake stopped"),
            },
            () = evictable, if full => half_open.evict_oldest(clock::now()),
            () = sleep_until(permitted.into()), if paced => {}
            accepted = listener.accept(), if waiting.is_none() => match accepted {
                Ok((transport, from)) => {
                    inject::point("listener", shared.name.as_str());
                    counters.net_accepted.one();
                    let host = from.ip().to_canonical();
                    if shared.known_hosts.contains(host) && half_open.has_room_for(host) {
                        counters.net_accepted_known.one();
                        let (evict, control) = control();
                        let offer = Offer::new(own_hello.clone(), shared.security.as_ref());
                        let (this, events) = (shared.clone(), events.clone());
                        let handshake = shake_hands(transport, from, offer, control, this, events);
                        let handshake = handshake.instrument(shared.span.clone());
                        half_open.begin_known(handshake, host, evict);
                    } else {
                        waiting = Some((transport, from));
                    }
                }
                Err(error) => {
                    counters.net_accept_errors.one();
                    tracing::warn!(%error, "accepting a connection failed");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
}

/// Runs a handshake. A panic is its result.
async fn shake_hands(
    transport: Transport,
    from: SocketAddr,
    offer: Offer,
    control: Control,
    shared: Arc<Shared>,
    events: mpsc::Sender<NetworkEvent>,
) -> Completed {
    let handshake = async {
        inject::point("handshake", shared.name.as_str());
        let completed = complete_handshake(transport, &offer, control).await;
        if let Err(Unfinished::Failed(DialError::Auth(error))) = &completed {
            let denied = Input::Denied { from, dialled: false, error: error.clone() };
            // The send fails only while the node closes.
            let _ = events.send(NetworkEvent::Input(denied)).await;
        }
        completed
    };
    let completed = tasks::observe("handshake", &shared.counters, handshake).await;
    completed.unwrap_or_else(|panicked| Err(Unfinished::Panicked(panicked)))
}

/// The result of a handshake.
type Completed = Result<(Transport, Met), Unfinished>;

/// Why a handshake ended without a connection.
#[derive(Debug)]
enum Unfinished {
    Failed(DialError),
    /// It gave its place to another one.
    Evicted,
    /// An error of this library, which was counted and logged.
    Panicked(Panicked),
}

/// The connections in the handshake.
#[derive(Debug)]
struct HalfOpen {
    tasks: JoinSet<Completed>,
    /// Those of strangers that have a place, the oldest first.
    places: VecDeque<Place>,
    /// Those of known hosts. They are not evicted.
    known: Vec<KnownPlace>,
    /// The time that a stranger has.
    evict_after: Duration,
    /// The number of strangers evicted since that time was set.
    evicted: usize,
    /// How many handshakes with strangers may begin.
    pace: TokenBucket,
}

/// The place of one handshake with a known host.
#[derive(Debug)]
struct KnownPlace {
    host: IpAddr,
    task: Id,
    _evict: Evict,
}

impl Default for HalfOpen {
    fn default() -> Self {
        Self {
            tasks: JoinSet::new(),
            places: VecDeque::new(),
            known: Vec::new(),
            evict_after: EVICT_AFTER_MAX,
            evicted: 0,
            pace: TokenBucket::new(STRANGER_INTERVAL, STRANGER_BURST, clock::now()),
        }
    }
}

/// The place of one handshake.
#[derive(Debug)]
struct Place {
    since: Instant,
    task: Id,
    evict: Evict,
}

/// Evicts a handshake when it is dropped, and tells how far the handshake has come.
#[derive(Debug)]
struct Evict {
    _sender: oneshot::Sender<()>,
    progress: Arc<Progress>,
}

/// The other side of an [`Evict`].
struct Control {
    evicted: oneshot::Receiver<()>,
    progress: Arc<Progress>,
}

fn control() -> (Evict, Control) {
    let (sender, evicted) = oneshot::channel();
    let progress = Arc::new(Progress::default());
    (Evict { _sender: sender, progress: progress.clone() }, Control { evicted, progress })
}

impl HalfOpen {
    fn has_room(&self) -> bool {
        self.places.len() < HALF_OPEN_MAX
    }

    /// Whether a handshake with a stranger may begin, which counts as begun.
    fn permits_stranger(&mut self, now: Instant) -> bool {
        self.has_room() && self.pace.take(now)
    }

    /// When a handshake with a stranger may begin, if there is a place.
    fn permitted_at(&self, now: Instant) -> Instant {
        self.pace.next(now)
    }

    /// Whether there is a place for a known host.
    fn has_room_for(&self, host: IpAddr) -> bool {
        let of_host = self.known.iter().filter(|place| place.host == host).count();
        self.known.len() < KNOWN_MAX && of_host < KNOWN_PER_HOST_MAX
    }

    fn begin_known(
        &mut self,
        handshake: impl Future<Output = Completed> + Send + 'static,
        host: IpAddr,
        evict: Evict,
    ) {
        let task = self.tasks.spawn(handshake).id();
        self.known.push(KnownPlace { host, task, _evict: evict });
    }

    fn begin(
        &mut self,
        handshake: impl Future<Output = Completed> + Send + 'static,
        evict: Evict,
        since: Instant,
    ) {
        if self.places.len() < HALF_OPEN_MAX / 2 {
            (self.evict_after, self.evicted) = (EVICT_AFTER_MAX, 0);
        }
        let task = self.tasks.spawn(handshake).id();
        self.places.push_back(Place { since, task, evict });
    }

    /// Waits for the end of a handshake, and returns its place. Cancel safe.
    async fn finished(&mut self) -> Result<Completed, JoinError> {
        let Some(finished) = self.tasks.join_next_with_id().await else {
            return std::future::pending().await;
        };
        match finished {
            Ok((id, completed)) => {
                self.vacate(id);
                Ok(completed)
            }
            Err(error) => {
                self.vacate(error.id());
                Err(error)
            }
        }
    }

    /// The next handshake to evict: the oldest of those that have proven least. Those that have proven
    /// more keep at most half of the places: neither recorded prefaces nor a member can take all.
    fn next_evicted(&self) -> Option<usize> {
        let stages = || self.places.iter().map(|place| place.evict.progress.stage());
        [Stage::Silent, Stage::KeyNamed, Stage::KeyProven].into_iter().find_map(|most| {
            let count = stages().filter(|stage| *stage <= most).count();
            let oldest = stages().position(|stage| stage <= most);
            oldest.filter(|_| count >= HALF_OPEN_MAX / 2)
        })
    }

    /// Waits until the handshake that would now be evicted has had its time.
    fn evictable(&self) -> impl Future<Output = ()> + use<> {
        let at = self.next_evicted().map(|index| self.places[index].since + self.evict_after);
        async move {
            match at {
                Some(at) => sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        }
    }

    /// Ends the next handshake to evict, if it has had its time. Its place is free at once.
    fn evict_oldest(&mut self, now: Instant) {
        // Another one, while the caller waited: handshakes make progress.
        let Some(index) = self.next_evicted() else { return };
        if now < self.places[index].since + self.evict_after {
            return;
        }
        self.places.remove(index);
        self.evicted += 1;
        if self.evicted >= HALF_OPEN_MAX {
            self.evict_after = EVICT_AFTER_MIN.max(self.evict_after / 2);
            self.evicted = 0;
        }
    }

    fn vacate(&mut self, task: Id) {
        self.places.retain(|place| place.task != task);
        self.known.retain(|place| place.task != task);
    }
}

/// Exchanges hellos, until that is done or the place is given to another connection.
async fn complete_handshake(
    mut transport: Transport,
    offer: &Offer,
    Control { evicted, progress }: Control,
) -> Completed {
    // A connection that ends here must not leave the listening port in TIME_WAIT.
    transport.reset_when_dropped(true);
    let evicted = async {
        // Fails when the place is taken.
        let _ = evicted.await;
        // On a loaded machine the hello may have arrived and not been read yet. The runtime checks
        // its sockets before its timers, so a hello that is there is read first.
        sleep(EVICT_GRACE).await;
    };
    let met = tokio::select! {
        biased;
        met = handshake::exchange(&mut transport, offer, End::Listener, &progress) => met,
        () = evicted => return Err(Unfinished::Evicted),
    };
    let met = met.map_err(Unfinished::Failed)?;
    transport.reset_when_dropped(false);
    Ok((transport, met))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Begins a handshake with a connection that sends nothing.
    fn begin_silent(half_open: &mut HalfOpen) {
        let (evict, control) = control();
        let handshake = async {
            let _ = control.evicted.await;
            Err(Unfinished::Evicted)
        };
        half_open.begin(handshake, evict, clock::now());
    }

    /// Evicts a handshake, long after all began.
    fn evict(half_open: &mut HalfOpen) {
        half_open.evict_oldest(clock::now() + EVICT_AFTER_MAX);
    }

    #[tokio::test]
    async fn the_oldest_handshake_gives_its_place_after_a_while_and_no_other_does() {
        let mut half_open = HalfOpen::default();
        let begin = clock::now();
        for _ in 0..HALF_OPEN_MAX {
            assert!(half_open.has_room());
            begin_silent(&mut half_open);
        }
        assert!(!half_open.has_room());
        half_open.evictable().await;
        assert!(clock::now() - begin >= EVICT_AFTER_MAX);
        let second = half_open.places[1].task;
        evict(&mut half_open);
        assert!(half_open.has_room());
        assert!(matches!(half_open.finished().await, Ok(Err(Unfinished::Evicted))));
        assert_eq!(half_open.places.len(), HALF_OPEN_MAX - 1);
        assert_eq!(half_open.places[0].task, second);
    }

    #[tokio::test]
    async fn handshakes_that_have_proven_a_key_keep_up_to_half_of_the_places() {
        let mut half_open = HalfOpen::default();
        (0..HALF_OPEN_MAX).for_each(|_| begin_silent(&mut half_open));
        let tasks: Vec<Id> = half_open.places.iter().map(|place| place.task).collect();
        let (proven, named, silent) = (HALF_OPEN_MAX / 4, HALF_OPEN_MAX / 2, HALF_OPEN_MAX / 4);
        for (index, place) in half_open.places.iter().enumerate().take(proven + named) {
            let stage = if index < proven { Stage::KeyProven } else { Stage::KeyNamed };
            place.evict.progress.set(stage);
        }
        let mut evicted = Vec::new();
        for _ in 0..HALF_OPEN_MAX {
            let before: Vec<Id> = half_open.places.iter().map(|place| place.task).collect();
            evict(&mut half_open);
            let now: Vec<Id> = half_open.places.iter().map(|place| place.task).collect();
            evicted.extend(before.into_iter().find(|task| !now.contains(task)));
            begin_silent(&mut half_open);
        }
        // With fewer than half of the places silent, the oldest preface goes, until there are enough.
        let expected = &tasks[proven..proven + HALF_OPEN_MAX / 2 - silent];
        assert_eq!(evicted[..expected.len()], *expected);
        assert!(tasks[..proven].iter().all(|task| !evicted.contains(task)));
        assert_eq!(evicted.len(), HALF_OPEN_MAX);
    }

    #[tokio::test]
    async fn a_handshake_that_has_made_progress_is_not_evicted_for_its_age() {
        let mut half_open = HalfOpen::default();
        (0..HALF_OPEN_MAX).for_each(|_| begin_silent(&mut half_open));
        half_open.places[0].evict.progress.set(Stage::KeyProven);
        half_open.places.iter_mut().skip(1).for_each(|place| place.since += EVICT_AFTER_MAX);
        half_open.evict_oldest(half_open.places[0].since + EVICT_AFTER_MAX);
        assert_eq!(half_open.places.len(), HALF_OPEN_MAX, "the others have not had their time");
    }

    #[tokio::test]
    async fn strangers_have_less_time_in_a_flood_and_all_of_it_afterwards() {
        let mut half_open = HalfOpen::default();
        (0..HALF_OPEN_MAX).for_each(|_| begin_silent(&mut half_open));
        for evicted in 1..=10 * HALF_OPEN_MAX {
            evict(&mut half_open);
            begin_silent(&mut half_open);
            let turns = (evicted / HALF_OPEN_MAX) as u32;
            let expected = EVICT_AFTER_MIN.max(EVICT_AFTER_MAX / 2_u32.pow(turns));
            assert_eq!(half_open.evict_after.as_millis(), expected.as_millis());
        }
        half_open.places.truncate(HALF_OPEN_MAX / 2 - 1);
        begin_silent(&mut half_open);
        assert_eq!(half_open.evict_after, EVICT_AFTER_MAX);
    }

    #[tokio::test]
    async fn strangers_that_end_at_once_are_limited_by_their_rate() {
        let mut half_open = HalfOpen::default();
        let now = clock::now() + Duration::from_secs(1);
        let begun = (0..10_000).filter(|_| half_open.permits_stranger(now)).count();
        assert_eq!(begun, STRANGER_BURST as usize);
        let next = half_open.permitted_at(now);
        assert_eq!(next, now + STRANGER_INTERVAL);
        assert!(half_open.permits_stranger(next) && !half_open.permits_stranger(next));
    }

    #[tokio::test]
    async fn known_hosts_have_places_of_their_own_and_each_of_them_few() {
        let mut half_open = HalfOpen::default();
        (0..HALF_OPEN_MAX).for_each(|_| begin_silent(&mut half_open));
        let host = |number: u8| IpAddr::from([10, 0, 0, number]);
        for number in 0..(KNOWN_MAX / KNOWN_PER_HOST_MAX) as u8 {
            for _ in 0..KNOWN_PER_HOST_MAX {
                assert!(half_open.has_room_for(host(number)));
                let (evict, _) = control();
                half_open.begin_known(std::future::pending(), host(number), evict);
            }
            assert!(!half_open.has_room_for(host(number)));
        }
        assert!(!half_open.has_room_for(host(255)), "all together are bounded");
    }

    #[tokio::test]
    async fn a_finished_handshake_returns_its_place() {
        let mut half_open = HalfOpen::default();
        begin_silent(&mut half_open);
        let (evict, _control) = control();
        let failed = async { Err(Unfinished::Failed(DialError::Closed)) };
        half_open.begin(failed, evict, clock::now());
        assert!(matches!(half_open.finished().await, Ok(Err(Unfinished::Failed(_)))));
        assert_eq!(half_open.places.len(), 1);
    }

    #[tokio::test]
    async fn a_hello_that_has_arrived_is_read_even_if_its_place_is_taken() {
        let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = Listener::open(any).expect("bound");
        let port = listener.port().expect("bound");
        let mut client = std::net::TcpStream::connect(("127.0.0.1", port)).expect("connected");
        let hello = crate::wire::hello::Hello {
            name: crate::name::NodeName::new("a").expect("valid"),
            namespace: crate::name::Namespace::default(),
            instance: crate::name::Instance(1),
            version: String::new(),
            capabilities: 0,
            purpose: Purpose::Dialled,
        };
        std::io::Write::write_all(&mut client, &hello.encode()).expect("written");
        let (transport, _) = listener.accept().await.expect("accepted");
        let (evict, control) = control();
        drop(evict);
        let completed = complete_handshake(transport, &Offer::new(hello, None), control).await;
        assert!(completed.is_ok(), "{completed:?}");
    }
}
