use super::super::ticket::Terms;
use super::super::{NamePattern, UnixMillis};
use super::*;

/// A folder that is removed with everything in it.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("meshage-{test}-{}", std::process::id()));
        std::fs::create_dir(&path).expect("a new folder");
        Self(path)
    }

    /// Writes a file that only its owner may read.
    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        write_private(&path, text, true).expect("a file");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn line(number: u8) -> String {
    format!("{}\n", HEXLOWER.encode(&[number; 32]))
}

fn id(number: u8) -> KeyId {
    Key::from_bytes(&[number; 32]).id()
}

fn why<T>(result: Result<T, KeyError>) -> String {
    result.err().expect("an error").to_string()
}

#[test]
fn a_key_file_has_one_key_a_line_with_remarks_and_line_ends_of_any_system() {
    let folder = Folder::new("keys");
    let base64 = BASE64.encode(&[2; 32]);
    let text = format!(
        "\u{feff}# the new one\r\n{}\r\n  {base64} # the old one\n\n{}",
        line(1).trim(),
        line(1)
    );
    let keys = read_keys(&folder.write("keys", &text)).expect("two keys");
    assert_eq!(keys.iter().map(Key::id).collect::<Vec<_>>(), [id(1), id(2)]);
}

#[test]
fn the_error_of_a_key_file_names_the_file_and_the_line_and_never_the_key() {
    let folder = Folder::new("bad-keys");
    let half = "ab".repeat(20);
    let nine: String = (1..=9).map(line).collect();
    let cases = [
        (format!("# remark\n{}{half}\n", line(1)), "line 3 is not a key: 32 bytes"),
        (String::new(), "no key"),
        ("# nothing\n".into(), "no key"),
        (nine, "line 9 is one key too many"),
        ("x".repeat(FILE_BYTES_MAX + 1), "longer than 64 KiB"),
    ];
    for (text, expected) in cases {
        let path = folder.write("keys", &text);
        let error = why(read_keys(&path));
        assert!(error.contains(expected) && error.contains("keys: "), "{error}");
        assert!(!error.contains("abab") && !error.contains("0101"), "{error}");
    }
    let missing = why(read_keys(&folder.0.join("none")));
    assert!(missing.contains("none: there is no such file"), "{missing}");
    std::fs::write(folder.write("binary", ""), [0xff, 0xfe]).expect("written");
    assert!(why(read_keys(&folder.0.join("binary"))).contains("not text"));
}

#[test]
fn an_identity_file_has_exactly_one_secret() {
    let folder = Folder::new("identity");
    let path = folder.write("identity", &format!("# of ada\n{}", line(5)));
    let identity = read_identity(&path).expect("an identity");
    assert_eq!(identity.public_key(), Identity::from_seed(&[5; 32]).public_key());
    for text in [String::new(), "zz".into(), line(1) + &line(2)] {
        let error = why(read_identity(&folder.write("identity", &text)));
        assert!(error.contains("no identity") && !error.contains("0101"), "{error}");
    }
}

#[test]
fn a_ticket_and_a_revocation_are_read_from_their_files() {
    let folder = Folder::new("ticket");
    let root = Identity::from_seed(&[1; 32]);
    let terms = Terms {
        name: NamePattern::new("ada").expect("a pattern"),
        public_key: root.public_key(),
        not_before: UnixMillis(1),
        not_after: UnixMillis(2),
        serial: 3,
    };
    let ticket = Ticket::issue(&root, terms.clone());
    let text = format!("# for ada\n{}", public_line(&ticket.encode()));
    assert_eq!(read_ticket(&folder.write("ticket", &text)), Ok(ticket));
    for text in ["", "AAAA", "not base64!", &line(1)] {
        assert!(why(read_ticket(&folder.write("ticket", text))).contains("no ticket"), "{text}");
    }
    let revocation = Revocation::of(&root, &terms);
    let bytes = revocation.encode();
    assert_eq!(parse_revocation(&bytes).as_ref(), Some(&revocation));
    let text = format!("# of ada\n{}", public_line(&bytes));
    assert_eq!(parse_revocation(text.as_bytes()), Some(revocation));
    for contents in [&b""[..], b"AAAA", b"\xff\xff", &bytes[1..]] {
        assert_eq!(parse_revocation(contents), None);
    }
}

#[test]
fn a_file_is_overwritten_only_on_request_and_nothing_else_is_left_in_its_folder() {
    let folder = Folder::new("overwrite");
    let path = folder.0.join("key");
    write_private(&path, "first", false).expect("a new file");
    let refused = why(write_private(&path, "second", false));
    assert!(refused.contains("it exists, and is not overwritten"), "{refused}");
    assert_eq!(std::fs::read_to_string(&path).expect("the file"), "first");
    write_private(&path, "third", true).expect("replaced");
    assert_eq!(std::fs::read_to_string(&path).expect("the file"), "third");
    assert!(write_private(&folder.0.join("none/key"), "x", false).is_err());
    assert_eq!(std::fs::read_dir(&folder.0).expect("the folder").count(), 1);
}

#[test]
fn a_key_is_added_behind_the_others_until_there_are_eight() {
    let folder = Folder::new("add");
    let path = folder.write("keys", &format!("# remark\n{}", line(1).trim()));
    let mut ids = vec![id(1)];
    for _ in 2..=8 {
        ids.push(add_key(&path).expect("room"));
    }
    let read: Vec<KeyId> = read_keys(&path).expect("keys").iter().map(Key::id).collect();
    assert_eq!(read, ids);
    assert!(std::fs::read_to_string(&path).expect("the file").starts_with("# remark\n"));
    assert!(why(add_key(&path)).contains("8 keys"));
    assert!(why(add_key(&folder.0.join("none"))).contains("no such file"));
}

#[cfg(unix)]
#[test]
fn a_secret_file_that_others_may_read_or_write_is_refused_and_a_ticket_is_not() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::new("mode");
    let path = folder.write("secret", &line(1));
    let mode = |mode| std::fs::Permissions::from_mode(mode);
    let made = std::fs::metadata(&path).expect("the file").permissions().mode();
    assert_eq!(made & 0o777, 0o600);
    for others in [0o640, 0o604, 0o620, 0o602] {
        std::fs::set_permissions(&path, mode(others)).expect("the owner");
        for error in [why(read_keys(&path)), why(read_identity(&path))] {
            assert!(error.contains("chmod 600"), "{error}");
        }
        // A ticket may be public; this file is none.
        assert!(why(read_ticket(&path)).contains("no ticket"));
    }
    std::fs::set_permissions(&path, mode(0o400)).expect("the owner");
    assert!(read_keys(&path).is_ok());
}
