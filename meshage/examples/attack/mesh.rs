//! The attacked meshes: how their members are configured, and what a hostile peer brings to them.

use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use meshage::name::NodeName;
use meshage::secure::announcement::Scope;
use meshage::secure::handshake::{Context, StaticKey};
use meshage::secure::ticket::{Revocation, Terms, Ticket};
use meshage::secure::{
    Cipher, Identity, KeyRing, NamePattern, Policy, UnixMillis, announcement, files,
};
use meshage::wire::control::{Announcement, ControlFrame, Credential, SignedAnnouncement};
use meshage::wire::hello::{Hello, Purpose};
use meshage::{Config, ConfigBuilder, Instance, Key, Namespace};

/// The key of every closed mesh.
pub(super) const KEY: u8 = 1;
/// A key that the attacked node had and has removed.
pub(super) const REMOVED_KEY: u8 = 2;
/// A key that the attacked node never had.
pub(super) const STRANGE_KEY: u8 = 3;
/// The serial number of the ticket that is revoked.
const REVOKED_SERIAL: u64 = 7;
/// The seeds of the root of the mesh and of another one.
const ROOT: [u8; 32] = [9; 32];
const FOREIGN_ROOT: [u8; 32] = [8; 32];

/// A level, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Open,
    Closed,
    Allowed,
    Signed,
}

impl Mode {
    pub(super) const ALL: [Self; 4] = [Self::Open, Self::Closed, Self::Allowed, Self::Signed];

    /// Its name on the command line.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Allowed => "allowed",
            Self::Signed => "signed",
        }
    }

    /// The mode of this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name)
    }

    /// Whether its nodes have a key.
    pub(super) fn is_closed(self) -> bool {
        self != Self::Open
    }

    /// Whether names are bound to public keys.
    pub(super) fn binds_names(self) -> bool {
        matches!(self, Self::Allowed | Self::Signed)
    }
}

/// The ticket of a hostile peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    Valid,
    Ended,
    Revoked,
    /// Of another root.
    Foreign,
    /// None at all.
    Missing,
}

/// The files of the members of a mesh, in a folder that is removed with them.
#[derive(Debug)]
pub(super) struct Mesh {
    pub(super) mode: Mode,
    folder: PathBuf,
}

impl Mesh {
    /// A mesh whose files are those of this process.
    ///
    /// # Errors
    /// The folder cannot be created.
    pub(super) fn new(mode: Mode) -> io::Result<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let process = std::process::id();
        let folder = std::env::temp_dir().join(format!("meshage-attack-{process}-{number}"));
        std::fs::create_dir(&folder)?;
        Ok(Self { mode, folder })
    }

    /// The configuration of a member that listens on the loopback and sends no solicitations.
    ///
    /// # Errors
    /// A file cannot be written.
    pub(super) fn member(&self, name: &str) -> io::Result<ConfigBuilder> {
        let config = Config::builder(name).bind("127.0.0.1").port(0);
        if !self.mode.is_closed() {
            return Ok(config);
        }
        let config = config.key(key(KEY));
        if !self.mode.binds_names() {
            return Ok(config);
        }
        let (identity, ticket) = (self.folder.join(format!("{name}.id")), self.folder.join(name));
        let write = |path: &PathBuf, text: &str| {
            files::write_private(path, text, true).map_err(io::Error::other)
        };
        write(&identity, &hex(&seed(name)))?;
        write(&ticket, &files::public_line(&issue(name, Pass::Valid)?.encode()))?;
        let root = Identity::from_seed(&ROOT).public_key();
        let config = config.identity_file(identity).ticket_file(ticket).root(root);
        Ok(config.signed(self.mode == Mode::Signed))
    }

    /// What a hostile peer of this name joins with: the key of the mesh and this ticket.
    ///
    /// # Errors
    /// The name is not valid.
    pub(super) fn hostile(&self, name: &str, pass: Pass) -> io::Result<Member> {
        let instance = Instance(u64::from_le_bytes(random()));
        let mut member = Member::new(name, instance)?;
        if self.mode.is_closed() {
            let ticket = match self.mode.binds_names() && pass != Pass::Missing {
                true => Some(issue(name, pass)?.encode()),
                false => None,
            };
            member.arm(self.mode, KEY, ticket)?;
        }
        Ok(member)
    }

    /// A stranger with another key than that of the mesh.
    ///
    /// # Errors
    /// The name is not valid.
    pub(super) fn stranger(&self, name: &str, key: u8) -> io::Result<Member> {
        let mut member = Member::new(name, Instance(u64::from_le_bytes(random())))?;
        member.arm(self.mode, key, None)?;
        Ok(member)
    }

    /// The revocation of the ticket of [`Pass::Revoked`] for this name.
    ///
    /// # Errors
    /// The name is not valid.
    pub(super) fn revocation(name: &str) -> io::Result<Vec<u8>> {
        let root = Identity::from_seed(&ROOT);
        Ok(Revocation::of(&root, &terms(name, Pass::Revoked)?).encode())
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        // A file that stays in the temporary folder is no failure.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A hostile peer: its name, and its credentials unless the mesh is open.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) name: NodeName,
    pub(super) instance: Instance,
    pub(super) credentials: Option<Credentials>,
}

