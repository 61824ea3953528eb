//! The part of a configuration that closes a mesh.

#[cfg(feature = "net")]
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::Level;
use super::datagram::CLOCK_SKEW;
#[cfg(feature = "net")]
use super::files;
use super::identity::{Identity, PublicKey};
use super::key::Key;
use super::key_ring::KeyRing;
use super::policy::Policy;
use super::ticket::Ticket;
#[cfg(feature = "net")]
use super::{AuthError, UnixMillis, policy};
use crate::error::ConfigError;
use crate::name::NodeName;

/// What makes a node closed.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The pre-shared keys.
    pub ring: KeyRing,
    /// The file that some of them came from.
    #[cfg(feature = "net")]
    pub key_file: Option<PathBuf>,
    /// Who may be a peer.
    pub policy: Arc<Policy>,
    /// The identity; one for this run if there is none.
    pub identity: Option<Arc<Identity>>,
    /// The ticket.
    pub ticket: Option<Arc<[u8]>>,
    /// How far the clocks of two nodes may differ.
    pub clock_skew: Duration,
}

/// Collects the [`Settings`].
#[derive(Debug, Clone)]
pub(crate) struct SettingsBuilder {
    pub(crate) keys: Vec<Key>,
    #[cfg(feature = "net")]
    pub(crate) key_file: Option<PathBuf>,
    #[cfg(feature = "net")]
    pub(crate) identity_file: Option<PathBuf>,
    #[cfg(feature = "net")]
    pub(crate) ticket_file: Option<PathBuf>,
    pub(crate) root: Option<PublicKey>,
    pub(crate) allow: Vec<(String, PublicKey)>,
    pub(crate) signed: bool,
    pub(crate) clock_skew: Duration,
}

impl Default for SettingsBuilder {
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            #[cfg(feature = "net")]
            key_file: None,
            #[cfg(feature = "net")]
            identity_file: None,
            #[cfg(feature = "net")]
            ticket_file: None,
            root: None,
            allow: Vec::new(),
            signed: false,
            clock_skew: CLOCK_SKEW,
        }
    }
}

impl SettingsBuilder {
    /// Reads the files and checks that the options fit together. `None` for an open node.
    pub(crate) fn build(
        mut self,
        name: &NodeName,
        #[cfg(feature = "net")] now: UnixMillis,
    ) -> Result<Option<Settings>, ConfigError> {
        #[cfg_attr(not(feature = "net"), allow(unused_mut, reason = "files need the driver"))]
        let mut keys = std::mem::take(&mut self.keys);
        #[cfg(feature = "net")]
        if let Some(path) = &self.key_file {
            keys.extend(files::read_keys(path)?);
        }
        let policy = self.policy()?;
        let level = policy.level();
        if self.signed && level == Level::Closed {
            return Err(wrong(
                "signed announcements need names that are bound to keys: allow nodes, or set a root",
            ));
        }
        if keys.is_empty() {
            return if level != Level::Closed || self.has_files() {
                Err(wrong("a closed mesh needs a key: add one, or a key file"))
            } else {
                Ok(None)
            };
        }
        #[cfg(feature = "net")]
        let (identity, ticket) = {
            let identity = self.identity_file.as_deref().map(files::read_identity).transpose()?;
            let ticket = self.ticket_file.as_deref().map(files::read_ticket).transpose()?;
            (identity, ticket)
        };
        #[cfg(not(feature = "net"))]
        let (identity, ticket): (Option<Identity>, Option<Ticket>) = (None, None);
        match &identity {
            Some(identity) if level != Level::Closed => {
                check_own_name(&policy, name, identity.public_key(), ticket.as_ref())?;
            }
            None if level != Level::Closed => {
                return Err(wrong(
                    "names are bound to keys, so the node needs an identity file; make one with \
                     `cargo xtask key identity`",
                ));
            }
            _ if ticket.is_some() => {
                return Err(wrong("a ticket is of no use without a root or a list: set the root"));
            }
            Some(_) | None => {}
        }
        #[cfg(feature = "net")]
        if let (Some(identity), Some(ticket)) = (&identity, &ticket) {
            check_own_ticket(&policy, name, identity.public_key(), ticket, now)?;
        }
        Ok(Some(Settings {
            ring: KeyRing::new(keys)?,
            #[cfg(feature = "net")]
            key_file: self.key_file,
            policy: Arc::new(policy),
            identity: identity.map(Arc::new),
            ticket: ticket.map(|ticket| ticket.encode().into()),
            clock_skew: self.clock_skew,
        }))
    }

