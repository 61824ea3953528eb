//! The control plane: a router, and inputs in any order.
//!
//! ```text
//!  input ──► operation ──► Router::handle ──► outputs: bounded, encodable, only over links
//!              │                               that exist; then Router::check
//!              └─ time passes: Router::handle_timeout at each deadline, or once and late
//! ```
//!
//! The target keeps the rules of a driver, and no others: it never uses the number of a link twice,
//! passes a proof with each link at levels allowed and signed, and drops a link whose frames do not
//! decode. Peers may send anything.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use meshage::config::{DEGREE_MAX, MSA_TIMEOUT_MAX, MSA_TIMEOUT_MIN};
use meshage::error::{DialError, HangupError};
use meshage::event::LinkEnd;
use meshage::name::LinkId;
use meshage::protocol::flooding::TREE_NODES_MIN;
use meshage::protocol::io::{
    Command, DialId, Input as Event, Output, PeerProof, Reply, RequestId, Role,
};
use meshage::protocol::router::{Router, RouterConfig};
use meshage::protocol::wall_clock::WallClock;
use meshage::secure::{AuthError, Policy, Refusal, UnixMillis};
use meshage::wire::control::ControlFrame;
use meshage::wire::hello::{Hello, Purpose};
use meshage::wire::solicitation::Solicitation;
use meshage::{Instance, Namespace, NodeName, Stats};

use super::behaviour::Behaviour;
use super::control_frames::{self, Level, node_name};
use super::input::Input;
use super::members::{Member, Members, OWN_NAME, START, name};
use super::start;

/// The most operations of an input.
const OPERATIONS_MAX: usize = 200;
/// The most deadlines of an input that are met in time. After them, time passes in jumps.
const WAKES_MAX: usize = 400;
/// The most wakeups at one point in time. A router that needs more works without progress.
const IMMEDIATE_WAKES_MAX: usize = 100;
/// The outputs of one call, in addition to [`OUTPUTS_PER_LINK`] for each link and node known.
const OUTPUTS_BASE: usize = 64;
const OUTPUTS_PER_LINK: usize = 8;
const PURPOSES: [Purpose; 3] = [Purpose::Dialled, Purpose::Solicited, Purpose::Bridge];

/// Runs the operations of an input.
pub(crate) fn run(bytes: &[u8], behaviour: &mut Behaviour) {
    let mut world = World::new(Input::new(bytes), behaviour);
    world.settle();
    for _ in 0..OPERATIONS_MAX {
        if world.input.is_empty() {
            break;
        }
        world.operate();
    }
    world.end();
}

/// A connection that the router was told of.
#[derive(Debug, Clone)]
struct Peer {
    name: NodeName,
    instance: Instance,
}

struct World<'a> {
    input: Input<'a>,
    behaviour: &'a mut Behaviour,
    router: Router,
    level: Level,
    /// What the handshakes of this node require, at levels allowed and signed.
    policy: Option<Policy>,
    clock: WallClock,
    now: Instant,
    wakes: usize,
    /// The connections that are open.
    open: BTreeMap<LinkId, Peer>,
    next_link: u64,
    /// The dials without a result.
    dials: VecDeque<DialId>,
    /// The application's requests without a reply.
    requests: BTreeMap<RequestId, &'static str>,
    next_request: u64,
    /// The last frame that the router has sent.
    echo: Option<ControlFrame>,
}

impl<'a> World<'a> {
    fn new(mut input: Input<'a>, behaviour: &'a mut Behaviour) -> Self {
        let level = input.pick(&Level::ALL);
        let now = start();
        let membership = match level {
            Level::Plain => None,
            Level::Allowed | Level::Signed => Some(Members::get().config(level == Level::Signed)),
        };
        let policy = membership.as_ref().map(|membership| membership.policy.clone());
        let config = RouterConfig {
            name: name(OWN_NAME),
            namespace: Namespace::default(),
            version: String::new(),
            degree: input.below(6) as u32,
            listen_port: 9000,
            msa_timeout: input.pick(&[MSA_TIMEOUT_MIN, Duration::from_secs(10), MSA_TIMEOUT_MAX]),
            seeds: (0..input.below(3)).map(|seed| format!("seed{seed}")).collect(),
            membership,
            tree_nodes_min: input.pick(&[TREE_NODES_MIN, 0, 3]),
        };
        let router = Router::new(config, level.own_instance(), [input.byte(); 32], now);
        Self {
            input,
            behaviour,
            router,
            level,
            policy,
            clock: WallClock::new(now, START),
            now,
            wakes: 0,
            open: BTreeMap::new(),
            next_link: 1,
            dials: VecDeque::new(),
            requests: BTreeMap::new(),
            next_request: 1,
            echo: None,
        }
    }

