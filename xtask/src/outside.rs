//! An installed copy, used as a stranger would: projects outside the tree that know it by
//! pkg-config or CMake alone, each program run until it and another have greeted each other.
//!
//! ```text
//!  install into a temporary folder ─┬─► Makefile (pkg-config): shared, static
//!                                   ├─► CMake: meshage::shared, meshage::static, C++
//!                                   ├─► a Go module: shared, static
//!                                   ├─► moved elsewhere, CMake again
//!                                   └─► cargo-c's copy, file by file
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::install::{self, Places};
use crate::process::Process;
use crate::shell::{self, Result};
use crate::tally::Tally;
use crate::{build, chance};

/// The project's files, from the top folder.
const PROJECT: [&str; 4] = [
    "examples-c/outside/Makefile",
    "examples-c/outside/CMakeLists.txt",
    "examples-c/first.c",
    "examples-cpp/first.cpp",
];
/// How long two nodes on one machine may take until both have been greeted, on a busy one too.
const GREETING_MAX: Duration = Duration::from_secs(20);
/// What two nodes that were started for a test get as the time after which they give up.
const PATIENCE_SECONDS: &str = "60";

/// Installs, then builds each project and runs what it made.
pub(crate) fn run(root: &Path, tally: &mut Tally) {
    let folder = match shell::Folder::outside("outside") {
        Ok(folder) => folder,
        Err(why) => return tally.skip("an installed copy", &why),
    };
    let copy = Copy { root, folder: &folder.0, places: Places::below(folder.0.join("prefix")) };
    if !tally.check("the library is installed", || install::into(root, &copy.places).map(|_| ())) {
        return;
    }
    match ["make", "pkg-config"].into_iter().find(|tool| !shell::is_installed(tool)) {
        Some(missing) => {
            tally.skip("make and pkg-config", &format!("{missing} is not installed"));
        }
        None => {
            tally.check("make and pkg-config: the shared library", || copy.make("shared", &[]));
            tally.check("make and pkg-config: the static library", || {
                copy.make("static", &["STATIC=1"])
            });
        }
    }
    if shell::is_installed("cmake") {
        tally.check("CMake: meshage::shared, meshage::static, C++", || copy.cmake());
        tally.check("CMake: a copy that was moved, with another folder for libraries", || {
            copy.moved()
        });
        tally.check("CMake: a version that serves is taken, another is not", || copy.versions());
    } else {
        tally.skip("the CMake package", "cmake is not installed");
    }
    match ["go", "pkg-config"].into_iter().find(|tool| !shell::is_installed(tool)) {
        Some(missing) => tally.skip("a Go module", &format!("{missing} is not installed")),
        None => {
            tally.check("a Go module, as the README says: shared, static, stale", || copy.go());
        }
    }
    if ["sed", "pkg-config"].into_iter().all(shell::is_installed) {
        tally.check("the README's commands for an installed copy", || copy.as_the_readme_says());
    } else {
        tally.skip("the README's commands", "sed or pkg-config is not installed");
    }
    tally.check("a library of another version fails to link, and says why", || copy.stale());
    if shell::is_installed("cargo-cinstall") {
        tally.check("cargo cinstall installs the same", || copy.cargo_c());
    } else {
        tally.skip("cargo cinstall", "cargo-c is not installed (cargo install --locked cargo-c)");
    }
}

/// An installed copy.
struct Copy<'a> {
    root: &'a Path,
    folder: &'a Path,
    places: Places,
}

