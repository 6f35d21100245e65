//! A shell from begin to end: a single command, lines from a terminal, or lines from a file or pipe.

use std::io::{self, BufRead, IsTerminal};
use std::sync::Arc;
use std::{env, thread};

use tokio::select;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{Receiver, channel};

use crate::completion;
use crate::console::Console;
use crate::editor::{LineEditor, Typed};
use crate::failure::{FAILED, Failure, INTERRUPTED, SUCCESS, TERMINATED};
use crate::shell::Shell;
use crate::start::{Start, USAGE};

/// What a shell begins with. Scripts for expect wait for both lines.
const WELCOME: &str = "Welcome to ZooKeeper!\nJLine support is enabled\n";
/// Lines of a script that are read ahead.
const LINES_AHEAD: usize = 64;

/// Runs the shell with the words of a command line behind its name. Returns the status of the process.
#[must_use]
pub fn run(words: &[String]) -> u8 {
    let console = Arc::new(Console::of_process());
    let flags = ["CLIENT_JVMFLAGS", "JVMFLAGS"].map(|name| env::var(name).unwrap_or_default());
    let start = match Start::parse(words, &flags.join(" ")) {
        Ok(start) => start,
        Err(error) => {
            console.err(&error.to_string());
            return FAILED;
        }
    };
    if start.wants_help {
        console.out(USAGE);
        return match console.take_trouble() {
            None => SUCCESS,
            Some(error) => {
                console.err(&Failure::Output(error).to_string());
                FAILED
            }
        };
    }
    // The session lives on the worker: neither an editor nor a slow terminal keeps it from its heartbeats.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => {
            let status = runtime.block_on(serve(&start, &console));
            runtime.shutdown_background();
            status
        }
        Err(error) => {
            console.err(&format!("cannot start: {error}"));
            FAILED
        }
    }
}

async fn serve(start: &Start, console: &Arc<Console>) -> u8 {
    start.complaints.iter().for_each(|told| console.err(told));
    if !start.is_quiet {
        console.out(&format!("Connecting to {}\n", start.target.hosts));
        // Before there can be an event of the session, so that it never comes between.
        if start.command.is_empty() && !start.waits {
            console.out(WELCOME);
        }
        console.flush();
    }
    let mut shell = match Shell::open(start.target.clone(), Arc::clone(console), start.is_quiet) {
        Ok(shell) => shell,
        Err(error) => {
            console.err(&error.to_string());
            return FAILED;
        }
    };
    shell.set_format(start.format);
    if start.logs {
        shell.start_log();
    }
    let is_typed =
        start.command.is_empty() && io::stdin().is_terminal() && io::stdout().is_terminal();
    if !is_typed {
        end_at_signals(&shell);
    }
    if start.waits
        && let Err(status) = session_for(&mut shell, console).await
    {
        return status;
    }
    if !start.command.is_empty() {
        return single(start, shell).await;
    }
    if !start.is_quiet && start.waits {
        console.out(WELCOME);
        console.flush();
    }
    let status = match is_typed {
        true => from_terminal(&mut shell, console).await,
        false => {
            let shown = if start.echoes {
                Shown::Both
            } else {
                Shown::Nothing
            };
            from_lines(&mut shell, console, shown).await
        }
    };
    shell.leave().await;
    status
}

/// Waits for the session that nothing is to be run without; the status of the shell if there is none.
async fn session_for(shell: &mut Shell, console: &Console) -> Result<(), u8> {
    let interrupt = shell.interrupt();
    let waited = select! {
        waited = shell.wait_for_session() => waited,
        () = interrupt.wait() => Err(Failure::Interrupted),
    };
    let Err(failure) = waited else {
        return Ok(());
    };
    console.err(&failure.to_string());
    // It may have come just now.
    shell.leave().await;
    Err(interrupt.ended().unwrap_or_else(|| failure.status()))
}

async fn single(start: &Start, mut shell: Shell) -> u8 {
    shell.lend_input();
    let status = shell.run(&start.command).await;
    let ended = shell.interrupt().ended();
    match start.keeps_alive && ended.is_none() {
        // Neither closed nor dropped: the server ends the session after its timeout.
        true => std::mem::forget(shell),
        false => shell.leave().await,
    }
    ended.unwrap_or(status)
}

