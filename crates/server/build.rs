//! Tells a crate when it was built: tools read a date in the version line of the words, people in the shell's `version`.

#![allow(
    clippy::disallowed_methods,
    reason = "a build script reads its environment"
)]

use std::env;

use jiff::Timestamp;

fn main() {
    let given = env::var("SOURCE_DATE_EPOCH")
        .ok()
        .and_then(|seconds| seconds.parse().ok());
    let at = given
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .unwrap_or_else(Timestamp::now);
    println!(
        "cargo::rustc-env=ROOKEEPER_BUILD_DATE={}",
        at.strftime("%Y-%m-%d %H:%M UTC")
    );
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
}
