//! Where the shell's words go: results to one stream, complaints to another, events to the first one without hurting a line that is
//! being typed.
//!
//! What does not live here: what the words are.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::data_text;

/// Colours begin with this.
const RED: &str = "\u{1b}[31m";
/// And end with this.
const PLAIN: &str = "\u{1b}[0m";

/// Two streams of words.
pub struct Console {
    out: Mutex<BufWriter<Box<dyn Write + Send>>>,
    err: Mutex<Box<dyn Write + Send>>,
    out_is_terminal: bool,
    err_is_terminal: bool,
    has_colours: bool,
    /// Set while somebody types: then only the line editor may print.
    typing: Mutex<Option<Sender<String>>>,
    is_gone: AtomicBool,
    /// Why results could not be written, until it is told. A reader that has ended is no trouble.
    trouble: Mutex<Option<io::Error>>,
}

impl std::fmt::Debug for Console {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Console").finish_non_exhaustive()
    }
}

impl Console {
    /// The streams of the process.
    #[must_use]
    pub fn of_process() -> Self {
        let mut console = Self::to(Box::new(io::stdout()), Box::new(io::stderr()));
        console.out_is_terminal = io::stdout().is_terminal();
        console.err_is_terminal = io::stderr().is_terminal();
        console.has_colours = console.err_is_terminal && wants_colours();
        console
    }

    /// Any two streams, which are no terminals.
    #[must_use]
    pub fn to(out: Box<dyn Write + Send>, err: Box<dyn Write + Send>) -> Self {
        Self {
            out: Mutex::new(BufWriter::new(out)),
            err: Mutex::new(err),
            out_is_terminal: false,
            err_is_terminal: false,
            has_colours: false,
            typing: Mutex::new(None),
            is_gone: AtomicBool::new(false),
            trouble: Mutex::new(None),
        }
    }

    /// True when results are read by a person.
    #[must_use]
    pub const fn is_terminal(&self) -> bool {
        self.out_is_terminal
    }

    /// True when progress can be shown.
    #[must_use]
    pub const fn shows_progress(&self) -> bool {
        self.err_is_terminal
    }

    /// True when results go nowhere any more (`... | head`).
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::Relaxed)
    }

    /// Prints results. They may wait in a buffer until [`Self::flush`].
    pub fn out(&self, text: &str) {
        match self.out_is_terminal {
            true => self.write(data_text::visible(text).as_bytes()),
            false => self.write(text.as_bytes()),
        }
    }

    /// Prints data of a znode: as they are, unless they could speak to a terminal.
    pub fn data(&self, bytes: &[u8]) {
        match self.out_is_terminal {
            true => self.write(data_text::visible_bytes(bytes).as_bytes()),
            false => self.write(bytes),
        }
    }

    /// Prints a complaint: one or more whole lines, without the last newline.
    pub fn err(&self, text: &str) {
        self.flush();
        let shown = match self.err_is_terminal {
            true => data_text::visible(text),
            false => text.to_owned(),
        };
        let line = match self.has_colours {
            true => format!("{RED}{shown}{PLAIN}\n"),
            false => format!("{shown}\n"),
        };
        self.raw_err(&line);
    }

    /// Prints news: a plain line on the stream of complaints.
    pub fn note(&self, text: &str) {
        self.flush();
        let shown = data_text::visible(text);
        self.raw_err(&format!("{shown}\n"));
    }

    /// Empties the screen, on a terminal.
    pub(crate) fn clear_screen(&self) {
        if self.out_is_terminal {
            self.write(b"\x1b[H\x1b[2J");
        }
    }

    /// Writes to the stream of complaints as it is: for what moves the cursor.
    pub(crate) fn raw_err(&self, text: &str) {
        let mut err = lock(&self.err);
        // Nobody is left to be told.
        let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
    }

    /// Prints an event at once, beside a line that is being typed if there is one.
    pub fn event(&self, text: &str) {
        let typing = lock(&self.typing);
        match &*typing {
            // An editor that has just ended takes nothing: then it is our turn again.
            Some(editor) if editor.send(data_text::visible(text)).is_ok() => {}
            _ => {
                drop(typing);
                self.out(text);
                self.flush();
            }
        }
    }

    /// Prints lines of a log at once: as a complaint, or beside a line that is being typed.
    pub fn log(&self, text: &str) {
        let typing = lock(&self.typing);
        match &*typing {
            Some(editor) if editor.send(data_text::visible(text)).is_ok() => {}
            _ => {
                drop(typing);
                self.flush();
                self.raw_err(&data_text::visible(text));
            }
        }
    }

    /// From now on events go to a line editor, or to the stream again.
    pub fn set_typing(&self, editor: Option<Sender<String>>) {
        *lock(&self.typing) = editor;
    }

    /// Everything printed is on its way.
    pub fn flush(&self) {
        let flushed = lock(&self.out).flush();
        self.note_end(flushed);
    }

    /// Why results could not be written (`... > /dev/full`): told to one who asks. Nothing if only their reader has ended.
    #[must_use]
    pub fn take_trouble(&self) -> Option<io::Error> {
        self.flush();
        lock(&self.trouble).take()
    }

    fn write(&self, bytes: &[u8]) {
        let written = lock(&self.out).write_all(bytes);
        self.note_end(written);
    }

    fn note_end(&self, result: io::Result<()>) {
        let Err(error) = result else {
            return;
        };
        let was_gone = self.is_gone.swap(true, Ordering::Relaxed);
        if !was_gone && error.kind() != io::ErrorKind::BrokenPipe {
            *lock(&self.trouble) = Some(error);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wants_colours() -> bool {
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !is_dumb && !refused
}
