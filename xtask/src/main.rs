//! Every developer command of the project.

fn main() {
    println!("cargo xtask: no command yet");
}
