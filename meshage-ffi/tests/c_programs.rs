//! The C library as a C program sees it: the programs in `c/`, and those in `examples-c/`, compiled
//! with warnings as errors and run against the library in `target/release`.
//!
//! Four ways: against the shared library, against the static one, under AddressSanitizer (with its
//! leak check), and under valgrind. Where a tool is missing, a test prints that it skips, and why.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write as _;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Longer than any program runs, under valgrind too: a hang is a failure, not a stuck test.
const PROGRAM_TIME_MAX: Duration = Duration::from_secs(300);
/// How often a running program is looked after.
const LOOK: Duration = Duration::from_millis(10);
/// valgrind's exit status where it found something.
const VALGRIND_FOUND: &str = "--error-exitcode=99";

const C99: &[&str] = &["-x", "c", "-std=c99"];
const CPP11: &[&str] = &["-x", "c++", "-std=c++11"];

/// How a program is linked and run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Shared,
    Static,
    Sanitized,
    Valgrind,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Where libmeshage.so and libmeshage.a are, built where they are not up to date.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("target/tmp");
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["build", "--quiet", "--release", "-p", "meshage-ffi", "--target-dir"]);
        let built = cargo.arg(target).current_dir(root()).status().expect("cargo runs");
        assert!(built.success(), "the library does not build");
        target.join("release")
    })
}

fn compiler(variable: &str, default: &str) -> OsString {
    std::env::var_os(variable).unwrap_or_else(|| default.into())
}

/// Compiles a program; `name` tells its builds apart.
fn compile(source: &Path, name: &str, language: &[&str], way: Way) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("c");
    std::fs::create_dir_all(&folder).expect("a folder for the programs");
    let program = folder.join(name);
    let library = library();
    let driver = if language == CPP11 { compiler("CXX", "c++") } else { compiler("CC", "cc") };
    let mut command = Command::new(driver);
    command.args(language).args(["-g", "-O1", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]);
    command.arg("-I").arg(root().join("include")).arg("-o").arg(&program).arg(source);
    command.args(["-x", "none"]);
    match way {
        Way::Static => command.arg(library.join("libmeshage.a")).args(["-lm", "-ldl"]),
        Way::Shared | Way::Sanitized | Way::Valgrind => {
            let path = format!("-Wl,-rpath,{}", library.display());
            command.arg("-L").arg(library).arg(path).arg("-lmeshage")
        }
    };
    if way == Way::Sanitized {
        command.args(["-fsanitize=address", "-fno-omit-frame-pointer"]);
    }
    let output = command.arg("-lpthread").output().expect("a C compiler");
    assert!(output.status.success(), "{}: {}", source.display(), text(&output));
    program
}

/// A program under way, its output in a file.
struct Running {
    child: Child,
    output: PathBuf,
}

/// Starts a program; `label` tells its runs apart.
fn spawn(program: &Path, label: &str, arguments: &[&str], way: Way) -> Running {
    let mut command = match way {
        Way::Valgrind => {
            let mut valgrind = Command::new("valgrind");
            valgrind.args(["--quiet", "--leak-check=full", "--errors-for-leak-kinds=definite"]);
            // Threads are scheduled fairly, so that a waiting one does not starve those it waits for.
            valgrind.args([VALGRIND_FOUND, "--fair-sched=yes"]).arg(program);
            valgrind
        }
        Way::Shared | Way::Static | Way::Sanitized => Command::new(program),
    };
    // cargo's own search path would find the library of another profile first.
    command.env_remove("LD_LIBRARY_PATH");
    command.args(arguments).env("ASAN_OPTIONS", "detect_leaks=1:abort_on_error=0");
    let output = program.with_extension(format!("{label}.out"));
    let log = File::create(&output).expect("a file for its output");
    command.stdin(Stdio::piped()).stderr(log.try_clone().expect("a second handle")).stdout(log);
    Running { child: command.spawn().expect("it starts"), output }
}