impl Copy<'_> {
    fn make(&self, name: &str, variables: &[&str]) -> Result<()> {
        let project = self.project(name)?;
        let mut make = clean(shell::command(&project, "make"));
        make.args(variables).env("PKG_CONFIG_PATH", self.places.libdir.join("pkgconfig"));
        shell::quietly(&mut make)?;
        let (c, cpp) = (project.join("first"), project.join("first_cpp"));
        for program in [&c, &cpp] {
            needs_the_shared_library(program, name == "shared")?;
        }
        greet(&c, &cpp)
    }

    fn cmake(&self) -> Result<()> {
        let project = self.project("cmake")?;
        cmake(&project, &self.places.prefix, None)?;
        let program = |name: &str| project.join("build").join(name);
        needs_the_shared_library(&program("first"), true)?;
        needs_the_shared_library(&program("first_static"), false)?;
        greet(&program("first"), &program("first_static"))?;
        greet(&program("first_cpp"), &program("first"))
    }

    fn moved(&self) -> Result<()> {
        let (made, moved) = (self.folder.join("made"), self.folder.join("moved"));
        let mut places = Places::below(&made);
        places.libdir = made.join("lib/odd");
        install::into(self.root, &places)?;
        std::fs::rename(&made, &moved).map_err(|error| format!("it cannot be moved: {error}"))?;
        let project = self.project("cmake-moved")?;
        cmake(&project, &moved, Some("first_static"))?;
        let program = project.join("build/first_static");
        greet(&program, &program)
    }

    /// Asks CMake for versions and parts, and compares what it says.
    fn versions(&self) -> Result<()> {
        let [major, minor, patch] = [0, 1, 2].map(part_of_the_version);
        let next = minor + 1;
        let asked = [
            (format!("{major}.{minor}"), true),
            (format!("{major}.{minor}.{patch} EXACT COMPONENTS static shared"), true),
            (format!("{major}.{minor}...<{major}.{next}"), true),
            (format!("{major}.{next}"), false),
            (format!("{major}.{minor}.{}", patch + 1), false),
            (format!("{}.{minor}", major + 1), false),
            ("COMPONENTS dynamic".to_owned(), false),
        ];
        let project = self.project("versions")?;
        for (words, should) in asked {
            let text = format!(
                "cmake_minimum_required(VERSION 3.13)\nproject(asks LANGUAGES NONE)\n\
                 find_package(meshage {words} REQUIRED)\n"
            );
            std::fs::write(project.join("CMakeLists.txt"), text)
                .map_err(|error| format!("no project: {error}"))?;
            let mut configure = clean(shell::command(&project, "cmake"));
            // Older ones know no --fresh.
            let _ = std::fs::remove_dir_all(project.join("build"));
            configure
                .args(["-B", "build"])
                .arg(format!("-DCMAKE_PREFIX_PATH={}", self.places.prefix.display()));
            let (found, text) = shell::capture(&mut configure)?;
            if found != should {
                return Err(format!("find_package(meshage {words}): found is {found}:\n{text}"));
            }
        }
        Ok(())
    }

    /// Runs every command of the README's section, in a home of its own; what starts programs is
    /// done here, until they have greeted each other.
    fn as_the_readme_says(&self) -> Result<()> {
        let project = self.project("readme")?;
        let page = std::fs::read_to_string(self.root.join("README.md"))
            .map_err(|error| format!("cannot read the README: {error}"))?;
        let mut script = String::from("set -e\n");
        for line in commands(&page, "Install") {
            match line.split_whitespace().next() {
                Some("cargo") => {
                    script.push_str(&format!("(cd '{}' && {line}\n)\n", self.root.display()));
                }
                Some(program) if program.starts_with("./") => {}
                // Go may be missing: Copy::go does what it is to do.
                Some("go") => {}
                Some(_) | None => script.push_str(&format!("{line}\n")),
            }
        }
        let mut sh = clean(shell::command(&project, "sh"));
        // cargo and the toolchain are found from the home of whoever runs this.
        for (variable, folder) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
            let own = std::env::home_dir().map(|home| home.join(folder));
            if let (None, Some(own)) = (std::env::var_os(variable), own) {
                sh.env(variable, own);
            }
        }
        sh.args(["-c", &script]).env("HOME", &project);
        shell::quietly(&mut sh)?;
        greet(&project.join("first"), &project.join("first_cpp"))
    }

    /// Runs the README's commands for Go, which link the shared library; then the last of them with
    /// the tag for the static one, and against a library of another version.
    fn go(&self) -> Result<()> {
        let project = self.empty("go")?;
        let main = self.root.join("meshage-go/examples/first/main.go");
        std::fs::copy(main, project.join("main.go"))
            .map_err(|error| format!("cannot copy the Go program: {error}"))?;
        let page = std::fs::read_to_string(self.root.join("README.md"))
            .map_err(|error| format!("cannot read the README: {error}"))?;
        let tree = self.root.display().to_string();
        let lines: Vec<String> = commands(&page, "Install")
            .filter(|line| line.starts_with("go "))
            .map(|line| line.replace("$HOME/libmeshage", &tree))
            .collect();
        let run = |line: &str, flags: &str| {
            let mut sh = clean(shell::command(&project, "sh"));
            sh.args(["-c", line]).env("PKG_CONFIG_PATH", self.places.libdir.join("pkgconfig"));
            shell::capture(sh.env("CGO_LDFLAGS", flags))
        };
        for line in &lines {
            let (succeeded, text) = run(line, "")?;
            if !succeeded {
                return Err(format!("`{line}` failed:\n{text}"));
            }
        }
        let shared = project.join("shared");
        std::fs::rename(project.join("first"), &shared)
            .map_err(|error| format!("the commands make no program: {error}"))?;
        let build = lines.last().ok_or("the README has no commands for Go")?;
        let inside = build.replace("go build", "go build -tags meshage_static");
        let (succeeded, text) = run(&inside, "")?;
        if !succeeded {
            return Err(format!("`{inside}` failed:\n{text}"));
        }
        needs_the_shared_library(&shared, true)?;
        needs_the_shared_library(&project.join("first"), false)?;
        greet(&shared, &project.join("first"))?;
        fake_library(&project)?;
        let (linked, text) = run(build, &format!("-L{}", project.display()))?;
        says_the_version(linked, &text)
    }

    /// Links against a library that has everything but the function named for the version.
    fn stale(&self) -> Result<()> {
        let project = self.project("stale")?;
        fake_library(&project)?;
        let mut link = build::compiler(&project, "CXX", "c++");
        link.args(["-std=c++17", "first.cpp", "-I"]).arg(self.places.prefix.join("include"));
        link.args(["-L.", "-lmeshage", "-o", "first"]);
        let (linked, text) = shell::capture(&mut link)?;
        says_the_version(linked, &text)
    }

    fn cargo_c(&self) -> Result<()> {
        let prefix = self.folder.join("cargo-c");
        let _others_wait = shell::alone(self.root)?;
        let mut cinstall = shell::cargo(self.root, &["cinstall", "--release"]);
        cinstall.args(["-p", "meshage-ffi", "--libdir", "lib", "--prefix"]).arg(&prefix);
        shell::quietly(&mut cinstall)?;
        let (ours, theirs) = (contents(&self.places.prefix)?, contents(&prefix)?);
        if ours == theirs {
            return Ok(());
        }
        let differ = |file: &&PathBuf| ours.get(*file) != theirs.get(*file);
        let mut files: Vec<&PathBuf> = ours.keys().chain(theirs.keys()).filter(differ).collect();
        files.sort();
        files.dedup();
        Err(format!("these differ: {files:?}"))
    }

    /// A folder of its own.
    fn empty(&self, name: &str) -> Result<PathBuf> {
        let project = self.folder.join(name);
        let made = std::fs::create_dir_all(&project);
        made.map_err(|error| format!("no folder {}: {error}", project.display()))?;
        Ok(project)
    }

    /// A project of its own.
    fn project(&self, name: &str) -> Result<PathBuf> {
        let project = self.empty(name)?;
        for file in PROJECT {
            let from = self.root.join(file);
            let to = project.join(from.file_name().unwrap_or_default());
            std::fs::copy(&from, to).map_err(|error| format!("cannot copy {file}: {error}"))?;
        }
        Ok(project)
    }
}

