//! The files that `cargo xtask key` makes are accepted by a configuration.

use std::path::PathBuf;

use meshage::secure::files;
use meshage::{Config, KeyId, PublicKey};

#[path = "../examples/key.rs"]
#[allow(dead_code, reason = "the tests call its commands, and not its `main`")]
mod key;

/// A folder that is removed with everything in it.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("meshage-key-{test}-{}", std::process::id()));
        std::fs::create_dir(&path).expect("a new folder");
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Runs a command. A word that begins with `@` is a file of the folder.
    fn run(&self, command: &str) -> Result<String, String> {
        let word = |word: &str| match word.strip_prefix('@') {
            Some(name) => self.path(name).display().to_string(),
            None => word.to_owned(),
        };
        key::run(&command.split(' ').map(word).collect::<Vec<_>>())
    }

    /// Runs a command that prints one value.
    fn print<T: std::str::FromStr>(&self, command: &str) -> T {
        let text = self.run(command).expect("the command succeeds");
        text.trim().parse().ok().expect("one value")
    }

    fn contents(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).expect("the file")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The first word of the file: the secret.
fn secret(contents: &str) -> &str {
    contents.split_whitespace().next().expect("a secret")
}

#[test]
fn a_node_with_files_made_by_the_command_is_configured() {
    let folder = Folder::new("round-trip");
    let first: KeyId = folder.print("new @keys");
    let second: KeyId = folder.print("new @keys --add");
    assert_eq!(folder.run("id @keys"), Ok(format!("{first}\n{second}\n")));
    let root: PublicKey = folder.print("root @root");
    let own: PublicKey = folder.print("identity @identity");
    assert_eq!(folder.run("identity @identity"), Ok(format!("{own}\n")));
    let command =
        format!("ticket --root @root --name a* --key {own} --days 3 --serial 5 -o @ticket");
    let printed = folder.run(&command).expect("a ticket");
    assert!(printed.starts_with("ticket 5 for a* until "), "{printed}");
    let config = |name: &str| {
        Config::builder(name)
            .key_file(folder.path("keys"))
            .identity_file(folder.path("identity"))
            .root(root)
            .ticket_file(folder.path("ticket"))
            .build()
    };
    assert!(config("ada").is_ok());
    let refused = config("bob").expect_err("a ticket for other names").to_string();
    assert!(refused.contains("it is for the name a*"), "{refused}");
    folder.run("revoke --root @root --ticket @ticket -o @revocation").expect("a revocation");
    let revocation = files::parse_revocation(folder.contents("revocation").as_bytes());
    let ticket = files::read_ticket(&folder.path("ticket")).expect("a ticket");
    let revocation = revocation.expect("a revocation");
    assert!(revocation.verify(&root) && revocation.covers(&ticket.terms));
}

#[test]
fn nothing_is_overwritten_without_force_and_no_secret_is_printed() {
    let folder = Folder::new("force");
    let mut printed = folder.run("new @key").expect("a key");
    printed += &folder.run("identity @identity").expect("an identity");
    let (key, identity) = (folder.contents("key"), folder.contents("identity"));
    let refused = folder.run("new @key").expect_err("it exists");
    assert!(refused.contains("it exists") && refused.contains("--force"), "{refused}");
    printed += &refused;
    printed += &folder.run("id @key").expect("ids");
    printed += &folder.run("identity @identity").expect("a public key");
    assert_eq!((&folder.contents("key"), &folder.contents("identity")), (&key, &identity));
    assert!(!printed.contains(secret(&key)) && !printed.contains(secret(&identity)), "{printed}");
    folder.run("new @key --force").expect("replaced");
    folder.run("identity @identity --force").expect("replaced");
    assert_ne!(folder.contents("key"), key);
    assert_ne!(folder.contents("identity"), identity);
}

#[test]
fn a_wrong_use_is_an_error_that_says_what_is_missing() {
    let folder = Folder::new("wrong");
    folder.run("root @root").expect("a root");
    folder.run("root @other").expect("another root");
    let public: PublicKey = folder.print("identity @identity");
    let ticket = format!("ticket --root @root --name ada --key {public}");
    folder.run(&format!("{ticket} -o @ticket --until 9999-12-31")).expect("a ticket");
    let cases = [
        ("new".to_owned(), "the file is missing"),
        ("new @a @b".into(), "unknown argument"),
        ("new @a --what".into(), "unknown argument \"--what\""),
        ("new @none --add".into(), "no such file"),
        ("what".into(), "unknown command"),
        ("id @none".into(), "no such file"),
        (ticket.clone(), "-o is missing"),
        (format!("{ticket} -o @ticket"), "it exists"),
        (format!("{ticket} -o @new --days 0"), "--days"),
        (format!("{ticket} -o @new --until 2020-01-01"), "would have ended"),
        (format!("{ticket} -o @new --until 2027-02-30"), "a day such as"),
        (format!("{ticket} -o @new --days 1 --until 2027-02-03"), "not both"),
        (format!("{ticket} -o @new --serial -1"), "--serial"),
        (format!("{ticket} -o"), "-o needs a value"),
        (format!("{ticket} --name b -o @new"), "given twice"),
        ("ticket --root @root --name a*b --key 00 -o @new".into(), "--name"),
        ("ticket --root @root --name ada --key 00 -o @new".into(), "64 hex digits"),
        ("revoke --root @other --ticket @ticket -o @new".into(), "not of this root"),
    ];
    for (command, why) in cases {
        let error = folder.run(&command).expect_err(&command);
        assert!(error.contains(why), "{command}: {error}");
    }
    assert!(!folder.path("new").exists());
    for help in ["--help", "help", "ticket --help"] {
        assert!(folder.run(help).expect("the usage").contains("ticket --root FILE"));
    }
}
