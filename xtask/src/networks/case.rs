//! The cases: the network, the nodes, what goes wrong, and the limits.

use std::time::Duration;

/// How the nodes of a case find each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Discovery {
    /// By datagrams to all.
    Beacons,
    /// By the addresses of the first two nodes. Datagrams to all are dropped.
    Seeds,
    /// By datagrams to all, without an IPv4 address.
    BeaconsV6,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The lines of all nodes in this direction have these impairments.
    Impair(&'static str, &'static str),
    /// Nothing reaches or leaves the last node.
    Cut,
    /// Nothing leaves the last node.
    OneWay,
    /// The nodes are in two halves.
    Partition,
    /// The last node is cut off and back, again and again: for so many milliseconds.
    Flap(u64, u64),
    /// The last node is killed and started, again and again.
    Kill,
    /// The last node is stopped, and goes on.
    Stop,
    /// Each node has two networks. One passes nothing for the time of the fault, then the other one.
    LoseNetwork,
    /// The last node gets another address.
    ChangeAddress,
    /// The last node may open no more files, and loses its links meanwhile.
    FullTable,
}

impl Fault {
    /// Whether the bridge must have dropped frames. Otherwise nothing went wrong, and the case shows
    /// nothing.
    pub(super) fn drops_frames(self) -> bool {
        match self {
            Self::Impair(_, settings) => ["loss=", "mtu="].iter().any(|key| settings.contains(key)),
            Self::Cut | Self::OneWay | Self::Flap(..) | Self::LoseNetwork | Self::FullTable => true,
            // Frames of other groups are not sent there at all.
            Self::Partition | Self::Kill | Self::Stop | Self::ChangeAddress => false,
        }
    }
}

/// Whether a link between nodes that can reach each other may be closed as silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SilentLinks {
    Forbidden,
    Counted,
}

/// One case.
#[derive(Debug, Clone, Copy)]
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) what: &'static str,
    pub(super) nodes: usize,
    pub(super) degree: u32,
    pub(super) discovery: Discovery,
    pub(super) fault: Fault,
    /// How long the fault lasts.
    pub(super) seconds: u64,
    /// How long it lasts in `cargo xtask test scenarios`, if it is one of the cases there.
    pub(super) short: Option<u64>,
    /// The lengths of bodies.
    pub(super) sizes: &'static str,
    /// The milliseconds between two sends of a node.
    pub(super) interval: u64,
    /// The time limit from the end of the fault until all nodes see each other.
    pub(super) back: Duration,
    /// The time limit from the fault until the other nodes see that the last one is gone.
    pub(super) notice: Option<Duration>,
    pub(super) silent: SilentLinks,
    /// How long the nodes send before something goes wrong.
    pub(super) before: Duration,
}

/// The name of the case that measures the traffic of a mesh at rest, which has no fault.
pub(super) const IDLE: &str = "idle";
/// What it is about.
pub(super) const IDLE_WHAT: &str = "32 nodes at rest, degree 3: all traffic on the wire";

const BY_BEACON: Duration = Duration::from_secs(10);
const BY_SEED: Duration = Duration::from_secs(2);
/// A silent peer on a local network is noticed in this time.
const SILENT_MAX: Duration = Duration::from_secs(2);
/// Small messages, some of one kilobyte, and bodies of several frames.
const MIXED: &str = "16,1000,100,20000,16,150000";
/// The same for 128 kbit/s, which a frame of 30,000 bytes fills for 2 s.
const SLOW: &str = "16,1000,30000";

/// The properties that most cases have.
const USUAL: Case = Case {
    name: "",
    what: "",
    nodes: 6,
    degree: 3,
    discovery: Discovery::Beacons,
    fault: Fault::Cut,
    seconds: 10,
    short: None,
    sizes: MIXED,
    interval: 100,
    back: BY_BEACON,
    notice: None,
    silent: SilentLinks::Counted,
    before: Duration::from_secs(2),
};

/// A node observes a link for 8 s before it relies on what it observed
/// (`meshage/src/protocol/silence.rs`). The time until a silence is noticed is judged after that.
const OBSERVED: Case = Case { before: Duration::from_secs(10), ..USUAL };

/// What nodes send is impaired: each frame once on its way.
const fn impaired(name: &'static str, what: &'static str, with: &'static str) -> Case {
    Case { name, what, fault: Fault::Impair("up", with), seconds: 15, ..USUAL }
}

