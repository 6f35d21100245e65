//! The line editor, on a thread of its own, since it waits for keys. It talks to the shell in messages: what to ask, what was typed,
//! what TAB wants to know. Events are printed above the line that is being typed.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

use rustyline::completion::{Completer, Pair};
use rustyline::config::{ColorMode, CompletionType};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::MemHistory;
use rustyline::validate::Validator;
use rustyline::{Config, Context, Editor, ExternalPrinter, Helper};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::completion::{PATIENCE, Wanted};
use crate::prompt::Prompt;

/// Lines that the arrow keys bring back.
const RECALLED: usize = 1000;
/// Candidates that are shown without asking.
const SHOWN: usize = 100;

/// What the editor tells.
#[derive(Debug)]
pub enum Typed {
    /// A line.
    Line(String),
    /// Ctrl-C: the line is gone.
    Interrupted,
    /// Ctrl-D on an empty line, or the terminal is gone.
    End,
    /// TAB wants the children of a path.
    Children(String, mpsc::Sender<Vec<String>>),
}

/// The shell's end of the editor.
#[derive(Debug)]
pub struct LineEditor {
    ask: mpsc::Sender<String>,
    typed: UnboundedReceiver<Typed>,
    print: mpsc::Sender<String>,
    /// The prompt of the line that is being typed.
    shown: Arc<Mutex<Option<Prompt>>>,
}

impl LineEditor {
    /// Takes the terminal; an error if there is none that can be edited on.
    pub fn open() -> Result<Self, ReadlineError> {
        let config = Config::builder()
            .completion_type(CompletionType::List)
            .completion_show_all_if_ambiguous(true)
            .completion_prompt_limit(SHOWN)
            .bracketed_paste(false)
            // Without it the prompt could not change; it has no colours.
            .color_mode(ColorMode::Forced)
            .max_history_size(RECALLED)?
            .build();
        let (tell, typed) = unbounded_channel();
        let history = MemHistory::with_config(&config);
        let mut editor = Editor::with_history(config, history)?;
        let shown = Arc::default();
        editor.set_helper(Some(Keys {
            tell: tell.clone(),
            prompt: Arc::clone(&shown),
        }));
        let mut printer = editor.create_external_printer()?;
        let (print, texts) = mpsc::channel::<String>();
        // On a thread, since the printer waits for the editor, which may be waiting for us.
        thread::spawn(move || texts.into_iter().all(|text| printer.print(text).is_ok()));
        let (ask, prompts) = mpsc::channel::<String>();
        thread::spawn(move || {
            for prompt in prompts {
                let told = read(&mut editor, &prompt);
                if tell.send(told).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            ask,
            typed,
            print,
            shown,
        })
    }

    /// Asks for a line. What is typed comes from [`Self::next`].
    pub fn ask(&self, prompt: Prompt) {
        let text = prompt.text();
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Some(prompt);
        // An editor that is gone tells its end.
        let _ = self.ask.send(text);
    }

    /// What the editor tells next.
    pub async fn next(&mut self) -> Typed {
        self.typed.recv().await.unwrap_or(Typed::End)
    }

    /// Prints beside the line that is being typed.
    #[must_use]
    pub fn printer(&self) -> mpsc::Sender<String> {
        self.print.clone()
    }
}

fn read(editor: &mut Editor<Keys, MemHistory>, prompt: &str) -> Typed {
    match editor.readline(prompt) {
        Ok(line) => {
            // A line that cannot be recalled is no reason not to run it.
            let _ = editor.add_history_entry(line.as_str());
            Typed::Line(line)
        }
        Err(ReadlineError::Interrupted) => Typed::Interrupted,
        Err(_) => Typed::End,
    }
}

/// What keys ask for, and how the prompt looks by now.
struct Keys {
    tell: UnboundedSender<Typed>,
    prompt: Arc<Mutex<Option<Prompt>>>,
}

impl Completer for Keys {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        at: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let wanted = Wanted::of(line.split_at_checked(at).map_or(line, |(before, _)| before));
        let found = wanted.candidates(|parent| {
            let (answer, children) = mpsc::channel();
            let _ = self.tell.send(Typed::Children(parent.to_owned(), answer));
            children.recv_timeout(PATIENCE).unwrap_or_default()
        });
        let pairs = found.into_iter().map(|candidate| Pair {
            replacement: candidate.text,
            display: candidate.shown,
        });
        Ok((at.saturating_sub(wanted.typed()), pairs.collect()))
    }
}

impl Hinter for Keys {
    type Hint = String;
}
impl Highlighter for Keys {
    /// The session may have changed since the prompt was first drawn.
    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(
        &'s self,
        drawn: &'p str,
        is_default: bool,
    ) -> Cow<'b, str> {
        let prompt = self.prompt.lock().unwrap_or_else(PoisonError::into_inner);
        match &*prompt {
            Some(prompt) if is_default => Cow::Owned(prompt.fitting(drawn)),
            _ => Cow::Borrowed(drawn),
        }
    }
}
impl Validator for Keys {}
impl Helper for Keys {}