/// A library of our name without anything in it.
fn fake_library(folder: &Path) -> Result<()> {
    let mut fake = build::compiler(folder, "CC", "cc");
    fake.args(["-shared", "-x", "c", "/dev/null", "-o", "libmeshage.so"]);
    shell::quietly(&mut fake).map(|_| ())
}

/// Whether a program did not link, for want of the function that is named for the version.
fn says_the_version(linked: bool, text: &str) -> Result<()> {
    let version = install::compatibility(env!("CARGO_PKG_VERSION")).replace('.', "_");
    let function = format!("meshage_abi_{version}");
    match !linked && text.contains(&function) {
        true => Ok(()),
        false => Err(format!("no word of {function}:\n{text}")),
    }
}

/// One of the version's three numbers.
fn part_of_the_version(at: usize) -> u64 {
    let part = env!("CARGO_PKG_VERSION").split(['.', '-', '+']).nth(at);
    part.and_then(|part| part.parse().ok()).unwrap_or_default()
}

/// The lines of a section's shell blocks.
fn commands<'a>(page: &'a str, section: &str) -> impl Iterator<Item = &'a str> {
    let title = format!("## {section}");
    let mut inside = false;
    let mut in_block = false;
    page.lines().filter(move |line| {
        if line.starts_with("## ") {
            inside = *line == title;
        }
        let is_fence = line.starts_with("```");
        if is_fence {
            in_block = *line == "```sh";
        }
        inside && in_block && !is_fence
    })
}