impl Running {
    /// What it has said so far.
    fn said(&self) -> String {
        let bytes = fs::read(&self.output).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits until it has said something.
    fn await_text(&self, text: &str) {
        let deadline = Instant::now() + PROGRAM_TIME_MAX;
        while !self.said().contains(text) {
            assert!(Instant::now() < deadline, "it does not say {text:?}: {}", self.said());
            std::thread::sleep(LOOK);
        }
    }

    /// Types a line.
    fn tell(&mut self, line: &str) {
        let stdin = self.child.stdin.as_mut().expect("it listens");
        writeln!(stdin, "{line}").expect("it reads");
    }

    /// Types a line, and again after each answer, until the answer is this one.
    fn tell_until(&mut self, line: &str, answer: &str) {
        let deadline = Instant::now() + PROGRAM_TIME_MAX;
        while !self.said().contains(answer) {
            assert!(Instant::now() < deadline, "never {answer:?}: {}", self.said());
            let answers = self.said().lines().count();
            self.tell(line);
            while self.said().lines().count() == answers && Instant::now() < deadline {
                std::thread::sleep(LOOK);
            }
        }
    }

    /// Waits for its end, a hang being a failure; gives what it said.
    fn finish(mut self) -> String {
        drop(self.child.stdin.take());
        let deadline = Instant::now() + PROGRAM_TIME_MAX;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                break status;
            }
            if Instant::now() > deadline {
                self.child.kill().expect("it can be killed");
                panic!("{} hangs: {}", self.output.display(), self.said());
            }
            std::thread::sleep(LOOK);
        };
        assert!(status.success(), "{}: {status}: {}", self.output.display(), self.said());
        self.said()
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Whether this machine has a tool; where not, says what is skipped, past the test's own capture.
fn has(what: &str, probe: &mut Command) -> bool {
    let there = probe.stdout(Stdio::null()).stderr(Stdio::null()).status();
    let there = there.is_ok_and(|status| status.success());
    if !there {
        writeln!(std::io::stdout(), "skipped: {what}, because it is not installed")
            .expect("somebody reads");
    }
    there
}

fn is_possible(way: Way) -> bool {
    static VALGRIND: OnceLock<bool> = OnceLock::new();
    static SANITIZER: OnceLock<bool> = OnceLock::new();
    match way {
        Way::Shared | Way::Static => true,
        Way::Valgrind => *VALGRIND.get_or_init(|| {
            has("the C programs under valgrind", Command::new("valgrind").arg("--version"))
        }),
        Way::Sanitized => *SANITIZER.get_or_init(|| {
            let probe = Path::new(env!("CARGO_TARGET_TMPDIR")).join("asan-probe");
            let mut cc = Command::new(compiler("CC", "cc"));
            cc.args(["-fsanitize=address", "-shared", "-x", "c", "/dev/null", "-o"]).arg(probe);
            has("the C programs under AddressSanitizer", &mut cc)
        }),
    }
}

/// Compiles and runs a program of `c/`.
fn check(name: &str, way: Way) {
    if !is_possible(way) {
        return;
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c").join(format!("{name}.c"));
    let suffix = match way {
        Way::Shared => "shared",
        Way::Static => "static",
        Way::Sanitized => "asan",
        Way::Valgrind => "valgrind",
    };
    let program = compile(&source, &format!("{name}-{suffix}"), C99, way);
    spawn(&program, "run", &[], way).finish();
}

macro_rules! programs {
    ($($test:ident: $name:literal, $($way:ident)*;)*) => {
        $(mod $test {
            use super::*;
            $(programs!(@ $name $way);)*
        })*
    };
    (@ $name:literal Shared) => {
        #[test] fn with_the_shared_library() { check($name, Way::Shared) }
    };
    (@ $name:literal Static) => {
        #[test] fn with_the_static_library() { check($name, Way::Static) }
    };
    (@ $name:literal Sanitized) => {
        #[test] fn under_address_sanitizer() { check($name, Way::Sanitized) }
    };
    (@ $name:literal Valgrind) => {
        #[test] fn under_valgrind() { check($name, Way::Valgrind) }
    };
}

programs! {
    the_header_is_the_contract: "contract", Shared Static;
    null_is_an_error_everywhere: "nulls", Shared Static Sanitized Valgrind;
    bad_names_and_numbers_are_told: "names", Shared Sanitized Valgrind;
    links_topology_and_events: "links", Shared Sanitized Valgrind;
    sends_and_their_reports: "send", Shared Static Sanitized Valgrind;
    receiving_in_every_way: "receive", Shared Sanitized Valgrind;
    a_node_may_be_freed_anywhere: "lifetime", Shared Static Sanitized Valgrind;
    a_forked_child_is_told: "fork", Shared Sanitized;
    a_killed_peer_raises_no_signal: "sigpipe", Shared Static Sanitized;
    a_program_ends_without_freeing: "exit", Shared Static Sanitized Valgrind;
    sends_under_way: "async", Shared Sanitized Valgrind;
    what_is_done_at_once_holds: "promptly", Shared Sanitized;
    a_broadcast_survives_a_change_of_its_tree: "changing", Shared;
    many_threads: "threads", Shared Sanitized Valgrind;
    snooping_and_the_log: "snoop_log", Shared Sanitized Valgrind;
}

#[test]
fn the_header_is_the_contract_for_cpp_too() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c/contract.c");
    let program = compile(&source, "contract-cpp", CPP11, Way::Shared);
    spawn(&program, "run", &[], Way::Shared).finish();
}

/// A program of `examples-c/`.
fn example(name: &str, way: Way) -> PathBuf {
    let language = if name.ends_with(".cpp") { CPP11 } else { C99 };
    let suffix = match way {
        Way::Shared | Way::Valgrind => "example",
        Way::Static => "example-static",
        Way::Sanitized => "example-asan",
    };
    let program = format!("{}-{suffix}-{:?}", name.replace('.', "-"), std::thread::current().id());
    compile(&root().join("examples-c").join(name), &program, language, way)
}

/// A namespace and a UDP port that no other test has, nor another run of this one.
fn meeting_place(test: &str) -> (String, String) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let port = socket.local_addr().expect("bound").port();
    (format!("{test}-{}", std::process::id()), port.to_string())
}

