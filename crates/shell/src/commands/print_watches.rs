//! `printwatches`: whether events are printed.

use super::{Command, Invocation};
use crate::failure::Failure;
use crate::shell::Shell;

pub(super) const COMMAND: Command = Command {
    name: "printwatches",
    arguments: "on|off",
    options: &[],
    details: "",
    about: "Print events or not; without a word say which.",
    is_listed: true,
    run: |shell, call| Box::pin(run(shell, call)),
};

async fn run(shell: &mut Shell, call: Invocation) -> Result<(), Failure> {
    match call.word(0) {
        Some(word) => shell.arrivals().set_prints(word == "on"),
        None => {
            let state = if shell.arrivals().prints() {
                "on"
            } else {
                "off"
            };
            shell.out(&format!("printwatches is {state}\n"));
        }
    }
    Ok(())
}