fn cmake(project: &Path, prefix: &Path, target: Option<&str>) -> Result<()> {
    let mut configure = clean(shell::command(project, "cmake"));
    let prefix_path = format!("-DCMAKE_PREFIX_PATH={}", prefix.display());
    configure.args(["-B", "build", "-DCMAKE_BUILD_TYPE=Release", &prefix_path]);
    shell::quietly(&mut configure)?;
    let mut make = clean(shell::command(project, "cmake"));
    make.args(["--build", "build"]);
    shell::quietly(make.args(target.map(|target| ["--target", target]).into_iter().flatten()))
        .map(|_| ())
}

/// A command that finds no library but the installed one.
fn clean(mut command: Command) -> Command {
    for variable in ["LD_LIBRARY_PATH", "LIBRARY_PATH", "CPATH", "MAKEFLAGS", "STATIC"] {
        command.env_remove(variable);
    }
    command
}

/// Whether a program asks for the shared library by its soname, as it should or should not.
fn needs_the_shared_library(program: &Path, should: bool) -> Result<()> {
    let bytes =
        std::fs::read(program).map_err(|error| format!("no {}: {error}", program.display()))?;
    let soname = format!("libmeshage.so.{}\0", install::compatibility(env!("CARGO_PKG_VERSION")));
    let does = bytes.windows(soname.len()).any(|window| window == soname.as_bytes());
    match does == should {
        true => Ok(()),
        false if should => Err(format!("{} does not ask for {soname:?}", program.display())),
        false => Err(format!("{} asks for the shared library", program.display())),
    }
}

/// Runs both until each has been greeted by the other.
fn greet(one: &Path, other: &Path) -> Result<()> {
    let run = chance::number();
    let names = [format!("one-{run:016x}"), format!("other-{run:016x}")];
    let start = |program: &Path, name: &str| {
        let mut command = clean(Command::new(program));
        command.args([name, PATIENCE_SECONDS]);
        Process::spawn(name, command)
    };
    let mut nodes = [start(one, &names[0])?, start(other, &names[1])?];
    let by = Instant::now() + GREETING_MAX;
    for (node, from) in nodes.iter_mut().zip(names.iter().rev()) {
        let greeting = format!("{from} says \"hello\"");
        while node.answer(by.saturating_duration_since(Instant::now()))? != greeting {}
    }
    Ok(())
}

/// Every file below a prefix: links as what they point to, text as it is but for the prefix, the
/// libraries by name alone.
fn contents(prefix: &Path) -> Result<BTreeMap<PathBuf, String>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![prefix.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder)
            .map_err(|error| format!("cannot list {}: {error}", folder.display()))?;
        for path in entries.flatten().map(|entry| entry.path()) {
            let shown = path.strip_prefix(prefix).unwrap_or(&path).to_path_buf();
            if let Ok(to) = std::fs::read_link(&path) {
                found.insert(shown, format!("link to {}", to.display()));
            } else if path.is_dir() {
                folders.push(path);
            } else {
                let text = std::fs::read_to_string(&path).unwrap_or_default();
                found.insert(shown, text.replace(&prefix.display().to_string(), "PREFIX"));
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_of_one_section_are_found() {
        let page = "## A\n```sh\nno\n```\n## B\ntext\n```sh\none\ntwo\n```\n```c\nno\n```\n## C\n";
        assert!(commands(page, "B").eq(["one", "two"]));
        let readme = std::fs::read_to_string(shell::root().join("README.md")).expect("the README");
        assert!(commands(&readme, "Install").any(|line| line.starts_with("cargo xtask install")));
    }
}