    /// Who may be a peer.
    fn policy(&mut self) -> Result<Policy, ConfigError> {
        let mut policy = Policy { root: self.root, signed: self.signed, ..Policy::default() };
        for (text, public_key) in std::mem::take(&mut self.allow) {
            let name = NodeName::new(&text)
                .map_err(|error| wrong(format!("cannot allow {text:?}: {error}")))?;
            match policy.allow.insert(name, public_key) {
                Some(other) if other != public_key => {
                    return Err(wrong(format!(
                        "{text} is allowed with two public keys, {other} and {public_key}; a name \
                         belongs to one key"
                    )));
                }
                Some(_) | None => {}
            }
        }
        Ok(policy)
    }

    fn has_files(&self) -> bool {
        #[cfg(feature = "net")]
        return self.identity_file.is_some() || self.ticket_file.is_some();
        #[cfg(not(feature = "net"))]
        false
    }
}

fn wrong(what: impl Into<String>) -> ConfigError {
    ConfigError::Security(what.into())
}

/// Checks that this node could join a mesh whose other nodes have the same policy.
fn check_own_name(
    policy: &Policy,
    name: &NodeName,
    public_key: PublicKey,
    ticket: Option<&Ticket>,
) -> Result<(), ConfigError> {
    match policy.allow.get(name) {
        Some(bound) if *bound != public_key => Err(wrong(format!(
            "the name {name} is allowed for the public key {bound} alone, and the identity file has \
             {public_key}; use the identity of this name, or another name"
        ))),
        None if policy.root.is_some() && ticket.is_none() => Err(wrong(format!(
            "other nodes would refuse this node: {name} is not allowed, and has no ticket; set a \
             ticket file (`cargo xtask key ticket --name {name} --key {public_key}`), or allow it"
        ))),
        Some(_) | None => Ok(()),
    }
}

/// Checks this node's ticket, so that the error appears here and not in every other node.
#[cfg(feature = "net")]
fn check_own_ticket(
    policy: &Policy,
    name: &NodeName,
    public_key: PublicKey,
    ticket: &Ticket,
    now: UnixMillis,
) -> Result<(), ConfigError> {
    let invalid = |error: &dyn std::fmt::Display| wrong(error.to_string());
    if policy.root.is_some_and(|root| !ticket.verify(&root)) {
        let why = AuthError::Ticket(name.to_string(), "it was not signed by the root".into());
        return Err(invalid(&why));
    }
    policy::check_holder(&ticket.terms, name, &public_key).map_err(|error| invalid(&error))?;
    // A ticket that does not hold yet is no error: the clock of a machine that has just started may
    // be behind, and the node can join once it is right.
    let begun = now.max(ticket.terms.not_before);
    policy::check_time(&ticket.terms, name, begun).map_err(|error| invalid(&error))
}

#[cfg(all(test, feature = "net"))]
mod tests {
    use std::path::Path;

    use super::super::NamePattern;
    use super::super::ticket::Terms;
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

    fn identity(number: u8) -> Identity {
        Identity::from_seed(&[number; 32])
    }

    fn public_key(number: u8) -> PublicKey {
        identity(number).public_key()
    }

    fn name() -> NodeName {
        NodeName::new("ada").expect("a name")
    }

    fn closed() -> SettingsBuilder {
        SettingsBuilder { keys: vec![Key::from_bytes(&[9; 32])], ..SettingsBuilder::default() }
    }

    /// A folder with an identity (of the number 2) and a ticket.
    struct Folder(PathBuf);

    impl Folder {
        fn new(test: &str, ticket: &Ticket) -> Self {
            let path = std::env::temp_dir().join(format!("meshage-{test}-{}", std::process::id()));
            std::fs::create_dir(&path).expect("a new folder");
            let write = |name: &str, text: &str| {
                files::write_private(&path.join(name), text, false).expect("a new file");
            };
            write("identity", &"02".repeat(32));
            write("ticket", &files::public_line(&ticket.encode()));
            Self(path)
        }