/// What a hostile peer brings into handshakes.
#[derive(Debug, Clone)]
pub(super) struct Credentials {
    pub(super) context: Arc<Context>,
    /// What its instance is derived from at levels allowed and signed.
    nonce: u64,
    /// What its signatures of announcements cover, where announcements are signed.
    scope: Option<Scope>,
}

impl Member {
    /// A peer without a key.
    ///
    /// # Errors
    /// The name is not valid.
    pub(super) fn new(name: &str, instance: Instance) -> io::Result<Self> {
        let name = NodeName::new(name).map_err(io::Error::other)?;
        Ok(Self { name, instance, credentials: None })
    }

    fn arm(&mut self, mode: Mode, with: u8, ticket: Option<Vec<u8>>) -> io::Result<()> {
        let identity = Identity::from_seed(&seed(self.name.as_str()));
        let root = Identity::from_seed(&ROOT).public_key();
        let nonce = self.instance.0;
        if mode.binds_names() {
            self.instance = announcement::instance_of(&identity.public_key(), nonce);
        }
        let policy = Policy {
            root: mode.binds_names().then_some(root),
            signed: mode == Mode::Signed,
            ..Policy::default()
        };
        let context = Context {
            ring: KeyRing::new([key(with)]).map_err(io::Error::other)?,
            policy: Arc::new(policy),
            cipher: Cipher::ChaChaPoly,
            identity: Arc::new(identity),
            ticket: ticket.map(Into::into),
            static_key: Arc::new(StaticKey::new(&mut fill)),
        };
        let scope = match mode {
            Mode::Signed => Some(Scope::Announcement),
            Mode::Allowed => Some(Scope::Name),
            Mode::Open | Mode::Closed => None,
        };
        self.credentials = Some(Credentials { context: Arc::new(context), nonce, scope });
        Ok(())
    }

    /// The hello of this peer.
    pub(super) fn hello(&self) -> Hello {
        Hello {
            name: self.name.clone(),
            namespace: Namespace::default(),
            instance: self.instance,
            version: String::new(),
            capabilities: 0,
            purpose: Purpose::Dialled,
        }
    }

    /// The frame of an announcement of any node. At levels allowed and signed, this peer signs it.
    pub(super) fn announce(&self, announcement: Announcement) -> ControlFrame {
        let Some((credentials, scope)) =
            self.credentials.as_ref().and_then(|it| Some((it, it.scope?)))
        else {
            return ControlFrame::Announce(announcement);
        };
        let identity = &credentials.context.identity;
        let signature = announcement::sign(identity, &Namespace::default(), &announcement, scope);
        let credential = Some(Credential {
            public_key: identity.public_key().0,
            nonce: credentials.nonce,
            ticket: credentials.context.ticket.as_deref().map(<[u8]>::to_vec),
        });
        let signed = SignedAnnouncement { announcement, signature, credential };
        ControlFrame::SignedAnnounce(Box::new(signed))
    }
}

/// A pre-shared key.
pub(super) fn key(number: u8) -> Key {
    Key::from_bytes(&[number; 32])
}

/// Fills a buffer with random bytes of the system.
pub(super) fn fill(bytes: &mut [u8]) {
    for part in bytes.chunks_mut(32) {
        // Only a system without a random source fails, and no node starts there.
        if let Ok(random) = meshage::generate_key() {
            part.copy_from_slice(&random[..part.len()]);
        }
    }
}

/// Random bytes.
pub(super) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    fill(&mut bytes);
    bytes
}

/// The time of day.
pub(super) fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(since.as_millis() as u64)
}

/// The seed of the identity of a name.
fn seed(name: &str) -> [u8; 32] {
    let mut seed = [0x5e; 32];
    seed.iter_mut().zip(name.bytes()).for_each(|(byte, letter)| *byte = letter);
    seed
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn issue(name: &str, pass: Pass) -> io::Result<Ticket> {
    let root = if pass == Pass::Foreign { FOREIGN_ROOT } else { ROOT };
    Ok(Ticket::issue(&Identity::from_seed(&root), terms(name, pass)?))
}

fn terms(name: &str, pass: Pass) -> io::Result<Terms> {
    let hour = Duration::from_secs(3600).as_millis() as u64;
    // Rounded to a day: every process writes the same terms.
    let day = now().0 / (24 * hour) * (24 * hour);
    let not_after = if pass == Pass::Ended { day - 48 * hour } else { day + 96 * hour };
    Ok(Terms {
        name: NamePattern::new(name).map_err(io::Error::other)?,
        public_key: Identity::from_seed(&seed(name)).public_key(),
        not_before: UnixMillis(0),
        not_after: UnixMillis(not_after),
        serial: if pass == Pass::Revoked { REVOKED_SERIAL } else { 1 },
    })
}
