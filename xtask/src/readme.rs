//! `cargo xtask readme`: runs the commands of the README as a reader would, from top to bottom.
//!
//! Every block of commands runs unchanged, in the order of the page. The first block starts in the
//! tree. Each other block starts in the folder where the previous one ended, with its exported
//! variables. The home folder is empty at first. A block that starts `alice` and `bob` passes when
//! each has received a greeting from the other.
//!
//! ```text
//!  README.md ─► blocks ─┬─ sh ──────► run until both nodes have greeted, or until the block ends
//!                       ├─ save: F ─► saved in the current folder of the commands
//!                       └─ file: F ─► a program of the tree, which a command must copy
//! ```

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::greeting::is_greeting;
use crate::shell::{self, Result};
use crate::tally::Tally;
use crate::temp_folder::TempFolder;
use crate::{go, random};

/// The page with the blocks.
const PAGE: &str = "README.md";
/// Commands that are not run, because this check is part of them or they are tested elsewhere.
const NOT_RUN: [&str; 2] = ["cargo xtask demo", "cargo xtask test"];
/// The two nodes that greet each other.
const NODES: [&str; 2] = ["alice", "bob"];
/// The node of the job queue. A block with this name ends by itself.
const QUEUE: &str = "printshop";
/// Tools that some blocks need, but that are not required to build the project.
const TOOLS: [&str; 5] = ["pkg-config", "cmake", "go", "c++", "sed"];
/// The time limit for a block. Some blocks build the library, which takes about a minute on two cores.
const BLOCK_MAX: Duration = Duration::from_secs(400);

/// A block of the page, with the title of its section.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Block {
    title: String,
    kind: Kind,
    text: String,
}

/// The kind of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    /// Commands to run.
    Commands,
    /// Text to save in a file of this name.
    Save(String),
    /// This file of the tree. Another check compares the two.
    Program(String),
    /// A block without a known kind, which is an error.
    Unknown,
}

/// Runs the page's commands, and prints the counts.
pub(crate) fn run(root: &Path) -> Result<()> {
    let mut tally = Tally::default();
    test(root, &mut tally);
    tally.finish()
}

/// Runs the page's commands as checks of a larger tally.
pub(crate) fn test(root: &Path, tally: &mut Tally) {
    let page = std::fs::read_to_string(root.join(PAGE)).unwrap_or_default();
    let blocks = blocks(&page);
    tally.check("every block of the README contains commands or a program that they use", || {
        check_kinds(&blocks)
    });
    let reader = match Reader::new(root) {
        Ok(reader) => reader,
        Err(why) => return tally.skip("the README's commands", &why),
    };
    for block in &blocks {
        let what = format!("the README, {}: {}", block.title, first_command(&block.text));
        match &block.kind {
            Kind::Commands if is_not_run(&block.text) => {}
            Kind::Commands => match missing(&block.text) {
                Some(tool) => tally.skip(&what, &format!("{tool} is not installed")),
                None => {
                    tally.check(&what, || reader.run(&block.text));
                }
            },
            Kind::Save(name) => {
                tally.check(&format!("the README, {}: {name}", block.title), || {
                    reader.save(name, &block.text)
                });
            }
            Kind::Program(_) | Kind::Unknown => {}
        }
    }
}

/// A simulated reader with an empty home folder, who runs the commands of the page.
struct Reader {
    tree: PathBuf,
    home: TempFolder,
    /// The file with the state that earlier commands left: variables and the current folder.
    state: PathBuf,
    /// The build cache of Go, so that its standard library is not compiled for every reader.
    go_cache: Option<String>,
}

impl Reader {
    fn new(root: &Path) -> Result<Self> {
        let home = TempFolder::new("readme")?;
        let state = home.path().join(".state");
        let mut cache = shell::command(root, "go");
        let go_cache = match go::unavailable_reason() {
            None => shell::run_quietly(cache.args(["env", "GOCACHE"])).ok(),
            Some(_) => None,
        };
        let reader = Self { tree: root.to_path_buf(), home, state, go_cache };
        reader.write(&reader.state, &format!("cd {}\n", quoted(root)))?;
        Ok(reader)
    }

    /// Runs a block to its end, or until its nodes have exchanged greetings.
    fn run(&self, block: &str) -> Result<()> {
        let run = random::number();
        let unique = |name: &str| format!("{name}-{run:016x}");
        let node_names = starts_nodes(block).then(|| NODES.map(unique));
        let block = &renamed(block, unique);
        let mut script = format!("set -e\n. {}\n", quoted(&self.state));
        if node_names.is_some() {
            // If one node does not start, the script does not wait for the other.
            script.push_str("trap 'kill 0' EXIT\n");
        }
        script.push_str(block);
        let state = quoted(&self.state);
        script.push_str(&format!("\n{{ export -p; echo cd \"'$PWD'\"; }} > {state}\n"));
        let mut running = Running::start(&mut self.shell(&script))?;
        let deadline = Instant::now() + BLOCK_MAX;
        match node_names {
            None => running.wait_for_end(deadline),
            Some(names) => running.wait_for_greetings(&names, deadline),
        }
    }

