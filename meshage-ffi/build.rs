//! Sets the soname of the shared library, and links the soname to the library in cargo's folder.
//!
//! The soname contains the part of the version that determines compatibility: 0.1 of 0.1.7, 2 of
//! 2.3.4 (semantic versioning: before 1.0 each minor version may break). `cargo cinstall` sets the
//! same one. cargo names the file without a version; a symbolic link with the soname beside it lets
//! programs that were linked in the tree find it. The library is never unloaded (`nodelete`): its
//! threads may still run after a host program has called dlclose.

use std::path::{Path, PathBuf};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux") {
        let soname = format!("libmeshage.so.{}", compatibility());
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,{soname}");
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
        if let Some(folder) = output_folder() {
            link(&folder, &soname);
        }
    }
}

/// The part of the version within which the ABI is compatible.
fn compatibility() -> String {
    match (env!("CARGO_PKG_VERSION_MAJOR"), env!("CARGO_PKG_VERSION_MINOR")) {
        ("0", minor) => format!("0.{minor}"),
        (major, _) => major.to_owned(),
    }
}

/// The folder in which cargo will put the library: `OUT_DIR` is `build/<name>/out` below it.
fn output_folder() -> Option<PathBuf> {
    let out_dir = PathBuf::from(std::env::var_os("OUT_DIR")?);
    out_dir.ancestors().nth(3).map(Path::to_path_buf)
}

#[cfg(unix)]
fn link(folder: &Path, soname: &str) {
    let link = folder.join(soname);
    if std::fs::read_link(&link).is_ok_and(|to| to == Path::new("libmeshage.so")) {
        return;
    }
    let _ = std::fs::remove_file(&link);
    if let Err(error) = std::os::unix::fs::symlink("libmeshage.so", &link) {
        println!("cargo:warning=cannot create the link {}: {error}", link.display());
    }
}

#[cfg(not(unix))]
fn link(_: &Path, _: &str) {}
