//! Tests the C library with C programs: those in `c/` and those in `examples-c/`, compiled with
//! warnings as errors and linked with the library in `target/release`.
//!
//! There are four modes: with the shared library, with the static one, under AddressSanitizer (with
//! its leak check), and under valgrind. If a tool is missing, a test prints what it skips and why.

mod programs;

use std::fs;
use std::io::Write as _;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use programs::*;

/// Compiles and runs a program of `c/`.
fn check(name: &str, mode: Mode) {
    if !is_possible(mode) {
        return;
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c").join(format!("{name}.c"));
    let program = compile(&source, &format!("{name}-{}", mode.suffix()), C99, mode);
    spawn(&program, "run", &[], mode).finish();
}

macro_rules! programs {
    ($($test:ident: $name:literal, $($mode:ident)*;)*) => {
        $(mod $test {
            use super::*;
            $(programs!(@ $name $mode);)*
        })*
    };
    (@ $name:literal Shared) => {
        #[test] fn with_the_shared_library() { check($name, Mode::Shared) }
    };
    (@ $name:literal Static) => {
        #[test] fn with_the_static_library() { check($name, Mode::Static) }
    };
    (@ $name:literal Sanitized) => {
        #[test] fn under_address_sanitizer() { check($name, Mode::Sanitized) }
    };
    (@ $name:literal Valgrind) => {
        #[test] fn under_valgrind() { check($name, Mode::Valgrind) }
    };
}

programs! {
    the_header_matches_the_contract: "contract", Shared Static;
    null_is_never_a_crash: "nulls", Shared Static Sanitized Valgrind;
    bad_names_and_numbers_are_errors: "names", Shared Sanitized Valgrind;
    links_topology_and_events: "links", Shared Sanitized Valgrind;
    sends_and_their_reports: "send", Shared Static Sanitized Valgrind;
    options_of_a_send: "options", Shared Static Sanitized Valgrind;
    a_closed_node_answers_as_the_header_says: "closed", Shared Sanitized Valgrind;
    events_say_who_and_why: "events", Shared Sanitized;
    all_ways_to_receive: "receive", Shared Sanitized Valgrind;
    a_node_may_be_freed_anywhere: "lifetime", Shared Static Sanitized Valgrind;
    inherited_nodes_are_errors_in_a_forked_child: "fork", Shared Sanitized;
    a_worker_does_not_keep_the_sockets_of_its_parent: "worker", Shared Sanitized;
    a_killed_peer_raises_no_signal: "sigpipe", Shared Static Sanitized;
    a_program_exits_without_freeing: "exit", Shared Static Sanitized Valgrind;
    outstanding_sends: "async", Shared Sanitized Valgrind;
    closing_and_replying_at_once: "promptly", Shared Sanitized;
    a_broadcast_arrives_although_its_tree_changes: "changing", Shared;
    many_threads_use_two_nodes: "threads", Shared Sanitized Valgrind;
    // Not under valgrind: it takes the keys of a handshake, and all that is sealed with them, for
    // uninitialised. They are not: both ends compute the same ones, or no record could be opened.
    keys_of_closed_meshes: "keys", Shared Static Sanitized;
    snooping_and_the_log: "snoop_log", Shared Sanitized Valgrind;
    calls_in_any_order: "fuzz", Shared Sanitized;
}

/// Every call works after the thread-locals of the library are destroyed.
fn ends(mode: Mode) {
    if !is_possible(mode) {
        return;
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c/ending.c");
    let program = compile(&source, &format!("ending-{}", mode.suffix()), C99, mode);
    let threads = ["a thread that used the library", "a thread that did not"];
    let places = ["main", "an atexit handler", "a later atexit handler", "a destructor function"];
    let (arguments, places) = match mode {
        Mode::Shared | Mode::Static => (&[][..], [&threads[..], &places].concat()),
        Mode::Sanitized | Mode::Valgrind => (&["without threads"][..], places.to_vec()),
    };
    let output = spawn(&program, "run", arguments, mode).finish();
    // valgrind prints what may be lost, which is no error.
    let printed = output.lines().filter(|line| !line.starts_with("=="));
    assert_eq!(printed.collect::<Vec<_>>(), places);
}

#[test]
fn without_threads_calls_fail_with_what_to_do_and_work_again_later() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c/no_threads.c");
    let program = compile(&source, "no_threads", C99, Mode::Static);
    let output = spawn(&program, "run", &[], Mode::Static).finish();
    if !output.is_empty() {
        writeln!(std::io::stdout(), "{}", output.trim()).expect("standard output is open");
    }
}

#[test]
fn every_call_works_at_the_end_of_a_thread_and_of_the_program() {
    ends(Mode::Shared);
    ends(Mode::Static);
}

#[test]
fn every_call_works_at_the_end_of_the_program_under_address_sanitizer() {
    ends(Mode::Sanitized);
}

#[test]
fn every_call_works_at_the_end_of_the_program_under_valgrind() {
    ends(Mode::Valgrind);
}

#[test]
fn the_header_matches_the_contract_in_cpp() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c/contract.c");
    let program = compile(&source, "contract-cpp", CPP11, Mode::Shared);
    spawn(&program, "run", &[], Mode::Shared).finish();
}