    /// Writes a file into the current folder of the commands.
    fn save(&self, name: &str, text: &str) -> Result<()> {
        let print_folder = format!(". {}; pwd", quoted(&self.state));
        let folder = shell::run_quietly(&mut self.shell(&print_folder))?;
        self.write(&Path::new(folder.trim_end()).join(name), text)
    }

    fn write(&self, file: &Path, text: &str) -> Result<()> {
        std::fs::write(file, text)
            .map_err(|error| format!("cannot write {}: {error}", file.display()))
    }

    fn shell(&self, script: &str) -> Command {
        let mut sh = shell::without_library_paths(shell::command(&self.tree, "sh"));
        // cargo and the toolchain are in the home folder of the user of this command.
        for (variable, folder) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
            let path = std::env::home_dir().map(|home| home.join(folder));
            if let (None, Some(path)) = (std::env::var_os(variable), path) {
                sh.env(variable, path);
            }
        }
        if let Some(cache) = &self.go_cache {
            sh.env("GOCACHE", cache.trim()).env("CGO_CFLAGS", go::cgo_flags(self.home.path()));
        }
        for variable in
            ["PKG_CONFIG_PATH", "LD_RUN_PATH", "VIRTUAL_ENV", "PYTHONPATH", "CARGO_MANIFEST_DIR"]
        {
            sh.env_remove(variable);
        }
        sh.args(["-c", script]).env("HOME", self.home.path());
        sh
    }
}

/// A running block, with all processes that it started. Dropping the value kills them.
struct Running {
    child: Child,
    lines: Receiver<String>,
    output: Vec<String>,
}

impl Running {
    fn start(command: &mut Command) -> Result<Self> {
        // A separate process group, so that background processes can be killed with the block.
        command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("cannot start sh: {error}"))?;
        let (sender, lines) = mpsc::channel();
        let forward = |stream: Box<dyn std::io::Read + Send>| {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(std::result::Result::ok) {
                    if sender.send(line).is_err() {
                        return;
                    }
                }
            });
        };
        if let Some(stream) = child.stdout.take() {
            forward(Box::new(stream));
        }
        if let Some(stream) = child.stderr.take() {
            forward(Box::new(stream));
        }
        Ok(Self { child, lines, output: Vec::new() })
    }

    /// Waits until the commands have ended, and checks that they succeeded.
    fn wait_for_end(&mut self, deadline: Instant) -> Result<()> {
        while self.line(deadline)?.is_some() {}
        let status = self.child.wait().map_err(|error| format!("cannot wait for sh: {error}"))?;
        if status.success() { Ok(()) } else { Err(self.error(&status.to_string())) }
    }

    /// Waits until each of the two nodes has printed the other's greeting.
    fn wait_for_greetings(&mut self, names: &[String; 2], deadline: Instant) -> Result<()> {
        let mut greeted = [false; 2];
        while greeted != [true; 2] {
            let Some(line) = self.line(deadline)? else {
                return Err(self.error("the nodes exited before they had exchanged greetings"));
            };
            for (greeted, name) in greeted.iter_mut().zip(names) {
                *greeted |= is_greeting(&line, name);
            }
        }
        Ok(())
    }

    /// The next line of output, or `None` at its end.
    fn line(&mut self, deadline: Instant) -> Result<Option<String>> {
        match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                self.output.push(line.clone());
                Ok(Some(line))
            }
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => {
                Err(self.error(&format!("the block did not finish in {} s", BLOCK_MAX.as_secs())))
            }
        }
    }

    fn error(&self, why: &str) -> String {
        format!("{why}\n{}", self.output.join("\n"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The process group exists until the shell has been waited for.
        if matches!(self.child.try_wait(), Ok(None)) {
            let end = format!("kill -KILL -{}", self.child.id());
            let _ = Command::new("sh").args(["-c", &end]).status();
            let _ = self.child.wait();
        }
    }
}

/// The blocks of a page, in order.
fn blocks(page: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut title = String::new();
    let mut previous = "";
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(words) = line.strip_prefix('#') {
            title = words.trim_start_matches('#').trim().to_owned();
        } else if let Some(language) = line.strip_prefix("```") {
            let text: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            let kind = kind(previous, language);
            found.push(Block { title: title.clone(), kind, text: text.join("\n") + "\n" });
        }
        previous = line;
    }
    found
}

/// The kind of a block, from the line before it and its language.
fn kind(previous: &str, language: &str) -> Kind {
    let named = |what: &str| Some(previous.strip_prefix(what)?.strip_suffix(" -->")?.to_owned());
    match (named("<!-- file: "), named("<!-- save: "), language) {
        (Some(file), _, _) => Kind::Program(file),
        (None, Some(file), _) => Kind::Save(file),
        (None, None, "sh") => Kind::Commands,
        (None, None, _) => Kind::Unknown,
    }
}

