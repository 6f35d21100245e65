//! `find`: nodes by name, data, owner or size, as they are met.

use std::cmp::Ordering;
use std::collections::VecDeque;

use rookeeper_client::{Client, Data, Error};
use thiserror::Error;

use super::{Command, Invocation, OUTPUT};
use crate::document::Document;
use crate::failure::{At, Failure};
use crate::options::Flag;
use crate::path_text;
use crate::progress::Progress;
use crate::shell::Shell;
use crate::walk::{Visited, Walk};

/// Values that are asked for ahead.
const AHEAD: usize = 64;

const NAME: Flag = Flag::valued(
    "name",
    "pattern",
    "the name matches: * is any text, ? any character",
);
const VALUE: Flag = Flag::valued("value", "text", "the data contain this text");
const OWNER: Flag = Flag::valued(
    "owner",
    "session|any",
    "ephemeral of this session (0x...), or of any",
);
const SIZE: Flag = Flag::valued(
    "size",
    "[+-]bytes",
    "the data have so many bytes, more (+) or less (-); k and m count",
);
const LIMIT: Flag = Flag::valued("limit", "count", "end after so many");

pub(super) const COMMAND: Command = Command {
    name: "find",
    arguments: "[path] [-name pattern] [-value text] [-owner session|any] [-size [+-]bytes] [-limit count]",
    options: &[NAME, VALUE, OWNER, SIZE, LIMIT, OUTPUT],
    details: "",
    about: "Show the paths of all nodes that are as wanted, below a path.",
    is_listed: true,
    run: |shell, call| Box::pin(run(shell, call)),
};

#[derive(Debug, Error)]
enum FindError {
    #[error("{0} is not a size: +N, -N or N, with k or m behind it")]
    Size(String),
    #[error("{0} is not a session: a number in hex, or any")]
    Owner(String),
}

/// What is looked for.
#[derive(Debug, PartialEq, Eq, Default)]
struct Wanted {
    name: Option<String>,
    value: Option<Vec<u8>>,
    owner: Option<Owner>,
    size: Option<(Ordering, i64)>,
}

#[derive(Debug, PartialEq, Eq)]
enum Owner {
    Any,
    Session(i64),
}

impl Wanted {
    fn of(call: &Invocation) -> Result<Self, FindError> {
        Ok(Self {
            name: call.value(NAME.name).map(str::to_owned),
            value: call.value(VALUE.name).map(|text| text.as_bytes().to_vec()),
            owner: call.value(OWNER.name).map(owner).transpose()?,
            size: call.value(SIZE.name).map(size).transpose()?,
        })
    }

    /// Whether a node is wanted, as far as can be said without its data.
    fn may_be(&self, node: &Visited) -> bool {
        let owned = match self.owner {
            None => true,
            Some(Owner::Any) => node.stat.ephemeral_owner != 0,
            Some(Owner::Session(id)) => node.stat.ephemeral_owner == id,
        };
        let named = self
            .name
            .as_ref()
            .is_none_or(|pattern| matches(pattern, path_text::name(&node.path)));
        let length = i64::from(node.stat.data_length);
        let sized = self
            .size
            .is_none_or(|(order, size)| length.cmp(&size) == order);
        owned && named && sized
    }
}

type Asked = std::pin::Pin<Box<dyn Future<Output = Result<Data, Error>> + Send>>;

async fn run(shell: &mut Shell, call: Invocation) -> Result<(), Failure> {
    call.at_most(1)?;
    let format = call.format(shell)?;
    let root = call.word(0).unwrap_or("/");
    path_text::check(root)?;
    let wanted = Wanted::of(&call).map_err(Failure::own)?;
    let limit: usize = call.number(LIMIT.name)?.unwrap_or(usize::MAX);
    let client = shell.connected(root).await?;
    let mut search = Search::new(shell, &client, root, wanted);
    let (mut found, mut count) = (Vec::new(), 0);
    while count < limit
        && let Some(node) = search.next().await?
    {
        count += 1;
        match format {
            None => {
                shell.out(&format!("{}\n", node.path));
                shell.console().flush();
            }
            Some(_) => found.push(document(&node)),
        }
    }
    if let Some(format) = format {
        shell.out(&Document::List(found).render(format));
    }
    search.walk.finish(shell)
}

/// A search under way: a walk, and the values that were asked for.
struct Search<'a> {
    shell: &'a Shell,
    client: &'a Client,
    wanted: Wanted,
    walk: Walk,
    is_walking: bool,
    pending: VecDeque<(Visited, Option<Asked>)>,
    progress: Progress,
}

impl<'a> Search<'a> {
    fn new(shell: &'a Shell, client: &'a Client, root: &str, wanted: Wanted) -> Self {
        Self {
            shell,
            client,
            wanted,
            walk: Walk::new(client, root, false),
            is_walking: true,
            pending: VecDeque::new(),
            progress: Progress::new(shell.console(), "nodes searched"),
        }
    }