    fn operate(&mut self) {
        match self.input.below(32) {
            0 | 1 => {
                self.link_up();
            }
            2..5 => self.join(),
            5..13 => {
                let frame = control_frames::frame(&mut self.input, self.level);
                self.receive(frame);
            }
            13 => self.receive_bytes(),
            14 => {
                let end = match self.input.below(4) {
                    0 => LinkEnd::Broken("reset".into()),
                    1 => LinkEnd::Breach("a frame of 0 bytes".into()),
                    2 => LinkEnd::Auth(auth_error(&mut self.input)),
                    _ => LinkEnd::Closed,
                };
                if let Some(link) = self.pick_link() {
                    self.open.remove(&link);
                    self.handle(Event::LinkDown { link, end });
                }
            }
            15 => {
                let links: Vec<LinkId> = self.open.keys().copied().collect();
                for link in links {
                    self.handle(Event::BytesReceived { link });
                }
            }
            16 | 17 => self.solicited(),
            18 => {
                let beacon = self.input.flag();
                let reason = ["no network", "refused"][self.input.below(2)].into();
                self.handle(Event::SolicitationUnsent { beacon, reason });
            }
            19 => self.handle(Event::NetworkChanged),
            20 => {
                let unix = UnixMillis(
                    START.0.wrapping_add_signed(self.input.number() as i64 >> self.input.below(40)),
                );
                self.clock = WallClock::new(self.now, unix);
                self.handle(Event::WallClock(unix));
            }
            21 => self.dial_failed(),
            22 => {
                let (from, dialled) = (address(&mut self.input), self.input.flag());
                let error = auth_error(&mut self.input);
                self.handle(Event::Denied { from, dialled, error });
            }
            23 | 24 => self.command(),
            25 => {
                let time = self.input.time();
                self.pass(time);
            }
            26 | 27 => self.pass_to_timeout(),
            28 => {
                // The process got no processor time for a while.
                self.now += self.input.time() * 60;
                self.router.handle_timeout(self.now);
                self.settle();
            }
            29 => {
                let settled = self.router.settle_routes(self.now);
                assert!(settled || self.router.has_pending_routes(), "routes settle, or will");
                self.settle();
            }
            30 => {
                if let Some(frame) = self.echo.clone() {
                    self.receive(frame);
                }
            }
            _ => self.pass(Duration::from_millis(300)),
        }
    }

    /// Passes an input to the router, and processes what follows.
    fn handle(&mut self, event: Event) {
        self.behaviour.during(control_frames::kind(&event));
        self.router.handle(event, self.now);
        self.settle();
    }

    /// Drains the outputs, and checks them and the router.
    fn settle(&mut self) {
        let mut outputs = 0;
        while let Some(output) = self.router.poll_output() {
            outputs += 1;
            if outputs > OUTPUTS_BASE {
                let outputs_max = self.outputs_max();
                assert!(outputs <= outputs_max, "more than {outputs_max} outputs of one call");
            }
            self.process(output);
        }
        self.behaviour.count("outputs", outputs as u64);
        self.router.check();
    }

    /// The most outputs of one call.
    fn outputs_max(&self) -> usize {
        let mut stats = Stats::default();
        self.router.count(&mut stats);
        let nodes = stats.value("database_nodes").unwrap_or_default() as usize;
        OUTPUTS_BASE + OUTPUTS_PER_LINK * (self.open.len() + 1) * (nodes + 1)
    }

    fn process(&mut self, output: Output) {
        self.behaviour.note("output", &output);
        match output {
            Output::Send { link, frame } => {
                assert!(self.open.contains_key(&link), "invariant S9: {link} is open: {frame:?}");
                let decoded = ControlFrame::decode(frame.encode().payload());
                assert_eq!(decoded.as_ref(), Ok(&frame), "a frame that is sent can be read");
                self.echo = Some(frame);
            }
            Output::KeepAlive { link }
            | Output::PaddedKeepAlive { link }
            | Output::Probe { link } => {
                assert!(self.open.contains_key(&link), "invariant S9: {link} is open");
            }
            Output::Solicit(solicitation) => {
                let decoded = Solicitation::decode(&solicitation.encode());
                assert_eq!(decoded.as_ref(), Ok(&solicitation), "a datagram can be read");
            }
            Output::Dial { dial, .. } => self.dials.push_back(dial),
            Output::Close { link, .. } => {
                let open = self.open.remove(&link);
                assert!(open.is_some(), "invariant S9: {link} is closed once");
            }
            Output::Install(routes) => {
                assert!(routes.contains(self.level.own_instance()), "a node reaches itself");
            }
            Output::Revocations(revocations) => {
                let policy = self.policy.as_mut().expect("only where names are bound");
                policy.revocations = revocations;
            }
            Output::Event(_) => {}
            Output::Reply { request, reply } => {
                let expected = match reply {
                    Reply::Dial(_) => "dial",
                    Reply::Hangup(_) => "hangup",
                };
                let asked = self.requests.remove(&request);
                assert_eq!(asked, Some(expected), "each request has one reply");
            }
        }
    }