/// Every case but `idle`, in the order in which they run.
pub(super) const ALL: &[Case] = &[
    Case { short: Some(5), ..impaired("loss-5", "5 % of the frames are lost", "loss=5") },
    impaired("loss-20", "20 % of the frames are lost", "loss=20"),
    Case {
        silent: SilentLinks::Forbidden,
        ..impaired("delay-200", "each frame takes 200 ms", "delay=200")
    },
    impaired(
        "disorder",
        "frames take 5 to 25 ms and overtake others, and 5 % arrive twice",
        "delay=5 jitter=20 duplicate=5",
    ),
    Case {
        interval: 400,
        silent: SilentLinks::Forbidden,
        fault: Fault::Impair("both", "kbit=1000 queue=3000"),
        ..impaired("rate-1m", "1 Mbit/s, with a queue of 3 s", "")
    },
    Case {
        nodes: 3,
        interval: 1000,
        sizes: SLOW,
        silent: SilentLinks::Forbidden,
        fault: Fault::Impair("both", "kbit=128 queue=4000"),
        ..impaired("rate-128k", "128 kbit/s, with a queue of 4 s", "")
    },
    Case {
        name: "black-hole",
        what: "a node is cut off for 30 s, without a reset",
        seconds: 30,
        notice: Some(SILENT_MAX),
        ..OBSERVED
    },
    Case {
        name: "black-hole-seeds",
        what: "the same, with seeds alone: datagrams to all are dropped",
        discovery: Discovery::Seeds,
        seconds: 30,
        short: Some(5),
        back: BY_SEED,
        notice: Some(SILENT_MAX),
        ..OBSERVED
    },
    Case {
        name: "partition",
        what: "two halves of 16 nodes are separate for 20 s",
        nodes: 16,
        interval: 250,
        seconds: 20,
        fault: Fault::Partition,
        ..USUAL
    },
    Case {
        name: "one-way",
        what: "nothing leaves one node for 10 s",
        fault: Fault::OneWay,
        short: Some(5),
        notice: Some(SILENT_MAX),
        ..OBSERVED
    },
    Case {
        name: "flapping",
        what: "a node is cut off for half of each second",
        fault: Fault::Flap(500, 500),
        seconds: 15,
        ..USUAL
    },
    Case {
        name: "flapping-slowly",
        what: "a node is cut off for 3 of 4 seconds, so that links end and begin",
        fault: Fault::Flap(3000, 1000),
        seconds: 24,
        ..USUAL
    },
    Case {
        name: "mtu-hole",
        what: "frames above 600 bytes are dropped silently",
        fault: Fault::Impair("up", "mtu=600"),
        seconds: 15,
        ..USUAL
    },
    Case {
        name: "kill",
        what: "a node is killed and started again and again",
        nodes: 5,
        fault: Fault::Kill,
        seconds: 15,
        short: Some(5),
        ..USUAL
    },
    Case {
        name: "stop-5",
        what: "a process is stopped for 5 s",
        fault: Fault::Stop,
        seconds: 5,
        notice: Some(SILENT_MAX),
        ..OBSERVED
    },
    Case {
        name: "stop-30",
        what: "a process is stopped for 30 s",
        fault: Fault::Stop,
        seconds: 30,
        notice: Some(SILENT_MAX),
        ..OBSERVED
    },
    Case {
        name: "two-networks",
        what: "each node has two networks; one dies, then the other one instead",
        fault: Fault::LoseNetwork,
        ..OBSERVED
    },
    Case {
        name: "address",
        what: "the address of a node changes",
        fault: Fault::ChangeAddress,
        ..OBSERVED
    },
    Case {
        name: "address-seeds",
        what: "the address of a node changes, and there are seeds alone",
        discovery: Discovery::Seeds,
        fault: Fault::ChangeAddress,
        back: BY_SEED,
        short: Some(5),
        ..OBSERVED
    },
    Case {
        name: "ipv6",
        what: "a node is cut off, and there is no IPv4 address",
        discovery: Discovery::BeaconsV6,
        notice: Some(SILENT_MAX),
        ..OBSERVED
    },
    Case {
        name: "descriptors",
        what: "a node may open no more files, and loses its links meanwhile",
        fault: Fault::FullTable,
        ..USUAL
    },
];
