//! The systems: who is measured, how each is started, and in which cases.

use std::ffi::OsString;
use std::process::Command;

use crate::builds::Build;
use crate::cases::{Case, Driver};
use crate::machine::{first_line, locked};
use crate::places::Places;

/// One system.
#[derive(Debug, Clone, Copy)]
pub(crate) struct System {
    /// As the figures name it.
    pub(crate) name: &'static str,
    /// Whether it is one of libmeshage's faces.
    pub(crate) is_ours: bool,
    /// What it is.
    pub(crate) is: &'static str,
    /// What has to be built before it runs.
    pub(crate) build: Build,
    /// The system whose driver drives this one where the receiver is what is measured: its own
    /// kind, in Rust.
    rust: &'static str,
    /// The command that its workers begin with.
    command: fn(&Places) -> Vec<OsString>,
    /// Its version, and of what it stands on.
    version: fn(&Places) -> String,
    /// The cases that it has workers for: `relay_rtt` means all variants, `fanout@16` that one.
    cases: &'static [&'static str],
}

impl System {
    /// Whether it has workers for a case.
    pub(crate) fn runs(&self, case: &Case) -> bool {
        self.cases.iter().any(|&known| known == case.base() || known == case.name)
    }

    /// The command that its workers begin with.
    pub(crate) fn command(&self, places: &Places) -> Vec<OsString> {
        (self.command)(places)
    }

    /// Its version, and of what it stands on.
    pub(crate) fn version(&self, places: &Places) -> String {
        (self.version)(places)
    }

    /// The system whose driver drives this one in a case.
    pub(crate) fn driver(&self, case: &Case) -> &Self {
        match case.driver {
            Driver::Rust => ALL.iter().find(|one| one.name == self.rust).unwrap_or(self),
            Driver::Own => self,
        }
    }
}

/// Our own worker program, as one of its systems.
fn worker(places: &Places, system: &str) -> Vec<OsString> {
    vec![places.release("meshage-bench-worker").into(), system.into()]
}

/// A program of the workspace of the peers.
fn peer(places: &Places, program: &str) -> Vec<OsString> {
    vec![places.peers().join("release").join(program).into()]
}

/// A worker in Python.
fn python(places: &Places, script: &str) -> Vec<OsString> {
    let script = places.root.join("bench/python").join(script);
    vec![places.venv().join("bin/python").into(), script.into()]
}

const LOCK: &str = "Cargo.lock";
const PEERS_LOCK: &str = "bench/peers/Cargo.lock";

fn ours(_: &Places) -> String {
    format!("libmeshage {}", env!("CARGO_PKG_VERSION"))
}

fn rustc() -> String {
    first_line(Command::new("rustc").arg("--version"))
}

fn interpreter(places: &Places) -> String {
    first_line(Command::new(places.venv().join("bin/python")).arg("--version"))
}

/// The version of a package in the Python environment.
fn package(places: &Places, name: &str) -> String {
    let script = format!("import importlib.metadata as m; print(m.version({name:?}))");
    first_line(Command::new(places.venv().join("bin/python")).args(["-c", &script]))
}

const RUST: System = System {
    name: "meshage-rust",
    is_ours: true,
    is: "libmeshage, the asynchronous Rust node on the application's tokio runtime",
    build: Build::Worker,
    rust: "meshage-rust",
    command: |places| worker(places, "meshage-rust"),
    version: ours,
    cases: &[
        "set_rtt",
        "set_64",
        "set_window",
        "large",
        "large_beside",
        "relay_rtt",
        "relay_64",
        "relay_window",
        "fanout",
        "recv_many",
        "recv_for",
        "spf",
        "memory",
    ],
};