    /// One of the open links, if there is one.
    fn pick_link(&mut self) -> Option<LinkId> {
        let at = self.input.below(self.open.len().clamp(1, 256));
        self.open.keys().nth(at).copied()
    }

    fn receive(&mut self, frame: ControlFrame) {
        if let Some(link) = self.pick_link() {
            self.handle(Event::Control { link, frame });
        }
    }

    /// A control frame of any bytes arrives.
    fn receive_bytes(&mut self) {
        let payload = self.input.bytes(255);
        let Some(link) = self.pick_link() else { return };
        match ControlFrame::decode(payload) {
            Ok(frame) => self.handle(Event::Control { link, frame }),
            Err(error) => {
                self.open.remove(&link);
                let end = LinkEnd::Breach(error.0);
                self.handle(Event::LinkDown { link, end });
            }
        }
    }

    /// A connection comes up. Returns its number, if it is open then.
    fn link_up(&mut self) -> Option<LinkId> {
        let role = match (self.input.flag(), self.dials.pop_front()) {
            (true, Some(dial)) => Role::Dialler(dial),
            (true, None) => Role::Dialler(DialId(self.input.number())),
            (false, dial) => {
                self.dials.extend(dial);
                Role::Listener
            }
        };
        let purpose = self.input.pick(&PURPOSES);
        let own = self.router.hello(purpose);
        let member = Members::get().pick(&mut self.input);
        let (name, instance) = match self.level {
            Level::Plain => (node_name(&mut self.input), self.level.instance(&mut self.input)),
            Level::Allowed | Level::Signed => (member.name.clone(), member.instance),
        };
        let hello = Hello { name, instance, purpose, ..own };
        let proof = match self.prove(member) {
            Ok(proof) => proof,
            Err(error) => {
                if let Role::Dialler(dial) = role {
                    self.handle(Event::DialFailed { dial, error: DialError::Auth(error) });
                } else {
                    let from = address(&mut self.input);
                    self.handle(Event::Denied { from, dialled: false, error });
                }
                return None;
            }
        };
        let link = LinkId(self.next_link);
        self.next_link += 1;
        self.open.insert(link, Peer { name: hello.name.clone(), instance });
        self.handle(Event::LinkUp { link, role, hello, proof });
        self.open.contains_key(&link).then_some(link)
    }

    /// What the handshake with a member leads to.
    fn prove(&self, member: &Member) -> Result<Option<PeerProof>, AuthError> {
        let Some(policy) = &self.policy else { return Ok(None) };
        let (public_key, ticket) = (member.identity.public_key(), member.ticket.clone());
        let unix = self.clock.unix(self.now);
        let grant = policy.admit(&member.name, &public_key, ticket.as_deref(), unix)?;
        Ok(Some(PeerProof { public_key, grant, ticket }))
    }

    /// A connection comes up and becomes a full link, as far as the router admits it.
    fn join(&mut self) {
        let Some(link) = self.link_up() else { return };
        let Peer { name, instance } = self.open[&link].clone();
        let announcement = control_frames::announcement(&mut self.input, self.level);
        let mut announcement =
            meshage::wire::control::Announcement { name, instance, leaving: false, ..announcement };
        if !announcement.peers.contains(&self.level.own_instance()) {
            announcement.peers.push(self.level.own_instance());
            announcement.peers.sort_unstable();
        }
        let sequence = announcement.sequence;
        let announced = match self.level {
            Level::Plain => ControlFrame::Announce(announcement),
            Level::Allowed | Level::Signed => {
                let signed = self.level == Level::Signed;
                let frame = Members::get().sign(announcement, signed, &mut self.input);
                ControlFrame::SignedAnnounce(Box::new(frame))
            }
        };
        let digest = ControlFrame::Digest { entries: vec![(instance, sequence)], last: true };
        let admit = ControlFrame::Admit { other_link: self.input.flag() };
        for frame in [admit, digest, announced, ControlFrame::Synced] {
            if self.open.contains_key(&link) {
                self.handle(Event::Control { link, frame });
            }
        }
    }

    fn solicited(&mut self) {
        let namespace = match self.input.below(16) {
            0 => Namespace::new("other").expect("valid"),
            _ => Namespace::default(),
        };
        let solicitation = Solicitation {
            namespace,
            name: node_name(&mut self.input),
            instance: self.level.instance(&mut self.input),
            port: self.input.number() as u16,
            wanted: self.input.number() as u32,
        };
        let from = address(&mut self.input);
        self.handle(Event::Solicited { from, solicitation });
    }

