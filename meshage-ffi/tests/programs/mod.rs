//! Shared by the tests that compile and run programs: compilers, sanitizers, running programs with
//! their output in a file. Every wait has a deadline.

#![allow(dead_code, reason = "each test program uses what it needs")]

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Longer than any program runs, also under valgrind: a program that hangs fails its test.
pub(crate) const PROGRAM_TIME_MAX: Duration = Duration::from_secs(300);
/// How often the state of a running program is checked.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// Makes valgrind exit with this status if it found an error.
const VALGRIND_ERROR_EXIT: &str = "--error-exitcode=99";

/// The oldest C that the header supports.
pub(crate) const C99: &[&str] = &["-x", "c", "-std=c99"];
/// The oldest C++ that `meshage.h` supports.
pub(crate) const CPP11: &[&str] = &["-x", "c++", "-std=c++11"];
/// The oldest C++ that `meshage.hpp` supports.
pub(crate) const CPP17: &[&str] = &["-x", "c++", "-std=c++17"];
/// C++ with `std::span`.
pub(crate) const CPP20: &[&str] = &["-x", "c++", "-std=c++20"];

/// How a program is linked and run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Shared,
    Static,
    Sanitized,
    Valgrind,
}

impl Mode {
    /// Distinguishes the builds of a program.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Mode::Shared => "shared",
            Mode::Static => "static",
            Mode::Sanitized => "asan",
            Mode::Valgrind => "valgrind",
        }
    }
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The folder of libmeshage.so and libmeshage.a, which are built if they are not up to date.
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

/// Compiles a program with the system's compiler; `name` distinguishes its builds.
pub(crate) fn compile(source: &Path, name: &str, language: &[&str], mode: Mode) -> PathBuf {
    let is_cpp = language.contains(&"c++");
    let driver = if is_cpp { compiler("CXX", "c++") } else { compiler("CC", "cc") };
    compile_with(driver, source, name, language, mode)
}

/// Compiles a program with the given compiler.
pub(crate) fn compile_with(
    driver: OsString,
    source: &Path,
    name: &str,
    language: &[&str],
    mode: Mode,
) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("c");
    std::fs::create_dir_all(&folder).expect("a folder for the programs");
    let program = folder.join(name);
    let library = library();
    let mut command = Command::new(driver);
    command.args(language).args(["-g", "-O1", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]);
    command.arg("-I").arg(root().join("include")).arg("-o").arg(&program).arg(source);
    command.args(["-x", "none"]);
    match mode {
        Mode::Static => command.arg(library.join("libmeshage.a")).args(["-lm", "-ldl"]),
        Mode::Shared | Mode::Sanitized | Mode::Valgrind => {
            let path = format!("-Wl,-rpath,{}", library.display());
            command.arg("-L").arg(library).arg(path).arg("-lmeshage")
        }
    };
    if mode == Mode::Sanitized {
        command.args(["-fsanitize=address", "-fno-omit-frame-pointer"]);
    }
    let output = command.arg("-lpthread").output().expect("a C compiler");
    assert!(output.status.success(), "{}: {}", source.display(), text(&output));
    program
}

/// A running program, with its output in a file.
pub(crate) struct Running {
    child: Child,
    output_file: PathBuf,
}

/// Starts a program; `label` distinguishes its runs.
pub(crate) fn spawn(program: &Path, label: &str, arguments: &[&str], mode: Mode) -> Running {
    let mut command = match mode {
        Mode::Valgrind => {
            let mut valgrind = Command::new("valgrind");
            valgrind.args(["--quiet", "--leak-check=full", "--errors-for-leak-kinds=definite"]);
            // Fair scheduling: otherwise a thread that polls starves the threads that it waits for.
            valgrind.args([VALGRIND_ERROR_EXIT, "--fair-sched=yes"]).arg(program);
            valgrind
        }
        Mode::Shared | Mode::Static | Mode::Sanitized => Command::new(program),
    };
    // cargo's search path has the library of another profile first.
    command.env_remove("LD_LIBRARY_PATH");
    command.args(arguments).env("ASAN_OPTIONS", "detect_leaks=1:abort_on_error=0");
    let output_file = program.with_extension(format!("{label}.out"));
    let log = File::create(&output_file).expect("a file for its output");
    command.stdin(Stdio::piped()).stderr(log.try_clone().expect("a second handle")).stdout(log);
    Running { child: command.spawn().expect("it starts"), output_file }
}

impl Running {
    /// Returns the output so far.
    pub(crate) fn output(&self) -> String {
        let bytes = fs::read(&self.output_file).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits until the output contains a text.
    pub(crate) fn await_text(&self, text: &str) {
        let deadline = Instant::now() + PROGRAM_TIME_MAX;
        while !self.output().contains(text) {
            assert!(
                Instant::now() < deadline,
                "the output does not contain {text:?}: {}",
                self.output()
            );
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    /// Writes a line to the program's standard input.
    pub(crate) fn write_line(&mut self, line: &str) {
        let stdin = self.child.stdin.as_mut().expect("a pipe");
        writeln!(stdin, "{line}").expect("it reads");
    }

    /// Writes a line, and again after each response, until the response is `expected`.
    pub(crate) fn write_line_until(&mut self, line: &str, expected: &str) {
        let deadline = Instant::now() + PROGRAM_TIME_MAX;
        while !self.output().contains(expected) {
            assert!(Instant::now() < deadline, "no response {expected:?}: {}", self.output());
            let lines = self.output().lines().count();
            self.write_line(line);
            while self.output().lines().count() == lines && Instant::now() < deadline {
                std::thread::sleep(POLL_INTERVAL);
            }
        }
    }

    /// Waits until the program has ended and returns its output. Fails if the program hangs.
    pub(crate) fn finish(mut self) -> String {
        drop(self.child.stdin.take());
        let deadline = Instant::now() + PROGRAM_TIME_MAX;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                break status;
            }
            if Instant::now() > deadline {
                self.child.kill().expect("it can be killed");
                panic!("{} hangs: {}", self.output_file.display(), self.output());
            }
            std::thread::sleep(POLL_INTERVAL);
        };
        assert!(status.success(), "{}: {status}: {}", self.output_file.display(), self.output());
        self.output()
    }
}

pub(crate) fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Whether this machine has a tool. If not, prints what is skipped, bypassing the test's capture.
pub(crate) fn has(what: &str, probe: &mut Command) -> bool {
    let status = probe.stdout(Stdio::null()).stderr(Stdio::null()).status();
    let is_installed = status.is_ok_and(|status| status.success());
    if !is_installed {
        writeln!(std::io::stdout(), "skipped: {what}, because it is not installed")
            .expect("standard output");
    }
    is_installed
}

pub(crate) fn is_possible(mode: Mode) -> bool {
    static VALGRIND: OnceLock<bool> = OnceLock::new();
    static SANITIZER: OnceLock<bool> = OnceLock::new();
    match mode {
        Mode::Shared | Mode::Static => true,
        Mode::Valgrind => *VALGRIND.get_or_init(|| {
            has("the C programs under valgrind", Command::new("valgrind").arg("--version"))
        }),
        Mode::Sanitized => *SANITIZER.get_or_init(|| {
            let probe = Path::new(env!("CARGO_TARGET_TMPDIR")).join("asan-probe");
            let mut cc = Command::new(compiler("CC", "cc"));
            cc.args(["-fsanitize=address", "-shared", "-x", "c", "/dev/null", "-o"]).arg(probe);
            has("the C programs under AddressSanitizer", &mut cc)
        }),
    }
}
