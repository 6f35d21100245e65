//! `rookeeper cli`, which is also what the binary does when it is called `zkCli.sh` or `zkCli`.

use std::path::Path;
use std::process::ExitCode;

use rookeeper_shell::run;

/// Names under which the binary is the shell.
const NAMES: [&str; 2] = ["zkCli.sh", "zkCli"];

/// The words behind the name, if the binary was called by a name of the shell.
pub(crate) fn called_as_shell() -> Option<Vec<String>> {
    let mut words = std::env::args_os();
    let called = words.next()?;
    let name = Path::new(&called).file_name()?;
    let is_ours = NAMES.iter().any(|known| name == *known);
    is_ours.then(|| {
        words
            .map(|word| word.to_string_lossy().into_owned())
            .collect()
    })
}

/// Runs the shell until it ends.
pub(crate) fn run(words: &[String]) -> ExitCode {
    ExitCode::from(run::run(words))
}
