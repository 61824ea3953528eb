//! The cases: what each measures, with which processes, and in which unit.
//!
//! The cases of a group run together, in turn, because their figures are compared with each other.

/// The unit of a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// µs
    Micros,
    /// ms
    Millis,
    /// messages/s
    Messages,
    /// links/s
    Links,
    /// MB/s, of 10⁶ bytes
    MegabytesPerSecond,
    /// MB, of 10⁶ bytes
    Megabytes,
}

impl Unit {
    /// The unit as it is written in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Micros => "µs",
            Self::Millis => "ms",
            Self::Messages => "messages/s",
            Self::Links => "links/s",
            Self::MegabytesPerSecond => "MB/s",
            Self::Megabytes => "MB",
        }
    }

    /// Whether a lower figure is better.
    pub(crate) fn lower_is_better(self) -> bool {
        match self {
            Self::Micros | Self::Millis | Self::Megabytes => true,
            Self::Messages | Self::Links | Self::MegabytesPerSecond => false,
        }
    }

    /// Whether it is a unit of time, whose rounds have percentiles.
    pub(crate) fn is_time(self) -> bool {
        match self {
            Self::Micros | Self::Millis => true,
            Self::Messages | Self::Links | Self::MegabytesPerSecond | Self::Megabytes => false,
        }
    }
}

/// The processes of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A driver and a server, with this number of relays between them.
    Driven { relays: usize },
    /// A driver without a server.
    DriverOnly,
    /// A server whose memory is measured, with or without a driver that links to it.
    Memory { with_driver: bool },
}

/// The driver that a case uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Driver {
    /// The system's own driver.
    Own,
    /// The driver of the Rust system of the same kind (`System::driver`), because the case measures
    /// the receiver.
    Rust,
}

/// One case.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    /// Its name, with the variant: `set_rtt@same`.
    pub(crate) name: &'static str,
    /// The group: its cases run together.
    pub(crate) group: &'static str,
    /// A description for tables.
    pub(crate) description: &'static str,
    pub(crate) unit: Unit,
    pub(crate) shape: Shape,
    pub(crate) driver: Driver,
    /// Further arguments of the workers.
    pub(crate) keys: &'static [&'static str],
}

impl Case {
    /// Its name without the variant. The workers know only this name.
    pub(crate) fn base(&self) -> &'static str {
        self.name.split('@').next().unwrap_or(self.name)
    }

    /// Whether all of its processes run on one core.
    pub(crate) fn is_pinned(&self) -> bool {
        self.name.ends_with("@same")
    }

    /// The case with this name.
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|case| case.name == name)
    }
}

const PAIR: Shape = Shape::Driven { relays: 0 };
const ONE_RELAY: Shape = Shape::Driven { relays: 1 };
const THREE_RELAYS: Shape = Shape::Driven { relays: 3 };

const fn case(
    group: &'static str,
    name: &'static str,
    unit: Unit,
    shape: Shape,
    keys: &'static [&'static str],
    description: &'static str,
) -> Case {
    Case { name, group, description, unit, shape, driver: Driver::Own, keys }
}

/// The same case with a Rust driver for systems in other languages.
const fn driven_by_rust(case: Case) -> Case {
    Case { driver: Driver::Rust, ..case }
}

/// The number of concurrent callers, and of outstanding messages. The project's targets are stated
/// for 64 and 1,000.
const CALLERS: &[&str] = &["window=64"];
const WINDOW: &[&str] = &["window=1000"];
/// Large bodies, with enough of them outstanding to keep a link busy.
const MIB_1: &[&str] = &["size=1048576", "window=4"];
const MIB_64: &[&str] = &["size=67108864", "window=2"];
const NO_BODY: &[&str] = &["size=0"];

const NEIGHBOURS: &[&str] = &["neighbours=16"];
const MESH: &[&str] = &["mesh=64"];
const NO_LINKS: &[&str] = &["links=0"];
const LINKS: &[&str] = &["links=16"];