/// Checks that every block is run, or is a program that a command copies.
fn check_kinds(blocks: &[Block]) -> Result<()> {
    for block in blocks {
        match &block.kind {
            Kind::Unknown => {
                return Err(format!(
                    "the section {} has a block that no command runs",
                    block.title
                ));
            }
            Kind::Program(file) if !is_copied(blocks, file) => {
                return Err(format!("no command of the README copies {file}"));
            }
            Kind::Program(_) | Kind::Commands | Kind::Save(_) => {}
        }
    }
    if blocks.is_empty() { Err(format!("{PAGE} has no blocks")) } else { Ok(()) }
}

fn is_copied(blocks: &[Block], file: &str) -> bool {
    let name = format!("$MESHAGE/{file}");
    let copies = |block: &Block| block.text.split_whitespace().any(|word| word == name);
    blocks.iter().any(|block| block.kind == Kind::Commands && copies(block))
}

/// The lines of a block without comments and without empty lines.
fn commands(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .map(|line| line.split(" #").next().unwrap_or(line).trim())
        .filter(|line| !line.is_empty())
}

fn first_command(text: &str) -> &str {
    commands(text).next().unwrap_or_default()
}

fn is_not_run(text: &str) -> bool {
    commands(text).all(|command| NOT_RUN.contains(&command))
}

/// A tool that a block needs and that is not installed.
fn missing(text: &str) -> Option<&'static str> {
    let needs = |tool: &str| {
        commands(text)
            .flat_map(|line| line.split(['|', '&', ';', '(']))
            .any(|part| part.split_whitespace().next() == Some(tool))
    };
    TOOLS.into_iter().find(|tool| needs(tool) && !shell::is_installed(tool))
}

/// Whether a block starts the two nodes.
fn starts_nodes(text: &str) -> bool {
    let has =
        |name: &&str| commands(text).any(|line| line.split_whitespace().any(|word| word == *name));
    NODES.iter().all(has)
}

/// Replaces the names of the nodes in a block. Only they differ from the page, because names must be
/// unique on this machine.
fn renamed(text: &str, unique: impl Fn(&str) -> String) -> String {
    let is_name = |word: &str| NODES.contains(&word) || word == QUEUE;
    let word = |word: &str| if is_name(word) { unique(word) } else { word.to_owned() };
    let line = |line: &str| line.split(' ').map(word).collect::<Vec<_>>().join(" ");
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

fn quoted(path: &Path) -> String {
    format!("'{}'", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# Page
## One
```sh
cd x # go there
./first alice & ./first bob
```
<!-- save: CMakeLists.txt -->
```cmake
x
```
### Two
<!-- file: a/b.c -->
```c
y
```
```sh
cp $MESHAGE/a/b.c .
```
";

    #[test]
    fn the_kind_of_a_block_follows_from_its_marker_and_language() {
        let kinds: Vec<Kind> = blocks(TEXT).into_iter().map(|block| block.kind).collect();
        let save = Kind::Save("CMakeLists.txt".into());
        assert_eq!(kinds, [Kind::Commands, save, Kind::Program("a/b.c".into()), Kind::Commands]);
        assert_eq!(blocks(TEXT)[2].title, "Two");
        assert_eq!(check_kinds(&blocks(TEXT)), Ok(()));
    }

    #[test]
    fn a_block_that_no_command_runs_is_found() {
        assert!(check_kinds(&blocks("```c\nint x;\n```\n")).is_err());
        assert!(check_kinds(&blocks(&TEXT.replace("cp ", "cp -r $MESHAGE/other "))).is_ok());
        assert!(check_kinds(&blocks(&TEXT.replace("$MESHAGE/a/b.c", "other.c"))).is_err());
    }

    #[test]
    fn only_the_names_change_in_a_block_that_starts_nodes() {
        let block = &blocks(TEXT)[0].text;
        assert!(starts_nodes(block) && !starts_nodes("cp x . # for alice & bob"));
        let text = renamed(block, |name| format!("{name}-1"));
        assert_eq!(text, "cd x # go there\n./first alice-1 & ./first bob-1");
        assert_eq!(renamed("q printshop 20 &", |name| name.to_uppercase()), "q PRINTSHOP 20 &");
    }

    #[test]
    fn a_tool_is_needed_if_a_command_starts_with_it() {
        assert_eq!(missing("echo cmake c++ go # go\n"), None);
        assert!(
            is_not_run("cargo xtask demo   # seven nodes\n") && !is_not_run("cargo xtask wheel\n")
        );
    }

    #[test]
    fn commands_run_every_block_of_the_readme() {
        let page = std::fs::read_to_string(shell::root().join(PAGE)).expect("the README");
        assert_eq!(check_kinds(&blocks(&page)), Ok(()));
    }
}
