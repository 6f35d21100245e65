//! For the proofs beside Curator, not for learning from: one client with any number of recipes, driven by lines on stdin, answering
//! by lines on stdout, in the language of `interop/curator/Agent.java`, as far as locks, latches and barriers go.
//!
//! Kinds and verbs, every wait in ms and ending with false or with nothing:
//! - `mutex`: acquire MS, release. `readwrite`: read MS, write MS, unread, unwrite. `semaphore LEASES`: acquire MS -> the znode, release.
//! - `latch ID`: start, await MS, leads, leader, leave. `barrier`: set, remove, await MS. `double COUNT`: enter MS, leave MS.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "stdin needs a thread of its own, and answers go to stdout"
)]

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, BufRead};
use std::thread;
use std::time::Duration;

use rookeeper_client::recipes::barrier::Barrier;
use rookeeper_client::recipes::double_barrier::{DoubleBarrier, Inside};
use rookeeper_client::recipes::guard::Guard;
use rookeeper_client::recipes::leader_latch::LeaderLatch;
use rookeeper_client::recipes::mutex::Mutex;
use rookeeper_client::recipes::read_write_lock::{ReadWriteLock, WriteGuard};
use rookeeper_client::recipes::semaphore::Semaphore;
use rookeeper_client::{Client, Error};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// What went wrong, for the script.
type Failure = Box<dyn std::error::Error + Send + Sync>;
/// A verb with its arguments, and the id of the question.
type Question = (String, Vec<String>);

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let (lines, mut questions) = mpsc::unbounded_channel();
    thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            // Nobody asks any more.
            let _ = lines.send(line);
        }
    });
    let mut agent = Agent::default();
    while let Some(line) = questions.recv().await {
        let mut words: VecDeque<String> = line.split(' ').map(decoded).collect();
        let id = words.pop_front().unwrap_or_default();
        let ends = words.front().is_some_and(|word| word == "close");
        if let Some(answer) = agent.take(&id, words.into()).await {
            say(&id, answer);
        }
        if ends {
            return;
        }
    }
}

fn say(id: &str, answer: Result<Vec<String>, Failure>) {
    let words = match answer {
        Ok(words) => [vec!["ok".to_owned()], words].concat(),
        Err(error) => vec!["error".to_owned(), "Error".to_owned(), error.to_string()],
    };
    let text: Vec<String> = words.iter().map(|word| encoded(word)).collect();
    println!("{id} {}", text.join(" "));
}

#[derive(Default)]
struct Agent {
    client: Option<Client>,
    recipes: BTreeMap<String, mpsc::UnboundedSender<Question>>,
}

impl Agent {
    /// The answer, unless a recipe will give it.
    async fn take(&mut self, id: &str, words: Vec<String>) -> Option<Result<Vec<String>, Failure>> {
        let texts: Vec<&str> = words.iter().map(String::as_str).collect();
        match texts[..] {
            ["connect", hosts, session_ms] => Some(self.connect(hosts, session_ms).await),
            ["new", kind, name, path, ref rest @ ..] => Some(self.make(kind, name, path, rest)),
            ["do", name, ..] => match self.recipes.get(name) {
                Some(recipe) => {
                    let sent = recipe.send((id.to_owned(), words.into_iter().skip(2).collect()));
                    sent.err().map(|_| Err("the recipe is gone".into()))
                }
                None => Some(Err("no such recipe".into())),
            },
            ["close"] => Some(self.close().await),
            _ => Some(Err("no such question".into())),
        }
    }

    async fn connect(&mut self, hosts: &str, session_ms: &str) -> Result<Vec<String>, Failure> {
        let session = Duration::from_millis(session_ms.parse()?);
        let client = Client::builder()
            .session_timeout(session)
            .connect(hosts)
            .await?;
        let word = format!("{:x}", client.session().0);
        self.client = Some(client);
        Ok(vec![word])
    }

    fn make(
        &mut self,
        kind: &str,
        name: &str,
        path: &str,
        rest: &[&str],
    ) -> Result<Vec<String>, Failure> {
        let client = self.client.as_ref().ok_or("not connected")?;
        let mut recipe = Recipe::new(
            client,
            kind,
            path,
            rest.first().copied().unwrap_or_default(),
        )?;
        let (questions, mut asked) = mpsc::unbounded_channel::<Question>();
        self.recipes.insert(name.to_owned(), questions);
        tokio::spawn(async move {
            while let Some((id, words)) = asked.recv().await {
                say(&id, recipe.perform(&words).await);
            }
        });
        Ok(Vec::new())
    }

    async fn close(&mut self) -> Result<Vec<String>, Failure> {
        self.recipes.clear();
        if let Some(client) = self.client.take() {
            client.close().await?;
        }
        Ok(Vec::new())
    }
}

enum Recipe {
    Mutex(Mutex, Vec<Guard>),
    ReadWrite(ReadWriteLock, Vec<Guard>, Vec<WriteGuard>),
    Semaphore(Semaphore, VecDeque<Guard>),
    Latch(Client, String, String, Option<LeaderLatch>),
    Barrier(Barrier),
    Double(DoubleBarrier, Option<Inside>),
}

