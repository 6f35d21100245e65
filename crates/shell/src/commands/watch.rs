//! `watch`: changes as they happen, until Ctrl-C.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rookeeper_client::{Client, Event, Signal};
use rookeeper_proto::code::{AddWatchMode, EventType};

use super::{Command, Invocation, OUTPUT};
use crate::data_text;
use crate::document::{Document, Format};
use crate::event_text;
use crate::failure::{At, Failure};
use crate::options::Flag;
use crate::shell::Shell;

/// Characters of a value that are shown.
const VALUE_SHOWN: usize = 200;

const RECURSIVE: Flag = Flag::switch("r", "the node and everything below it");
const VALUES: Flag = Flag::switch("v", "show the data that a node has now");
const COUNT: Flag = Flag::valued("n", "count", "end after so many changes");

pub(super) const COMMAND: Command = Command {
    name: "watch",
    arguments: "[-r] [-v] [-n count] path",
    options: &[RECURSIVE, VALUES, COUNT, OUTPUT],
    details: "",
    about: "Show changes of a node as they happen, until Ctrl-C.",
    is_listed: true,
    run: |shell, call| Box::pin(run(shell, call)),
};

async fn run(shell: &mut Shell, call: Invocation) -> Result<(), Failure> {
    call.at_most(1)?;
    let format = call.format(shell)?;
    let path = call.path()?;
    let count: usize = call.number(COUNT.name)?.unwrap_or(usize::MAX);
    let mode = match call.has(RECURSIVE.name) {
        true => AddWatchMode::PersistentRecursive,
        false => AddWatchMode::Persistent,
    };
    let client = shell.connected(path).await?;
    let mut watch = client.watch(path, mode).await.at(path)?;
    shell.note(&format!("watching {path}"));
    let mut seen = 0;
    while seen < count {
        match watch.next().await {
            None => return Err(Failure::NotConnected),
            Some(Signal::Event(event)) => {
                seen += 1;
                let value = value(&client, &event, call.has(VALUES.name)).await;
                shell.out(&text(shell.zone(), format, &event, value.as_deref()));
                shell.console().flush();
            }
            Some(Signal::Interrupted) => {
                shell.err("connection lost: changes may be missed");
            }
            Some(Signal::Restored) => shell.note("connected again"),
        }
        shell.check()?;
    }
    Ok(())
}

/// What the node has now; nothing where that was not asked for or cannot be read.
async fn value(client: &Client, event: &Event, is_wanted: bool) -> Option<Vec<u8>> {
    let has_value = matches!(
        event.kind,
        EventType::NodeCreated | EventType::NodeDataChanged
    );
    if !is_wanted || !has_value {
        return None;
    }
    let data = client.data(&event.path).await.ok()?;
    Some(data.bytes.to_vec())
}

fn text(zone: &TimeZone, format: Option<Format>, event: &Event, value: Option<&[u8]>) -> String {
    let now = Timestamp::now();
    let kind = event_text::kind_name(event.kind);
    // Servers before 3.9 send none.
    let zxid = (event.zxid.0 >= 0).then(|| event.zxid.to_string());
    match format {
        None => {
            let time = now.to_zoned(zone.clone()).strftime("%H:%M:%S%.3f");
            let value =
                value.map(|bytes| format!(" {}", data_text::in_one_line(bytes, VALUE_SHOWN)));
            let value = value.unwrap_or_default();
            let zxid = zxid.map_or_else(String::new, |zxid| format!(" zxid {zxid}"));
            format!("{time} {kind} {}{zxid}{value}\n", event.path)
        }
        Some(format) => {
            let mut parts = vec![
                ("time", Document::Text(now.to_string())),
                ("type", kind.into()),
                ("path", event.path.as_str().into()),
                ("zxid", zxid.map_or(Document::Null, Document::Text)),
            ];
            parts.extend(value.map(|bytes| data_text::document(Some(bytes))));
            let document = Document::Record(parts);
            match format {
                // A line each, so that a reader can take them one by one.
                Format::Json => document.json_line() + "\n",
                Format::Yaml => format!("---\n{}", document.render(format)),
                Format::Table => document.render(format) + "\n",
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rookeeper_proto::ids::Zxid;

    use super::*;

    fn event(zxid: i64) -> Event {
        Event {
            kind: EventType::NodeDeleted,
            path: "/a".to_owned(),
            zxid: Zxid(zxid),
        }
    }

    #[test]
    fn a_zxid_that_no_server_sent_is_not_shown() {
        let zone = TimeZone::UTC;
        let with = text(&zone, None, &event(255), None);
        assert!(with.ends_with(" NodeDeleted /a zxid 0xff\n"), "{with}");
        let without = text(&zone, None, &event(-1), Some(b"v"));
        assert!(without.ends_with(" NodeDeleted /a v\n"), "{without}");
        let json = text(&zone, Some(Format::Json), &event(-1), None);
        assert!(json.contains("\"zxid\":null"), "{json}");
    }
}
