//! Names the shared library for the dynamic linker.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux") {
        println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libtalkwire.so.0");
        // The library owns threads: unmapping it under them would crash the host.
        println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}