/// Every case, in the order in which they run.
pub(crate) const ALL: &[Case] = &{
    use Unit::{Links, Megabytes, MegabytesPerSecond, Messages, Micros, Millis};
    [
        case("rtt", "set_rtt", Micros, PAIR, &[], "64 B, acknowledged; two cores"),
        case("rtt@same", "set_rtt@same", Micros, PAIR, &[], "64 B, acknowledged; one core"),
        case("64", "set_64", Messages, PAIR, CALLERS, "64 concurrent callers, 64 B, acknowledged"),
        case("64", "relay_64@1", Messages, ONE_RELAY, CALLERS, "the same through one relay"),
        case("64", "relay_64@3", Messages, THREE_RELAYS, CALLERS, "the same through three relays"),
        case(
            "window",
            "set_window",
            Messages,
            PAIR,
            WINDOW,
            "1,000 outstanding, 64 B, acknowledged",
        ),
        case("window", "relay_window@1", Messages, ONE_RELAY, WINDOW, "the same through one relay"),
        case(
            "window",
            "relay_window@3",
            Messages,
            THREE_RELAYS,
            WINDOW,
            "the same through three relays",
        ),
        case("window", "stream_unacked", Messages, PAIR, &[], "64 B, one way, unacknowledged"),
        case(
            "large",
            "large",
            MegabytesPerSecond,
            PAIR,
            MIB_1,
            "1 MiB, acknowledged, 4 outstanding",
        ),
        case(
            "large@64MiB",
            "large@64MiB",
            MegabytesPerSecond,
            PAIR,
            MIB_64,
            "64 MiB, acknowledged, 2 outstanding",
        ),
        case(
            "beside",
            "large_beside@alone",
            Micros,
            PAIR,
            NO_BODY,
            "64 B, no other traffic on the link",
        ),
        case("beside", "large_beside@1MiB", Micros, PAIR, MIB_1, "64 B beside bodies of 1 MiB"),
        case("beside", "large_beside@64MiB", Micros, PAIR, MIB_64, "64 B beside bodies of 64 MiB"),
        case("relay", "relay_rtt@1", Micros, ONE_RELAY, &[], "64 B, one relay; two cores"),
        case("relay", "relay_rtt@3", Micros, THREE_RELAYS, &[], "64 B, three relays; two cores"),
        case("relay@same", "relay_rtt@1@same", Micros, ONE_RELAY, &[], "64 B, one relay; one core"),
        case(
            "relay@same",
            "relay_rtt@3@same",
            Micros,
            THREE_RELAYS,
            &[],
            "64 B, three relays; one core",
        ),
        case(
            "fanout",
            "fanout@16",
            Micros,
            PAIR,
            NEIGHBOURS,
            "64 B to 16 neighbours, until the last has it",
        ),
        case(
            "fanout",
            "fanout@mesh64",
            Micros,
            PAIR,
            MESH,
            "64 B to 63 nodes, until the last has it",
        ),
        driven_by_rust(case(
            "recv",
            "recv_many",
            Messages,
            PAIR,
            WINDOW,
            "64 B from a Rust sender, received in batches",
        )),
        driven_by_rust(case(
            "recv",
            "recv_for",
            Messages,
            PAIR,
            WINDOW,
            "64 B from a Rust sender, received one by one",
        )),
        case("handshake", "handshake", Links, PAIR, &[], "dial and hangup, one after the other"),
        case("spf", "spf@100", Millis, Shape::DriverOnly, &["nodes=100"], "routes of 100 nodes"),
        case(
            "spf",
            "spf@1000",
            Millis,
            Shape::DriverOnly,
            &["nodes=1000"],
            "routes of 1,000 nodes",
        ),
        case(
            "spf",
            "spf@10000",
            Millis,
            Shape::DriverOnly,
            &["nodes=10000"],
            "routes of 10,000 nodes",
        ),
        case(
            "spf",
            "spf@10000-half",
            Millis,
            Shape::DriverOnly,
            &["nodes=10000", "cut=half"],
            "routes of 10,000 nodes, half of them cut off",
        ),
        case(
            "memory",
            "memory@idle",
            Megabytes,
            Shape::Memory { with_driver: false },
            NO_LINKS,
            "resident size after 2 s without a link",
        ),
        driven_by_rust(case(
            "memory",
            "memory@16",
            Megabytes,
            Shape::Memory { with_driver: true },
            LINKS,
            "resident size after 2 s with 16 links",
        )),
    ]
};

/// The cases of `--closed`.
pub(crate) const CLOSED: &[&str] =
    &["set_rtt@same", "set_64", "relay_64@1", "set_window", "large", "fanout@16", "handshake"];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_of_cases_are_unique_and_the_cases_of_a_group_are_adjacent() {
        let names: BTreeSet<&str> = ALL.iter().map(|case| case.name).collect();
        assert_eq!(names.len(), ALL.len());
        let groups: BTreeSet<&str> = ALL.iter().map(|case| case.group).collect();
        assert_eq!(ALL.chunk_by(|a, b| a.group == b.group).count(), groups.len());
    }
}