/// From now on Ctrl-C and the wish of the system end the running command, and the shell with its session behind it.
fn end_at_signals(shell: &Shell) {
    for (kind, status) in [
        (SignalKind::interrupt(), INTERRUPTED),
        (SignalKind::terminate(), TERMINATED),
    ] {
        // Without it the signal ends the process, as it does with others.
        let Ok(mut signals) = signal(kind) else {
            continue;
        };
        let interrupt = shell.interrupt();
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                interrupt.end(status);
            }
        });
    }
}

/// What is shown of lines that no editor reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    /// A script: only results.
    Nothing,
    /// A terminal without the means to edit shows by itself what is typed.
    Prompt,
    /// A script that shall look as if it were typed.
    Both,
}

async fn from_lines(shell: &mut Shell, console: &Console, shown: Shown) -> u8 {
    let mut lines = standard_input();
    let interrupt = shell.interrupt();
    let mut status = SUCCESS;
    loop {
        // A prompt tells the state; without one a command waits for itself.
        if shown != Shown::Nothing {
            shell.settle().await;
        }
        if shown == Shown::Prompt {
            console.out(&shell.prompt().text());
            console.flush();
        }
        let line = select! {
            biased;
            () = interrupt.wait() => None,
            line = lines.recv() => line,
        };
        let Some(line) = line else {
            break;
        };
        if shown == Shown::Both && !line.trim().is_empty() {
            console.out(&format!("{}{line}\n", shell.prompt().text()));
        }
        status = status_after(shell, &line, status).await;
        if shell.has_ended() || console.is_gone() {
            break;
        }
    }
    interrupt.ended().unwrap_or(status)
}

/// Runs a line. Returns the status of the shell after it: `quit` leaves that of the command before.
async fn status_after(shell: &mut Shell, line: &str, before: u8) -> u8 {
    let status = shell.run_line(line).await;
    match shell.has_ended() {
        true => before,
        false => status.unwrap_or(before),
    }
}

/// Lines of the standard input, read by a thread that may wait for ever.
fn standard_input() -> Receiver<String> {
    let (send, lines) = channel(LINES_AHEAD);
    thread::spawn(move || {
        let mut input = io::stdin().lock();
        let mut line = Vec::new();
        while let Ok(1..) = input.read_until(b'\n', &mut line) {
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_end_matches(['\n', '\r']).to_owned();
            if send.blocking_send(text).is_err() {
                return;
            }
            line.clear();
        }
    });
    lines
}

async fn from_terminal(shell: &mut Shell, console: &Console) -> u8 {
    let Ok(mut editor) = LineEditor::open() else {
        // A terminal without the means to edit: lines as they come, with prompts.
        return from_lines(shell, console, Shown::Prompt).await;
    };
    listen_for_interrupts(shell);
    let (mut status, mut was_interrupted) = (SUCCESS, false);
    while !shell.has_ended() {
        shell.settle().await;
        // Between two prompts Ctrl-C is no key, but a signal.
        if was_interrupted && shell.interrupt().check().is_err() {
            return INTERRUPTED;
        }
        match ask(shell, console, &mut editor).await {
            Typed::Line(line) => {
                was_interrupted = false;
                status = status_after(shell, &line, status).await;
            }
            Typed::Interrupted if was_interrupted => return INTERRUPTED,
            Typed::Interrupted => was_interrupted = true,
            Typed::End | Typed::Children(..) => break,
        }
    }
    status
}

/// From now on Ctrl-C ends the running command. While a line is typed it is a key like any other.
fn listen_for_interrupts(shell: &Shell) {
    // Without it Ctrl-C ends the shell, as it does for other programs.
    let Ok(mut signals) = signal(SignalKind::interrupt()) else {
        return;
    };
    let interrupt = shell.interrupt();
    tokio::spawn(async move {
        while signals.recv().await.is_some() {
            interrupt.raise();
        }
    });
}

/// Asks for a line, and answers what TAB wants to know meanwhile.
async fn ask(shell: &Shell, console: &Console, editor: &mut LineEditor) -> Typed {
    console.flush();
    console.set_typing(Some(editor.printer()));
    shell.interrupt().clear();
    editor.ask(shell.prompt());
    let typed = loop {
        match editor.next().await {
            Typed::Children(parent, answer) => {
                let client = shell.session().cloned();
                tokio::spawn(async move {
                    let names = completion::children(client, parent).await;
                    // An editor that waits no longer needs nothing.
                    let _ = answer.send(names);
                });
            }
            typed => break typed,
        }
    };
    console.set_typing(None);
    typed
}