impl Recipe {
    fn new(client: &Client, kind: &str, path: &str, word: &str) -> Result<Self, Failure> {
        Ok(match kind {
            "mutex" => Self::Mutex(Mutex::new(client, path), Vec::new()),
            "readwrite" => {
                Self::ReadWrite(ReadWriteLock::new(client, path), Vec::new(), Vec::new())
            }
            "semaphore" => {
                Self::Semaphore(Semaphore::new(client, path, word.parse()?), VecDeque::new())
            }
            "latch" => Self::Latch(client.clone(), path.to_owned(), word.to_owned(), None),
            "barrier" => Self::Barrier(Barrier::new(client, path)),
            "double" => Self::Double(DoubleBarrier::new(client, path, word.parse()?), None),
            _ => return Err("no such kind".into()),
        })
    }

    async fn perform(&mut self, words: &[String]) -> Result<Vec<String>, Failure> {
        let (verb, ms) = match words {
            [verb] => (verb.as_str(), 0),
            [verb, ms] => (verb.as_str(), ms.parse()?),
            _ => return Err("no such verb".into()),
        };
        let time = Duration::from_millis(ms);
        match (self, verb) {
            (Self::Mutex(mutex, held), "acquire") => kept(held, mutex.lock_within(time).await?),
            (Self::Mutex(_, held), "release") => {
                done(held.pop().ok_or("not held")?.release().await)
            }
            (Self::ReadWrite(lock, held, _), "read") => kept(held, lock.read_within(time).await?),
            (Self::ReadWrite(lock, _, held), "write") => kept(held, lock.write_within(time).await?),
            (Self::ReadWrite(_, held, _), "unread") => {
                done(held.pop().ok_or("not held")?.release().await)
            }
            (Self::ReadWrite(_, _, held), "unwrite") => {
                done(held.pop().ok_or("not held")?.release().await)
            }
            (Self::Semaphore(semaphore, held), "acquire") => {
                let guard = semaphore.acquire_within(time).await?;
                let word = guard.iter().map(|guard| guard.path().to_owned()).collect();
                held.extend(guard);
                Ok(word)
            }
            (Self::Semaphore(_, held), "release") => {
                done(held.pop_front().ok_or("not held")?.release().await)
            }
            (Self::Latch(client, path, id, latch), "start") => {
                *latch = Some(LeaderLatch::join(client, path, id.as_str()));
                Ok(Vec::new())
            }
            (Self::Latch(_, _, _, latch), verb) => ask_latch(latch, verb, time).await,
            (Self::Barrier(barrier), "set") => done(barrier.set().await),
            (Self::Barrier(barrier), "remove") => done(barrier.remove().await),
            (Self::Barrier(barrier), "await") => truth(barrier.wait_within(time).await?),
            (Self::Double(barrier, inside), "enter") => {
                *inside = barrier.enter_within(time).await?;
                truth(inside.is_some())
            }
            (Self::Double(_, inside), "leave") => {
                let inside = inside.take().ok_or("not inside")?;
                truth(inside.leave_within(time).await?)
            }
            _ => Err("no such verb".into()),
        }
    }
}

async fn ask_latch(
    latch: &mut Option<LeaderLatch>,
    verb: &str,
    time: Duration,
) -> Result<Vec<String>, Failure> {
    let started = latch.as_ref().ok_or("not started")?;
    match verb {
        "await" => truth(match timeout(time, started.lead()).await {
            Ok(led) => led.map(|_| true)?,
            Err(_) => false,
        }),
        "leads" => truth(started.is_leader()),
        "leader" => {
            let all = started.participants().await?;
            let leader = all.into_iter().find(|one| one.is_leader);
            Ok(leader.map(|one| one.id).into_iter().collect())
        }
        "leave" => {
            let latch = latch.take().ok_or("not started")?;
            done(latch.leave().await)
        }
        _ => Err("no such verb".into()),
    }
}

fn truth(value: bool) -> Result<Vec<String>, Failure> {
    Ok(vec![value.to_string()])
}

fn done(done: Result<(), Error>) -> Result<Vec<String>, Failure> {
    done?;
    Ok(Vec::new())
}

fn kept<G>(held: &mut Vec<G>, guard: Option<G>) -> Result<Vec<String>, Failure> {
    let got = guard.is_some();
    held.extend(guard);
    truth(got)
}

/// `+` is a space, `%XX` a byte, `""` nothing.
fn decoded(word: &str) -> String {
    if word == "\"\"" {
        return String::new();
    }
    let mut bytes = Vec::new();
    let mut rest = word.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits: String = rest.by_ref().take(2).map(char::from).collect();
                bytes.push(u8::from_str_radix(&digits, 16).unwrap_or(b'?'));
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn encoded(word: &str) -> String {
    if word.is_empty() {
        return "\"\"".to_owned();
    }
    let mut text = String::new();
    for byte in word.bytes() {
        match byte {
            b' ' => text.push('+'),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b'-' | b'~' => {
                text.push(char::from(byte));
            }
            other => text.push_str(&format!("%{other:02X}")),
        }
    }
    text
}