#[test]
fn every_example_is_compiled_by_the_makefile() {
    if !has("the Makefile of the examples", Command::new("make").arg("--version")) {
        return;
    }
    for variant in ["", "STATIC=1"] {
        let build = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("make-{variant}"));
        let mut make = Command::new("make");
        make.arg("-C").arg(root().join("examples-c")).arg("-B");
        make.arg(format!("LIBDIR={}", library().display()));
        make.arg(format!("BUILD={}", build.display()))
            .args(Some(variant).filter(|v| !v.is_empty()));
        let output = make.output().expect("make runs");
        assert!(output.status.success(), "{}", text(&output));
        let sources = fs::read_dir(root().join("examples-c")).expect("the examples").flatten();
        for source in sources.map(|entry| PathBuf::from(entry.file_name())) {
            if source.extension().is_some_and(|kind| kind == "c" || kind == "cpp") {
                assert!(build.join(source.with_extension("")).exists(), "{}", source.display());
            }
        }
    }
}

#[test]
fn first_programs_greet_each_other() {
    let program = example("first.c", Way::Shared);
    let names = ["x", "y"].map(|end| format!("first-{}-{end}", std::process::id()));
    let running = names.each_ref().map(|name| spawn(&program, name, &[name, "4"], Way::Shared));
    for (program, other) in running.into_iter().zip(names.iter().rev()) {
        program.await_text(&format!("{other} says \"hello\""));
        program.finish();
    }
}

fn ask_and_reply(way: Way) {
    if !is_possible(way) {
        return;
    }
    let (ns, port) = meeting_place("reply");
    let program = example("request_reply.c", way);
    let server = spawn(&program, "serve", &["serve", "server", &ns, &port, "5"], way);
    let client = ["ask", "how are you?", "server", "client", &ns, &port];
    assert!(spawn(&program, "ask", &client, way).finish().contains("HOW ARE YOU?"));
    assert!(server.finish().contains("how are you?\": ok"));
}

#[test]
fn a_request_has_its_reply() {
    ask_and_reply(Way::Shared);
}