/// Every system: ours, raw TCP, the peers.
pub(crate) const ALL: &[System] = &[
    RUST,
    System {
        name: "meshage-blocking",
        is_ours: true,
        is: "libmeshage, the blocking Rust node",
        build: Build::Worker,
        rust: "meshage-rust",
        command: |places| worker(places, "meshage-blocking"),
        version: ours,
        cases: &["set_rtt", "set_64", "set_window", "memory"],
    },
    System {
        name: "meshage-c",
        is_ours: true,
        is: "libmeshage from C",
        build: Build::C,
        rust: "meshage-rust",
        command: |places| vec![places.target.join("bench-c").into()],
        version: ours,
        cases: &["set_rtt", "set_64", "set_window", "large", "memory"],
    },
    System {
        name: "meshage-python",
        is_ours: true,
        is: "libmeshage from Python, blocking",
        build: Build::Wheel,
        rust: "meshage-rust",
        command: |places| python(places, "meshage_worker.py"),
        version: |places| format!("{}, {}", ours(places), interpreter(places)),
        cases: &["set_rtt", "set_window", "recv_many", "memory"],
    },
    System {
        name: "meshage-asyncio",
        is_ours: true,
        is: "libmeshage from Python, asyncio",
        build: Build::Wheel,
        rust: "meshage-rust",
        command: |places| python(places, "asyncio_worker.py"),
        version: |places| format!("{}, {}", ours(places), interpreter(places)),
        cases: &["set_rtt", "set_64", "set_window", "recv_for"],
    },
    System {
        name: "meshage-go",
        is_ours: true,
        is: "libmeshage from Go",
        build: Build::Go,
        rust: "meshage-rust",
        command: |places| vec![places.target.join("bench-go").into()],
        version: |places| {
            format!("{}, {}", ours(places), first_line(Command::new("go").arg("version")))
        },
        cases: &["set_rtt", "set_64", "memory"],
    },
    System {
        name: "raw-tokio",
        is_ours: false,
        is: "bytes over TCP with tokio, one worker thread",
        build: Build::Worker,
        rust: "raw-tokio",
        command: |places| worker(places, "raw-tokio"),
        version: |places| format!("tokio {}", locked(places, LOCK, "tokio")),
        cases: &["set_rtt", "set_64", "set_window", "large", "relay_rtt"],
    },
    System {
        name: "raw-std",
        is_ours: false,
        is: "bytes over TCP with the standard library, a thread for each connection",
        build: Build::Worker,
        rust: "raw-std",
        command: |places| worker(places, "raw-std"),
        version: |_| rustc(),
        cases: &["set_rtt", "set_64", "set_window", "large", "relay_rtt", "fanout@16"],
    },
    System {
        name: "zeromq",
        is_ours: false,
        is: "ZeroMQ (libzmq)",
        build: Build::Peer("peer-zeromq"),
        rust: "zeromq",
        command: |places| peer(places, "peer-zeromq"),
        version: |places| {
            let library = first_line(Command::new(&peer(places, "peer-zeromq")[0]).arg("version"));
            format!("{library} (zmq {})", locked(places, PEERS_LOCK, "zmq"))
        },
        cases: &[
            "set_rtt",
            "set_64",
            "set_window",
            "stream_unacked",
            "large",
            "fanout@16",
            "recv_many",
            "memory",
        ],
    },
    System {
        name: "zenoh",
        is_ours: false,
        is: "Zenoh, peer to peer",
        build: Build::Peer("peer-zenoh"),
        rust: "zenoh",
        command: |places| peer(places, "peer-zenoh"),
        version: |places| format!("zenoh {}", locked(places, PEERS_LOCK, "zenoh")),
        cases: &[
            "set_rtt",
            "set_64",
            "set_window",
            "stream_unacked",
            "large",
            "relay_rtt@1",
            "relay_rtt@1@same",
            "fanout@16",
            "recv_many",
            "memory",
        ],
    },
    System {
        name: "grpc",
        is_ours: false,
        is: "gRPC (tonic), unary calls",
        build: Build::Peer("peer-grpc"),
        rust: "grpc",
        command: |places| peer(places, "peer-grpc"),
        version: |places| format!("tonic {}", locked(places, PEERS_LOCK, "tonic")),
        cases: &["set_rtt", "set_64", "set_window", "memory"],
    },
    System {
        name: "pyzmq",
        is_ours: false,
        is: "ZeroMQ from Python",
        build: Build::Package("pyzmq", "27.3.0"),
        rust: "zeromq",
        command: |places| python(places, "pyzmq_worker.py"),
        version: |places| format!("pyzmq {}, {}", package(places, "pyzmq"), interpreter(places)),
        cases: &["set_rtt", "set_window", "recv_many", "memory"],
    },
    System {
        name: "zenoh-python",
        is_ours: false,
        is: "Zenoh from Python",
        build: Build::Package("eclipse-zenoh", "1.10.2"),
        rust: "zenoh",
        command: |places| python(places, "zenoh_worker.py"),
        version: |places| {
            format!("eclipse-zenoh {}, {}", package(places, "eclipse-zenoh"), interpreter(places))
        },
        cases: &["set_rtt", "recv_many", "memory"],
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases;

    #[test]
    fn every_case_that_a_system_names_exists() {
        for system in ALL {
            for known in system.cases {
                let exists = cases::ALL.iter().any(|c| c.name == *known || c.base() == *known);
                assert!(exists, "{}: {known}", system.name);
            }
        }
    }

    #[test]
    fn what_drives_a_system_has_a_worker_for_the_case() {
        for case in cases::ALL.iter().filter(|case| case.driver == Driver::Rust) {
            for system in ALL.iter().filter(|system| system.runs(case)) {
                let driver = system.driver(case);
                assert!(driver.name == system.rust && driver.runs(case), "{}", system.name);
            }
        }
    }

    #[test]
    fn every_case_has_a_system() {
        for case in cases::ALL {
            assert!(ALL.iter().any(|system| system.runs(case)), "{}", case.name);
        }
    }
}
