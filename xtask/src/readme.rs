//! `cargo xtask readme`: does what the README says, as somebody does who reads it from its top.
//!
//! Every block of commands runs as it stands, in the order of the page: the first in the tree, each
//! other one where the one before left off, with the variables that it exported. The home folder is
//! an empty one. A block that starts `alice` and `bob` is right when each has heard the other.
//!
//! ```text
//!  README.md ─► blocks ─┬─ sh ──────► run ─► alice and bob? until they have greeted : until it ends
//!                       ├─ save: F ─► written into the folder that the commands are in
//!                       └─ file: F ─► a program of the tree, which some command has to copy
//! ```

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::greeting::is_greeting;
use crate::outside::clean;
use crate::shell::{self, Folder, Result};
use crate::tally::Tally;
use crate::{go, random};

/// What the blocks are read from.
const PAGE: &str = "README.md";
/// Commands that the page shows and that are not run from it, since this is one of them.
const EXCUSED: [&str; 2] = ["cargo xtask demo", "cargo xtask test"];
/// The two nodes that greet each other.
const NODES: [&str; 2] = ["alice", "bob"];
/// What a command may need that is not asked of everybody who builds the project.
const TOOLS: [&str; 5] = ["pkg-config", "cmake", "go", "c++", "sed"];
/// How long a block may take: some build the library, which takes about a minute on two cores.
const BLOCK_MAX: Duration = Duration::from_secs(400);

/// A block of the page, with the title that it is under.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Block {
    title: String,
    kind: Kind,
    text: String,
}

/// What is to be done with a block.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    /// It is run.
    Commands,
    /// It is written into a file of this name.
    Save(String),
    /// It is this file of the tree, as another check says.
    Program(String),
    /// Nothing is known of it, which is an error.
    Unknown,
}

/// Runs the page's commands, and says what came of them.
pub(crate) fn run(root: &Path) -> Result<()> {
    let mut tally = Tally::default();
    test(root, &mut tally);
    tally.finish()
}