#[test]
fn a_request_has_its_reply_under_address_sanitizer() {
    ask_and_reply(Way::Sanitized);
}

#[test]
fn a_program_in_cpp_talks_to_an_event_loop_and_the_topology_is_drawn() {
    let (ns, port) = meeting_place("loop");
    let (shared, seconds) = (Way::Shared, "10");
    let mut talker =
        spawn(&example("event_loop.c", shared), "run", &["loop", &ns, &port, seconds], shared);
    let cpp = spawn(&example("cpp_node.cpp", shared), "run", &["cpp", &ns, &port, seconds], shared);
    let watcher =
        spawn(&example("topology.c", shared), "run", &["watch", &ns, &port, seconds], shared);
    talker.await_text("cpp: hello from cpp");
    watcher.await_text("3 nodes");
    // The watcher's map is whole; the talker's own may come a moment later.
    talker.tell_until("good morning", "sent to 2 of 2: ok");
    cpp.await_text("loop says \"good morning\"");
    assert!(watcher.finish().contains("graph mesh {"));
    cpp.finish();
    talker.finish();
}

fn callbacks(way: Way) {
    if is_possible(way) {
        let said = spawn(&example("callbacks_snoop.c", way), "run", &["20"], way).finish();
        assert!(said.contains("20 sent, 20 received, 20 seen on the way"), "{said}");
    }
}

#[test]
fn callbacks_see_every_message() {
    callbacks(Way::Shared);
    callbacks(Way::Static);
}

#[test]
fn callbacks_see_every_message_under_address_sanitizer() {
    callbacks(Way::Sanitized);
}

#[test]
fn callbacks_see_every_message_under_valgrind() {
    callbacks(Way::Valgrind);
}

#[test]
fn a_large_file_reaches_everybody_whole() {
    let (ns, port) = meeting_place("file");
    let program = example("broadcast_file.c", Way::Shared);
    let file = program.with_extension("bytes");
    let bytes: Vec<u8> = (0..48 << 20).map(|i: u32| (i ^ (i >> 11)) as u8).collect();
    fs::write(&file, &bytes).expect("a file to send");
    let path = file.to_str().expect("a plain path");
    let copies = ["one", "two"].map(|name| format!("{path}.{name}"));
    let receivers = copies.each_ref().map(|copy| {
        let name = copy.rsplit('.').next().expect("its end");
        spawn(&program, name, &["receive", copy, name, &ns, &port, "60"], Way::Shared)
    });
    let sender = ["send", path, "2", "sender", &ns, &port];
    let said = spawn(&program, "send", &sender, Way::Shared).finish();
    assert!(said.contains(&format!("{} bytes to 2 of 2 nodes", bytes.len())), "{said}");
    for (receiver, copy) in receivers.into_iter().zip(&copies) {
        receiver.finish();
        assert!(fs::read(copy).expect("it was written") == bytes, "{copy} differs");
        fs::remove_file(copy).expect("it can go");
    }
    fs::remove_file(file).expect("it can go");
}

#[test]
fn a_demo_node_does_as_it_is_told() {
    let (ns, port) = meeting_place("demo");
    let program = example("demo_node.c", Way::Shared);
    let mut one = spawn(&program, "one", &["one", &ns, &port, "3"], Way::Shared);
    let mut two = spawn(&program, "two", &["two", &ns, &port, "3"], Way::Shared);
    let deadline = Instant::now() + PROGRAM_TIME_MAX;
    while !one.said().contains("mesh one:two two:one") {
        assert!(Instant::now() < deadline, "{}", one.said());
        one.tell("mesh");
        std::thread::sleep(LOOK);
    }
    one.tell("set two good morning");
    two.await_text("got one good morning");
    one.await_text("sent 1 0");
    two.tell("broadcast to all");
    one.await_text("got two to all");
    two.tell("peers");
    two.await_text("peers one");
    two.tell("quit");
    assert!(two.finish().starts_with("ready "));
    one.tell("set nobody x");
    one.await_text("sent 0 1");
    one.finish();
}