    fn dial_failed(&mut self) {
        let dial = match self.dials.pop_front() {
            Some(dial) => dial,
            None => DialId(self.input.number()),
        };
        let error = match self.input.below(6) {
            0 => DialError::Connect(std::io::ErrorKind::ConnectionRefused.into()),
            1 => DialError::Timeout(Duration::from_secs(10)),
            2 => DialError::Resolve("seed0".into(), "no such host".into()),
            3 => DialError::Handshake("it does not use the mesh protocol".into()),
            4 => DialError::Broken("closed".into()),
            _ => DialError::Auth(auth_error(&mut self.input)),
        };
        self.handle(Event::DialFailed { dial, error });
    }

    fn request(&mut self, kind: &'static str) -> RequestId {
        let request = RequestId(self.next_request);
        self.next_request += 1;
        self.requests.insert(request, kind);
        request
    }

    fn command(&mut self) {
        let command = match self.input.below(16) {
            0..3 => {
                let address = ["a", "b:1", "[::1]:9000", "seed0"][self.input.below(4)].into();
                Command::Dial { request: self.request("dial"), address }
            }
            3 => {
                let request = RequestId(self.input.number());
                // A canceled dial needs no reply.
                if self.requests.get(&request) == Some(&"dial") {
                    self.requests.remove(&request);
                }
                Command::CancelDial { request }
            }
            4 | 5 => {
                let peer = node_name(&mut self.input);
                Command::Hangup { request: self.request("hangup"), peer }
            }
            6..9 => Command::SetDegree(self.input.number().min(u64::from(DEGREE_MAX)) as u32),
            9 => {
                let period = Duration::from_millis(self.input.number().min(1 << 40));
                Command::SetMsaTimeout(period.clamp(MSA_TIMEOUT_MIN, MSA_TIMEOUT_MAX))
            }
            10..12 => Command::Announce,
            12 => Command::KeysChanged,
            13 | 14 => {
                let revocation = Members::get().pick(&mut self.input).revocation.as_slice();
                Command::Revoke(revocation.into())
            }
            _ if self.input.below(4) == 0 => Command::Close,
            _ => Command::Announce,
        };
        self.handle(Event::Command(command));
    }

    /// Lets time pass. Deadlines on the way are met.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        let mut immediate = 0;
        while let Some((at, timer)) = self.router.poll_timeout().filter(|(at, _)| *at <= end) {
            if self.wakes >= WAKES_MAX {
                self.now = end;
                self.router.handle_timeout(end);
                self.settle();
                break;
            }
            self.wakes += 1;
            immediate = if at > self.now { 0 } else { immediate + 1 };
            let stalls = immediate > IMMEDIATE_WAKES_MAX;
            assert!(!stalls, "invariant S11: {timer:?} wakes the router without progress");
            self.now = self.now.max(at);
            self.behaviour.during("timeout");
            self.router.handle_timeout(self.now);
            self.settle();
        }
        self.now = end;
    }

    fn pass_to_timeout(&mut self) {
        if let Some((at, timer)) = self.router.poll_timeout() {
            self.behaviour.note("timer", &timer);
            self.pass(at.saturating_duration_since(self.now));
        }
    }

    /// Closes the router: then all requests have their replies, and nothing is left to do.
    fn end(&mut self) {
        let mut stats = Stats::default();
        self.router.count(&mut stats);
        for (counter, value) in stats.iter() {
            self.behaviour.count(counter, value);
        }
        self.behaviour.count("open links", self.open.len() as u64);
        self.handle(Event::Command(Command::Close));
        assert!(self.open.is_empty(), "invariant C10: a closed router has closed its links");
        assert!(self.requests.is_empty(), "a closed router has replied: {:?}", self.requests);
        let request = self.request("hangup");
        self.handle(Event::Command(Command::Hangup { request, peer: name("a") }));
        assert!(self.requests.is_empty(), "{}", HangupError::Closed);
        self.pass(Duration::from_secs(60));
    }
}

fn address(input: &mut Input<'_>) -> SocketAddr {
    let host = [10, 0, input.byte() % 2, input.byte() % 4];
    SocketAddr::from((host, input.number() as u16))
}

fn auth_error(input: &mut Input<'_>) -> AuthError {
    match input.below(6) {
        0 => AuthError::PeerIsOpen,
        1 => AuthError::PeerIsClosed { heard: Vec::new() },
        2 => AuthError::NoCommonKey { own: Vec::new(), heard: Vec::new() },
        3 => AuthError::NotAuthentic("a record"),
        4 => AuthError::NotAllowed("a".into()),
        _ => AuthError::RefusedByPeer(Refusal::Ticket),
    }
}
