//! Names the shared library for the dynamic linker.

/// The name that programs are linked to. Its number goes up when something that was declared changes or
/// goes: `cargo xtask abi`.
const SONAME: &str = include_str!("soname.txt").trim_ascii_end();

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=soname.txt");
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux") {
        println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,{SONAME}");
        // The library owns threads: unmapping it under them would crash the host.
        println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}