        fn path(&self, name: &str) -> Option<PathBuf> {
            Some(Path::new(&self.0).join(name))
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn terms() -> Terms {
        Terms {
            name: NamePattern::new("a*").expect("a pattern"),
            public_key: public_key(2),
            not_before: UnixMillis(NOW.0 - 1000),
            not_after: UnixMillis(NOW.0 + 1000),
            serial: 1,
        }
    }

    fn error(builder: SettingsBuilder) -> String {
        builder.build(&name(), NOW).expect_err("refused").to_string()
    }

    #[test]
    fn a_node_with_its_own_valid_ticket_is_configured() {
        let folder = Folder::new("settings", &Ticket::issue(&identity(1), terms()));
        let builder = SettingsBuilder {
            root: Some(public_key(1)),
            identity_file: folder.path("identity"),
            ticket_file: folder.path("ticket"),
            ..closed()
        };
        let settings = builder.build(&name(), NOW).expect("valid").expect("closed");
        let own = settings.identity.expect("an identity").public_key();
        let ticket = settings.ticket.as_deref();
        assert!(settings.policy.admit(&name(), &own, ticket, NOW).is_ok());
    }

    #[test]
    fn a_ticket_that_others_would_refuse_is_an_error_at_the_start() {
        let cases: [(&str, u8, Terms, &str); 4] = [
            ("settings-root", 7, terms(), "not signed by the root"),
            (
                "settings-name",
                1,
                Terms { name: NamePattern::new("bob").expect("a pattern"), ..terms() },
                "for the name bob",
            ),
            (
                "settings-key",
                1,
                Terms { public_key: public_key(3), ..terms() },
                "another public key",
            ),
            ("settings-time", 1, Terms { not_after: NOW, ..terms() }, "ended at"),
        ];
        for (test, root, terms, why) in cases {
            let folder = Folder::new(test, &Ticket::issue(&identity(root), terms));
            let builder = SettingsBuilder {
                root: Some(public_key(1)),
                identity_file: folder.path("identity"),
                ticket_file: folder.path("ticket"),
                ..closed()
            };
            let error = error(builder);
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn a_ticket_that_begins_later_is_no_error_because_a_clock_may_be_behind() {
        let later = UnixMillis(NOW.0 + 100_000_000);
        let terms = Terms { not_before: later, not_after: UnixMillis::MAX, ..terms() };
        let folder = Folder::new("settings-later", &Ticket::issue(&identity(1), terms));
        let builder = SettingsBuilder {
            root: Some(public_key(1)),
            identity_file: folder.path("identity"),
            ticket_file: folder.path("ticket"),
            ..closed()
        };
        assert!(builder.build(&name(), NOW).is_ok());
    }

    #[test]
    fn options_that_do_not_fit_together_are_errors_that_say_what_to_do() {
        let folder = Folder::new("settings-options", &Ticket::issue(&identity(1), terms()));
        let allow = |names: &[(&str, u8)]| -> Vec<(String, PublicKey)> {
            names.iter().map(|(name, key)| ((*name).to_owned(), public_key(*key))).collect()
        };
        let with_identity =
            || SettingsBuilder { identity_file: folder.path("identity"), ..closed() };
        let cases = [
            (
                SettingsBuilder { allow: allow(&[("ada", 3)]), ..with_identity() },
                "use the identity",
            ),
            (SettingsBuilder { root: Some(public_key(1)), ..with_identity() }, "set a ticket file"),
            (
                SettingsBuilder { allow: allow(&[("b d", 3)]), ..with_identity() },
                "cannot allow \"b d\"",
            ),
            (
                SettingsBuilder { allow: allow(&[("bob", 3), ("bob", 4)]), ..with_identity() },
                "bob is allowed with two public keys",
            ),
            (SettingsBuilder { allow: allow(&[("ada", 2)]), ..closed() }, "needs an identity file"),
            (SettingsBuilder { keys: vec![], ..with_identity() }, "needs a key"),
            (SettingsBuilder { ticket_file: folder.path("ticket"), ..closed() }, "set the root"),
            (SettingsBuilder { ticket_file: folder.path("none"), ..closed() }, "no such file"),
            (SettingsBuilder { signed: true, ..closed() }, "allow nodes, or set a root"),
            (
                SettingsBuilder {
                    keys: (0..9).map(|n| Key::from_bytes(&[n; 32])).collect(),
                    ..closed()
                },
                "at most 8 keys",
            ),
        ];
        for (builder, why) in cases {
            let error = error(builder);
            assert!(error.contains(why), "{error}");
        }
        let twice = SettingsBuilder { allow: allow(&[("ada", 2), ("ada", 2)]), ..with_identity() };
        assert!(twice.build(&name(), NOW).is_ok());
        let only_peers = SettingsBuilder { allow: allow(&[("bob", 3)]), ..with_identity() };
        assert!(only_peers.build(&name(), NOW).is_ok());
    }
}
