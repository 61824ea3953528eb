//! How the shared library is linked.
//!
//! Its soname is its file name, so that a program that was linked with a path to it does not carry
//! the path. It is never unloaded: its threads may still run when a host lets go of it.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libmeshage.so");
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}
