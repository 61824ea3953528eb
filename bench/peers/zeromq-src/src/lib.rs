//! Builds libzmq with CURVE and libsodium.
//!
//! The binding `zmq-sys` builds libzmq with the crate `zeromq-src` and without encryption, and has
//! no option for it. The workspace replaces that crate with this one, which calls the published
//! crate and adds the location of libsodium.

pub use published::LibLocation;

/// The settings of the build. Contains what `zmq-sys` uses of the published crate.
#[derive(Debug, Default)]
pub struct Build(());

impl Build {
    /// The default settings.
    pub fn new() -> Self {
        Self::default()
    }

    /// Ignores the location: this crate sets its own.
    pub fn with_libsodium(&mut self, _: Option<LibLocation>) -> &mut Self {
        self
    }

    /// Builds libzmq, and prints how to link to it and to libsodium.
    pub fn build(&mut self) {
        let sodium = LibLocation::new(env!("DEP_SODIUM_LIB"), env!("DEP_SODIUM_INCLUDE"));
        published::Build::new().with_libsodium(Some(sodium)).build();
    }
}