/// Runs the page's commands as checks among others.
pub(crate) fn test(root: &Path, tally: &mut Tally) {
    let page = std::fs::read_to_string(root.join(PAGE)).unwrap_or_default();
    let blocks = blocks(&page);
    tally.check("every block of the README is a program that is run, or commands", || {
        known(&blocks)
    });
    let reader = match Reader::new(root) {
        Ok(reader) => reader,
        Err(why) => return tally.skip("the README's commands", &why),
    };
    for block in &blocks {
        let what = format!("the README, {}: {}", block.title, first_command(&block.text));
        match &block.kind {
            Kind::Commands if is_excused(&block.text) => {}
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

/// Somebody with a home of his own, who types what the page says.
struct Reader {
    tree: PathBuf,
    home: Folder,
    /// What the commands before left behind: variables and the folder that they are in.
    state: PathBuf,
    /// Where Go keeps what it compiled, so that its library is not compiled for every reader.
    go_cache: Option<String>,
}

impl Reader {
    fn new(root: &Path) -> Result<Self> {
        let home = Folder::outside("readme")?;
        let state = home.0.join(".state");
        let mut cache = shell::command(root, "go");
        let go_cache = match go::why_not() {
            None => shell::quietly(cache.args(["env", "GOCACHE"])).ok(),
            Some(_) => None,
        };
        let reader = Self { tree: root.to_path_buf(), home, state, go_cache };
        reader.write(&reader.state, &format!("cd {}\n", quoted(root)))?;
        Ok(reader)
    }

    /// Runs a block: to its end, or until its nodes have greeted each other.
    fn run(&self, block: &str) -> Result<()> {
        let greeted = starts_nodes(block).then(|| {
            let run = random::number();
            NODES.map(|name| format!("{name}-{run:016x}"))
        });
        let mut script = format!("set -e\n. {}\n", quoted(&self.state));
        match &greeted {
            // The names alone are others than the page's: nobody else on this machine has them.
            // Where one of them does not start, the other is not waited for.
            Some(names) => {
                script.push_str("trap 'kill 0' EXIT\n");
                script.push_str(&renamed(block, names));
            }
            None => script.push_str(block),
        }
        let state = quoted(&self.state);
        script.push_str(&format!("\n{{ export -p; echo cd \"'$PWD'\"; }} > {state}\n"));
        let mut running = Running::start(&mut self.shell(&script))?;
        let by = Instant::now() + BLOCK_MAX;
        match greeted {
            None => running.ends(by),
            Some(names) => running.greets(&names, by),
        }
    }

    /// Writes a file where the commands are.
    fn save(&self, name: &str, text: &str) -> Result<()> {
        let whereabouts = format!(". {}; pwd", quoted(&self.state));
        let folder = shell::quietly(&mut self.shell(&whereabouts))?;
        self.write(&Path::new(folder.trim_end()).join(name), text)
    }

    fn write(&self, file: &Path, text: &str) -> Result<()> {
        std::fs::write(file, text)
            .map_err(|error| format!("cannot write {}: {error}", file.display()))
    }

    fn shell(&self, script: &str) -> Command {
        let mut sh = clean(shell::command(&self.tree, "sh"));
        // cargo and the toolchain are found from the home of whoever runs this.
        for (variable, folder) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
            let own = std::env::home_dir().map(|home| home.join(folder));
            if let (None, Some(own)) = (std::env::var_os(variable), own) {
                sh.env(variable, own);
            }
        }
        if let Some(cache) = &self.go_cache {
            sh.env("GOCACHE", cache.trim()).env("CGO_CFLAGS", go::apart(&self.home.0));
        }
        for own in
            ["PKG_CONFIG_PATH", "LD_RUN_PATH", "VIRTUAL_ENV", "PYTHONPATH", "CARGO_MANIFEST_DIR"]
        {
            sh.env_remove(own);
        }
        sh.args(["-c", script]).env("HOME", &self.home.0);
        sh
    }
}

/// A block that runs, with everything that it started. Dropping it ends all of that.
struct Running {
    child: Child,
    lines: Receiver<String>,
    said: Vec<String>,
}

impl Running {
    fn start(command: &mut Command) -> Result<Self> {
        // A group of its own, so that what goes on in the background can be ended with it.
        command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("cannot start sh: {error}"))?;
        let (sender, lines) = mpsc::channel();
        let pass_on = |stream: Box<dyn std::io::Read + Send>| {
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
            pass_on(Box::new(stream));
        }
        if let Some(stream) = child.stderr.take() {
            pass_on(Box::new(stream));
        }
        Ok(Self { child, lines, said: Vec::new() })
    }

    /// Waits until the commands have ended, and well.
    fn ends(&mut self, by: Instant) -> Result<()> {
        while self.line(by)?.is_some() {}
        let status = self.child.wait().map_err(|error| format!("no status: {error}"))?;
        if status.success() { Ok(()) } else { Err(self.told(&status.to_string())) }
    }

    /// Waits until each of the two nodes has printed what the other said.
    fn greets(&mut self, names: &[String; 2], by: Instant) -> Result<()> {
        let mut heard = [false; 2];
        while heard != [true; 2] {
            let Some(line) = self.line(by)? else {
                return Err(self.told("they ended before they had greeted each other"));
            };
            for (heard, name) in heard.iter_mut().zip(names) {
                *heard |= is_greeting(&line, name);
            }
        }
        Ok(())
    }

    /// The next line that is printed, unless all is over.
    fn line(&mut self, by: Instant) -> Result<Option<String>> {
        match self.lines.recv_timeout(by.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                self.said.push(line.clone());
                Ok(Some(line))
            }
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => {
                Err(self.told(&format!("not done after {} s", BLOCK_MAX.as_secs())))
            }
        }
    }

    fn told(&self, why: &str) -> String {
        format!("{why}\n{}", self.said.join("\n"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The group is there as long as the shell has not been waited for.
        if matches!(self.child.try_wait(), Ok(None)) {
            let end = format!("kill -KILL -{}", self.child.id());
            let _ = Command::new("sh").args(["-c", &end]).status();
            let _ = self.child.wait();
        }
    }
}

/// The blocks of a page, in their order.
fn blocks(page: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut title = String::new();
    let mut mark = "";
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(words) = line.strip_prefix('#') {
            title = words.trim_start_matches('#').trim().to_owned();
        } else if let Some(language) = line.strip_prefix("```") {
            let text: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            let kind = kind(mark, language);
            found.push(Block { title: title.clone(), kind, text: text.join("\n") + "\n" });
        }
        mark = line;
    }
    found
}

/// What the line before a block, and its language, say of it.
fn kind(mark: &str, language: &str) -> Kind {
    let named = |what: &str| Some(mark.strip_prefix(what)?.strip_suffix(" -->")?.to_owned());
    match (named("<!-- file: "), named("<!-- save: "), language) {
        (Some(file), _, _) => Kind::Program(file),
        (None, Some(file), _) => Kind::Save(file),
        (None, None, "sh") => Kind::Commands,
        (None, None, _) => Kind::Unknown,
    }
}

/// Whether every block is run, or is a program that is.
fn known(blocks: &[Block]) -> Result<()> {
    for block in blocks {
        match &block.kind {
            Kind::Unknown => return Err(format!("{}: nothing runs a block", block.title)),
            Kind::Program(file) if !is_copied(blocks, file) => {
                return Err(format!("no command copies {file}"));
            }
            Kind::Program(_) | Kind::Commands | Kind::Save(_) => {}
        }
    }
    if blocks.is_empty() { Err(format!("no blocks in {PAGE}")) } else { Ok(()) }
}

fn is_copied(blocks: &[Block], file: &str) -> bool {
    let name = format!("$MESHAGE/{file}");
    let copies = |block: &Block| block.text.split_whitespace().any(|word| word == name);
    blocks.iter().any(|block| block.kind == Kind::Commands && copies(block))
}

/// A block's lines without comments, of those that say something.
fn commands(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .map(|line| line.split(" #").next().unwrap_or(line).trim())
        .filter(|line| !line.is_empty())
}

fn first_command(text: &str) -> &str {
    commands(text).next().unwrap_or_default()
}

fn is_excused(text: &str) -> bool {
    commands(text).all(|command| EXCUSED.contains(&command))
}

/// A tool that a block needs and that is not there.
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

/// The block with other names for its nodes.
fn renamed(text: &str, names: &[String; 2]) -> String {
    let word = |word: &str| match NODES.iter().position(|name| *name == word) {
        Some(at) => names[at].clone(),
        None => word.to_owned(),
    };
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
    fn a_block_is_what_its_mark_and_its_language_say() {
        let kinds: Vec<Kind> = blocks(TEXT).into_iter().map(|block| block.kind).collect();
        let save = Kind::Save("CMakeLists.txt".into());
        assert_eq!(kinds, [Kind::Commands, save, Kind::Program("a/b.c".into()), Kind::Commands]);
        assert_eq!(blocks(TEXT)[2].title, "Two");
        assert_eq!(known(&blocks(TEXT)), Ok(()));
    }

    #[test]
    fn a_block_that_nothing_runs_is_found() {
        assert!(known(&blocks("```c\nint x;\n```\n")).is_err());
        assert!(known(&blocks(&TEXT.replace("cp ", "cp -r $MESHAGE/other "))).is_ok());
        assert!(known(&blocks(&TEXT.replace("$MESHAGE/a/b.c", "other.c"))).is_err());
    }

    #[test]
    fn a_block_that_starts_nodes_gets_other_names_and_nothing_else() {
        let block = &blocks(TEXT)[0].text;
        assert!(starts_nodes(block) && !starts_nodes("cp x . # for alice & bob"));
        let text = renamed(block, &["a1".into(), "b1".into()]);
        assert_eq!(text, "cd x # go there\n./first a1 & ./first b1");
    }

    #[test]
    fn a_tool_is_needed_where_a_command_begins_with_it() {
        assert_eq!(missing("echo cmake c++ go # go\n"), None);
        assert!(
            is_excused("cargo xtask demo   # seven nodes\n") && !is_excused("cargo xtask wheel\n")
        );
    }

    #[test]
    fn the_readme_has_no_block_that_nothing_runs() {
        let page = std::fs::read_to_string(shell::root().join(PAGE)).expect("the README");
        assert_eq!(known(&blocks(&page)), Ok(()));
    }
}