/// A program of `examples-c/`.
fn example(name: &str, mode: Mode) -> PathBuf {
    let language = if name.ends_with(".cpp") { CPP11 } else { C99 };
    let suffix = match mode {
        Mode::Shared | Mode::Valgrind => "example",
        Mode::Static => "example-static",
        Mode::Sanitized => "example-asan",
    };
    let program = format!("{}-{suffix}-{:?}", name.replace('.', "-"), std::thread::current().id());
    compile(&root().join("examples-c").join(name), &program, language, mode)
}

/// A namespace and a UDP port that no other test and no other run of this test uses.
fn namespace_and_port(test: &str) -> (String, String) {
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
fn the_first_programs_greet_each_other() {
    let program = example("first.c", Mode::Shared);
    let names = ["x", "y"].map(|end| format!("first-{}-{end}", std::process::id()));
    let running = names.each_ref().map(|name| spawn(&program, name, &[name, "4"], Mode::Shared));
    for (program, other) in running.into_iter().zip(names.iter().rev()) {
        program.await_text(&format!("{other} says \"hello\""));
        program.finish();
    }
}

fn closed_mesh(mode: Mode) {
    if is_possible(mode) {
        let output = spawn(&example("closed.c", mode), "run", &[], mode).finish();
        assert!(output.contains("bob: hello\nmallory: the other end has no key"), "{output}");
    }
}

#[test]
fn a_closed_mesh_turns_a_stranger_away() {
    closed_mesh(Mode::Shared);
}

#[test]
fn a_closed_mesh_turns_a_stranger_away_under_address_sanitizer() {
    closed_mesh(Mode::Sanitized);
}

fn request_and_reply(mode: Mode) {
    if !is_possible(mode) {
        return;
    }
    let (ns, port) = namespace_and_port("reply");
    let program = example("request_reply.c", mode);
    let server = spawn(&program, "serve", &["serve", "server", &ns, &port, "5"], mode);
    let client = ["ask", "how are you?", "server", "client", &ns, &port];
    assert!(spawn(&program, "ask", &client, mode).finish().contains("HOW ARE YOU?"));
    assert!(server.finish().contains("how are you?\": ok"));
}

#[test]
fn a_request_gets_a_reply() {
    request_and_reply(Mode::Shared);
}

#[test]
fn a_request_gets_a_reply_under_address_sanitizer() {
    request_and_reply(Mode::Sanitized);
}

#[test]
fn a_cpp_program_and_an_event_loop_exchange_messages_and_the_topology_is_printed() {
    let (ns, port) = namespace_and_port("loop");
    let (shared, seconds) = (Mode::Shared, "10");
    let mut event_loop =
        spawn(&example("event_loop.c", shared), "run", &["loop", &ns, &port, seconds], shared);
    let cpp = spawn(&example("cpp_node.cpp", shared), "run", &["cpp", &ns, &port, seconds], shared);
    let watcher =
        spawn(&example("topology.c", shared), "run", &["watch", &ns, &port, seconds], shared);
    event_loop.await_text("cpp: hello from cpp");
    watcher.await_text("3 nodes");
    // The watcher knows all nodes; the event loop may know them slightly later.
    event_loop.write_line_until("good morning", "sent to 2 of 2: ok");
    cpp.await_text("loop says \"good morning\"");
    assert!(watcher.finish().contains("graph mesh {"));
    cpp.finish();
    event_loop.finish();
}

fn callbacks(mode: Mode) {
    if is_possible(mode) {
        let output = spawn(&example("callbacks_snoop.c", mode), "run", &["20"], mode).finish();
        assert!(output.contains("20 sent, 20 received, 20 seen in transit"), "{output}");
    }
}

#[test]
fn callbacks_see_every_message() {
    callbacks(Mode::Shared);
    callbacks(Mode::Static);
}

#[test]
fn callbacks_see_every_message_under_address_sanitizer() {
    callbacks(Mode::Sanitized);
}

#[test]
fn callbacks_see_every_message_under_valgrind() {
    callbacks(Mode::Valgrind);
}

#[test]
fn a_large_file_reaches_every_node_intact() {
    let (ns, port) = namespace_and_port("file");
    let program = example("broadcast_file.c", Mode::Shared);
    let file = program.with_extension("bytes");
    let bytes: Vec<u8> = (0..48 << 20).map(|i: u32| (i ^ (i >> 11)) as u8).collect();
    fs::write(&file, &bytes).expect("a file to send");
    let path = file.to_str().expect("a plain path");
    let copies = ["one", "two"].map(|name| format!("{path}.{name}"));
    let receivers = copies.each_ref().map(|copy| {
        let name = copy.rsplit('.').next().expect("an extension");
        spawn(&program, name, &["receive", copy, name, &ns, &port, "60"], Mode::Shared)
    });
    let sender = ["send", path, "2", "sender", &ns, &port];
    let output = spawn(&program, "send", &sender, Mode::Shared).finish();
    assert!(output.contains(&format!("{} bytes to 2 of 2 nodes", bytes.len())), "{output}");
    for (receiver, copy) in receivers.into_iter().zip(&copies) {
        receiver.finish();
        assert!(fs::read(copy).expect("the file was written") == bytes, "{copy} differs");
        fs::remove_file(copy).expect("the file can be removed");
    }
    fs::remove_file(file).expect("the file can be removed");
}

#[test]
fn a_demo_node_runs_its_commands() {
    let (ns, port) = namespace_and_port("demo");
    let program = example("demo_node.c", Mode::Shared);
    let mut one = spawn(&program, "one", &["one", &ns, &port, "3"], Mode::Shared);
    let mut two = spawn(&program, "two", &["two", &ns, &port, "3"], Mode::Shared);
    let deadline = Instant::now() + PROGRAM_TIME_MAX;
    while !one.output().contains("mesh one:two two:one") {
        assert!(Instant::now() < deadline, "{}", one.output());
        one.write_line("mesh");
        std::thread::sleep(POLL_INTERVAL);
    }
    one.write_line("set two good morning");
    two.await_text("got one good morning");
    one.await_text("sent 1 0");
    two.write_line("broadcast to all");
    one.await_text("got two to all");
    two.write_line("peers");
    two.await_text("peers one");
    two.write_line("quit");
    assert!(two.finish().starts_with("ready "));
    one.write_line("set nobody x");
    one.await_text("sent 0 1");
    one.finish();
}
