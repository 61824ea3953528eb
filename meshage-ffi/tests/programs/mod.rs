//! What the tests share that compile programs and run them: compilers, sanitizers, running programs
//! with their output in a file, and a deadline on everything.

#![allow(dead_code, reason = "each test program uses what it needs")]

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Longer than any program runs, under valgrind too: a hang is a failure, not a stuck test.
pub(crate) const PROGRAM_TIME_MAX: Duration = Duration::from_secs(300);
/// How often a running program is looked after.
pub(crate) const LOOK: Duration = Duration::from_millis(10);
/// valgrind's exit status where it found something.
const VALGRIND_FOUND: &str = "--error-exitcode=99";

/// C as old as the header allows.
pub(crate) const C99: &[&str] = &["-x", "c", "-std=c99"];
/// C++ as old as `meshage.h` allows.
pub(crate) const CPP11: &[&str] = &["-x", "c++", "-std=c++11"];
/// C++ as old as `meshage.hpp` allows.
pub(crate) const CPP17: &[&str] = &["-x", "c++", "-std=c++17"];
/// C++ with spans.
pub(crate) const CPP20: &[&str] = &["-x", "c++", "-std=c++20"];

/// How a program is linked and run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Shared,
    Static,
    Sanitized,
    Valgrind,
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Where libmeshage.so and libmeshage.a are, built where they are not up to date.
pub(crate) fn library() -> &'static Path {
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

pub(crate) fn compiler(variable: &str, default: &str) -> OsString {
    std::env::var_os(variable).unwrap_or_else(|| default.into())
}

/// Compiles a program with the system's compiler; `name` tells its builds apart.
pub(crate) fn compile(source: &Path, name: &str, language: &[&str], way: Way) -> PathBuf {
    let is_cpp = language.contains(&"c++");
    let driver = if is_cpp { compiler("CXX", "c++") } else { compiler("CC", "cc") };
    compile_with(driver, source, name, language, way)
}

/// Compiles a program with a compiler that is named.
pub(crate) fn compile_with(
    driver: OsString,
    source: &Path,
    name: &str,
    language: &[&str],
    way: Way,
) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("c");
    std::fs::create_dir_all(&folder).expect("a folder for the programs");
    let program = folder.join(name);
    let library = library();
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
pub(crate) struct Running {
    child: Child,
    output: PathBuf,
}

/// Starts a program; `label` tells its runs apart.
pub(crate) fn spawn(program: &Path, label: &str, arguments: &[&str], way: Way) -> Running {
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
    pub(crate) fn said(&self) -> String {
        let bytes = fs::read(&self.output).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits until it has said something.
    pub(crate) fn await_text(&self, text: &str) {
        let deadline = Instant::now() + PROGRAM_TIME_MAX;
        while !self.said().contains(text) {
            assert!(Instant::now() < deadline, "it does not say {text:?}: {}", self.said());
            std::thread::sleep(LOOK);
        }
    }

    /// Types a line.
    pub(crate) fn tell(&mut self, line: &str) {
        let stdin = self.child.stdin.as_mut().expect("it listens");
        writeln!(stdin, "{line}").expect("it reads");
    }

    /// Types a line, and again after each answer, until the answer is this one.
    pub(crate) fn tell_until(&mut self, line: &str, answer: &str) {
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
    pub(crate) fn finish(mut self) -> String {
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

pub(crate) fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Whether this machine has a tool; where not, says what is skipped, past the test's own capture.
pub(crate) fn has(what: &str, probe: &mut Command) -> bool {
    let there = probe.stdout(Stdio::null()).stderr(Stdio::null()).status();
    let there = there.is_ok_and(|status| status.success());
    if !there {
        writeln!(std::io::stdout(), "skipped: {what}, because it is not installed")
            .expect("somebody reads");
    }
    there
}

pub(crate) fn is_possible(way: Way) -> bool {
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
