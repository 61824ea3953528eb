//! What has to be built before a system can run.

/// One build. Systems that share an artifact share its build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Artifact {
    /// The Rust workers of this package, which are built with this program.
    Worker,
    /// The C worker and the library that it links to.
    C,
    /// The Go worker and the library that it links to.
    Go,
    /// The project's wheel, installed in the Python environment.
    Wheel,
    /// A peer's package from the Python index, in the same environment: name and version.
    Package(&'static str, &'static str),
    /// One package of the workspace of the peers.
    Peer(&'static str),
    /// The same, and the certificate that its workers use.
    PeerWithTls(&'static str),
}