    /// The next node that is as wanted.
    async fn next(&mut self) -> Result<Option<Visited>, Failure> {
        loop {
            while self.is_walking && self.wants_more() {
                match self.walk.next(self.shell).await? {
                    None => self.is_walking = false,
                    Some(node) => self.consider(node),
                }
            }
            let Some((node, asked)) = self.pending.pop_front() else {
                return Ok(None);
            };
            if self.is_as_wanted(&node.path, asked).await? {
                return Ok(Some(node));
            }
        }
    }

    /// Without values to wait for a find is shown at once.
    fn wants_more(&self) -> bool {
        match self.wanted.value {
            None => self.pending.is_empty(),
            Some(_) => self.pending.len() < AHEAD,
        }
    }

    fn consider(&mut self, node: Visited) {
        self.progress.add(1);
        if self.wanted.may_be(&node) {
            let asked = self
                .wanted
                .value
                .as_ref()
                .map(|_| self.client.data(&node.path));
            self.pending
                .push_back((node, asked.map(|asked| Box::pin(asked) as Asked)));
        }
    }

    async fn is_as_wanted(&self, path: &str, asked: Option<Asked>) -> Result<bool, Failure> {
        let (Some(asked), Some(wanted)) = (asked, &self.wanted.value) else {
            return Ok(true);
        };
        match asked.await {
            Ok(data) => Ok(contains(&data.bytes, wanted)),
            // Gone meanwhile, or not for this session: then it cannot be said to have the value.
            Err(error) if error.code().is_some() => Ok(false),
            Err(error) => Err(error).at(path),
        }
    }
}

fn document(node: &Visited) -> Document {
    let owner = match node.stat.ephemeral_owner {
        0 => Document::Null,
        owner => Document::Text(format!("0x{owner:x}")),
    };
    Document::record([
        ("path", node.path.as_str().into()),
        ("bytes", Document::Number(node.stat.data_length.into())),
        ("children", Document::Number(node.stat.num_children.into())),
        ("owner", owner),
    ])
}

fn owner(text: &str) -> Result<Owner, FindError> {
    if text == "any" {
        return Ok(Owner::Any);
    }
    let digits = text.strip_prefix("0x").unwrap_or(text);
    match u64::from_str_radix(digits, 16) {
        Ok(number) => Ok(Owner::Session(number.cast_signed())),
        Err(_) => Err(FindError::Owner(text.to_owned())),
    }
}

fn size(text: &str) -> Result<(Ordering, i64), FindError> {
    let (order, number) = match (text.strip_prefix('+'), text.strip_prefix('-')) {
        (Some(number), _) => (Ordering::Greater, number),
        (_, Some(number)) => (Ordering::Less, number),
        _ => (Ordering::Equal, text),
    };
    let (digits, unit) = match (number.strip_suffix('k'), number.strip_suffix('m')) {
        (Some(digits), _) => (digits, 1 << 10),
        (_, Some(digits)) => (digits, 1 << 20),
        _ => (number, 1),
    };
    let bytes = digits
        .parse()
        .ok()
        .and_then(|number: i64| number.checked_mul(unit));
    bytes
        .map(|bytes| (order, bytes))
        .ok_or_else(|| FindError::Size(text.to_owned()))
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    wanted.is_empty() || bytes.windows(wanted.len()).any(|window| window == wanted)
}

/// Whether a whole name is as the pattern says. Each star is tried with as little text as will do, and with more when the rest does
/// not fit: only the last star has to be gone back to, so the work is at most the product of both lengths.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut seen) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while seen < name.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, seen));
                at += 1;
            }
            Some(c) if *c == '?' || name.get(seen) == Some(c) => {
                at += 1;
                seen += 1;
            }
            _ => {
                let Some((back, taken)) = star else {
                    return false;
                };
                star = Some((back, taken + 1));
                (at, seen) = (back + 1, taken + 1);
            }
        }
    }
    pattern.iter().skip(at).all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, name) in [
            ("*", ""),
            ("*", "abc"),
            ("a*", "abc"),
            ("*c", "abc"),
            ("a?c", "abc"),
            ("a*b*c", "aXbYbZc"),
            ("lock-*-0?", "lock-a-b-07"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("", "a"),
            ("a", "ab"),
            ("b*", "abc"),
            ("a?", "a"),
            ("*d", "abc"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
        // Would take for ever if every star were gone back to.
        assert!(!matches(&"a*".repeat(40), &format!("{}b", "a".repeat(39))));
    }

    #[test]
    fn sizes_and_owners_are_read() {
        assert_eq!(size("+10k").unwrap(), (Ordering::Greater, 10240));
        assert_eq!(size("-5").unwrap(), (Ordering::Less, 5));
        assert_eq!(size("1m").unwrap(), (Ordering::Equal, 1 << 20));
        assert!(size("x").is_err() && size("9999999999999999m").is_err());
        assert_eq!(
            owner("0x100001c46970000").unwrap(),
            Owner::Session(0x100_001c_4697_0000)
        );
        assert_eq!(owner("any").unwrap(), Owner::Any);
        assert!(owner("me").is_err());
    }
}
