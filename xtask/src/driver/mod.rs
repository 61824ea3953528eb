//! The drivers: one program in each language that executes commands through the API of its language.
//! `cargo xtask soak` and `cargo xtask test conformance` start them and check what they report.
//! meshage/examples/driver.rs describes their commands.
//!
//! ```text
//!  soak, conformance ─► Running ─ "7 set b m1 16 1000" ─► driver in any language ─► API
//!                          ◄───── "7 sent b=delivered" ──
//! ```

mod checksum;
mod process;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::build::compile_file;
use crate::shell::{self, Result};
use crate::{go, python};

pub(crate) use checksum::checksum;
pub(crate) use process::Running;

/// The outcomes after which a message has certainly not arrived.
pub(crate) const CERTAIN_FAILURES: [&str; 4] = ["no-route", "busy", "too-large", "canceled"];

/// The language of a driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Language {
    /// meshage/examples/driver.rs
    Rust,
    /// xtask/drivers/driver.c
    C,
    /// xtask/drivers/driver.cpp
    Cpp,
    /// xtask/drivers/driver.py
    Python,
    /// xtask/drivers/go/driver.go
    Go,
}

impl Language {
    /// All languages.
    pub(crate) const ALL: [Self; 5] = [Self::Rust, Self::C, Self::Cpp, Self::Python, Self::Go];

    /// A short name, which can be a part of a node's name.
    pub(crate) fn short(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::C => "c",
            Self::Cpp => "cpp",
            Self::Python => "py",
            Self::Go => "go",
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rust => "Rust",
            Self::C => "C",
            Self::Cpp => "C++",
            Self::Python => "Python",
            Self::Go => "Go",
        })
    }
}

/// The built drivers.
#[derive(Debug, Clone)]
pub(crate) struct Drivers {
    root: PathBuf,
    target: PathBuf,
    /// The interpreter in whose environment the wheel is installed.
    python: PathBuf,
    missing: Vec<(Language, &'static str)>,
}

impl Drivers {
    /// Builds the drivers of all languages that this machine has.
    pub(crate) fn build(root: &Path) -> Result<Self> {
        let _build_lock = shell::lock_build(root)?;
        let target = shell::target(root);
        let mut missing = Vec::new();
        println!("building the library and the drivers in Rust and C");
        let build = ["build", "--release", "-p", "meshage-ffi", "-p", "meshage"];
        shell::run(shell::cargo(root, &build).args(["--example", "driver", "--lib"]))?;
        let sources = Path::new("xtask/drivers");
        compile_file(root, &sources.join("driver.c"), "-std=c99", &target.join("driver_c"))?;
        if std::env::var_os("CXX").is_some() || shell::is_installed("c++") {
            println!("building the driver in C++");
            let program = target.join("driver_cpp");
            compile_file(root, &sources.join("driver.cpp"), "-std=c++17", &program)?;
        } else {
            missing.push((Language::Cpp, "no C++ compiler is installed"));
        }
        println!("building the wheel");
        let python = python::install_wheel(root)?;
        match go::unavailable_reason() {
            None => {
                println!("building the driver in Go");
                go::build_program(root, go::DRIVER, &target.join("driver_go"))?;
            }
            Some(because) => missing.push((Language::Go, because)),
        }
        Ok(Self { root: root.to_path_buf(), target, python, missing })
    }

    /// The languages that have a driver on this machine.
    pub(crate) fn languages(&self) -> Vec<Language> {
        let is_there =
            |language: &Language| self.missing.iter().all(|(other, _)| other != language);
        Language::ALL.into_iter().filter(is_there).collect()
    }

    /// The languages that have none, with the reasons.
    pub(crate) fn missing(&self) -> &[(Language, &'static str)] {
        &self.missing
    }

    /// The command that starts a driver, without arguments.
    pub(crate) fn command(&self, language: Language) -> Command {
        let program = match language {
            Language::Rust => self.target.join("release/examples/driver"),
            Language::C => self.target.join("driver_c"),
            Language::Cpp => self.target.join("driver_cpp"),
            Language::Python => self.python.clone(),
            Language::Go => self.target.join("driver_go"),
        };
        let mut command = shell::command(&self.root, program);
        if language == Language::Python {
            command.arg(self.root.join("xtask/drivers/driver.py"));
        }
        // cargo's library search path would find the library of another profile first.
        command.env_remove("LD_LIBRARY_PATH");
        command
    }
}
