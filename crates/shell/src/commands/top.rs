//! `top`: what the members of the ensemble do, again and again. Asked with the four-letter word `srvr`, which every server answers
//! unless its operator forbids it.

use std::time::{Duration, Instant};

use jiff::Zoned;
use rookeeper_proto::ids::Zxid;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::{Command, Invocation, OUTPUT, config};
use crate::document::{Document, Format};
use crate::failure::Failure;
use crate::options::Flag;
use crate::shell::Shell;

/// How long a server may take to answer.
const ANSWER: Duration = Duration::from_secs(1);
/// Bytes of an answer that are read.
const ANSWER_BYTES: u64 = 16 * 1024;
/// Between two pictures, if nothing else is said.
const PAUSE_SECONDS: u64 = 2;
/// The longest pause.
const LONGEST_PAUSE_SECONDS: u64 = 3600;

const SECONDS: Flag = Flag::valued("d", "seconds", "between two pictures; 2 if not said");
const COUNT: Flag = Flag::valued("n", "count", "end after so many pictures");

pub(super) const COMMAND: Command = Command {
    name: "top",
    arguments: "[-d seconds] [-n count]",
    options: &[SECONDS, COUNT, OUTPUT],
    details: "",
    about: "Show roles, rates, latencies and lags of all servers, until Ctrl-C.",
    is_listed: true,
    run: |shell, call| Box::pin(run(shell, call)),
};

/// What a server says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Report {
    mode: String,
    zxid: Zxid,
    received: i64,
    sent: i64,
    latency: String,
    connections: i64,
    outstanding: i64,
    nodes: i64,
}

/// A server, what it said last, and what it says now or why it says nothing.
#[derive(Debug)]
struct Member {
    server: String,
    before: Option<(Instant, Report)>,
    now: Result<(Instant, Report), String>,
}

async fn run(shell: &mut Shell, call: Invocation) -> Result<(), Failure> {
    call.at_most(0)?;
    let format = call.format(shell)?.unwrap_or(Format::Table);
    let count: usize = call.number(COUNT.name)?.unwrap_or(usize::MAX);
    let seconds: u64 = call.number(SECONDS.name)?.unwrap_or(PAUSE_SECONDS);
    let pause = Duration::from_secs(seconds.clamp(1, LONGEST_PAUSE_SECONDS));
    let (servers, unknown) = servers(shell).await;
    let mut members: Vec<Member> = servers.into_iter().map(Member::new).collect();
    for picture in 0..count {
        if picture > 0 {
            sleep(pause).await;
        }
        look(&mut members).await;
        shell.check()?;
        let is_screen = format == Format::Table && shell.console().is_terminal();
        if is_screen {
            shell.console().clear_screen();
            shell.out(&heading(&members, pause));
        }
        shell.out(&render(&members, format));
        if is_screen && unknown > 0 {
            shell.out(&format!(
                "\n{unknown} more in the configuration, which does not tell their ports for clients: name them with -server\n"
            ));
        }
        shell.console().flush();
    }
    Ok(())
}

/// What stands above a table that is drawn again and again.
fn heading(members: &[Member], pause: Duration) -> String {
    let answering = members.iter().filter(|member| member.now.is_ok()).count();
    format!(
        "{}  {answering} of {} servers answer; every {} s, Ctrl-C ends\n\n",
        Zoned::now().strftime("%H:%M:%S"),
        members.len(),
        pause.as_secs()
    )
}

/// The servers to ask, and how many members there are besides whose addresses are not known.
async fn servers(shell: &Shell) -> (Vec<String>, usize) {
    let known = shell.servers().await;
    let text = configuration(shell).await.unwrap_or_default();
    chosen(known, &text)
}

async fn configuration(shell: &Shell) -> Option<String> {
    let (client, _) = shell.connected_whole("/").await.ok()?;
    let data = client.data(config::NODE).await.ok()?;
    Some(String::from_utf8_lossy(&data.bytes).into_owned())
}

/// The members, if the configuration names all of them for clients. A server whose port for clients is not in its line may know
/// its own, and that of no other: then those that the session was opened with.
fn chosen(known: Vec<String>, configuration: &str) -> (Vec<String>, usize) {
    let members = config::servers(configuration).count();
    let named: Vec<String> = config::servers(configuration).filter_map(address).collect();
    if members > 0 && named.len() == members {
        return (named, 0);
    }
    let unknown = members.saturating_sub(known.len());
    (known, unknown)
}
/// The address for clients of a `server.N` value. A server that listens everywhere is asked where its peers find it.
fn address(server: &str) -> Option<String> {
    let (peers, client) = server.rsplit_once(';')?;
    let (host, port) = client.rsplit_once(':').unwrap_or(("0.0.0.0", client));
    let host = match host {
        "0.0.0.0" | "[::]" | "" => peers.split(':').next()?,
        host => host,
    };
    Some(format!("{host}:{port}"))
}

impl Member {
    fn new(server: String) -> Self {
        Self {
            server,
            before: None,
            now: Err(String::new()),
        }
    }

    /// `zxids` are those of all members.
    fn document(&self, zxids: &[Zxid]) -> Document {
        let (at, report) = match &self.now {
            Ok(now) => now,
            Err(why) => return self.absent(why),
        };
        let rate = |count: fn(&Report) -> i64| {
            let Some((since, before)) = &self.before else {
                return Document::Null;
            };
            let ms = at.duration_since(*since).as_millis().max(1);
            let more = count(report).saturating_sub(count(before)).max(0);
            let per_second = i128::from(more) * 1000 / ms.cast_signed();
            Document::Number(i64::try_from(per_second).unwrap_or(i64::MAX))
        };
        Document::record([
            ("server", self.server.as_str().into()),
            ("mode", report.mode.as_str().into()),
            ("zxid", Document::Text(report.zxid.to_string())),
            ("behind", Document::Number(behind(report.zxid, zxids))),
            ("in/s", rate(|report| report.received)),
            ("out/s", rate(|report| report.sent)),
            ("latency", report.latency.as_str().into()),
            ("clients", Document::Number(report.connections)),
            ("waiting", Document::Number(report.outstanding)),
            ("nodes", Document::Number(report.nodes)),
        ])
    }

    fn absent(&self, why: &str) -> Document {
        Document::record([
            ("server", self.server.as_str().into()),
            ("mode", why.into()),
            ("zxid", Document::Null),
            ("behind", Document::Null),
            ("in/s", Document::Null),
            ("out/s", Document::Null),
            ("latency", Document::Null),
            ("clients", Document::Null),
            ("waiting", Document::Null),
            ("nodes", Document::Null),
        ])
    }
}

/// Asks all servers at once.
async fn look(members: &mut [Member]) {
    let asked: Vec<_> = members
        .iter()
        .map(|member| tokio::spawn(ask(member.server.clone())))
        .collect();
    for (member, asked) in members.iter_mut().zip(asked) {
        let now = asked.await.unwrap_or_else(|error| Err(error.to_string()));
        let before = std::mem::replace(&mut member.now, now);
        member.before = before.ok();
    }
}

async fn ask(server: String) -> Result<(Instant, Report), String> {
    let answer = async {
        let mut stream = TcpStream::connect(&server).await?;
        stream.write_all(b"srvr").await?;
        let mut answer = String::new();
        stream
            .take(ANSWER_BYTES)
            .read_to_string(&mut answer)
            .await?;
        Ok::<_, std::io::Error>(answer)
    };
    match timeout(ANSWER, answer).await {
        Ok(Ok(answer)) => match Report::parse(&answer) {
            Some(report) => Ok((Instant::now(), report)),
            // "not serving", or a refusal of the word.
            None => Err(answer.lines().next().unwrap_or("no answer").to_owned()),
        },
        Ok(Err(error)) => Err(error.kind().to_string()),
        Err(_) => Err("no answer".to_owned()),
    }
}

impl Report {
    /// Reads an answer to `srvr`; none of what is no such answer.
    fn parse(answer: &str) -> Option<Self> {
        let mut report = Self::default();
        for (name, value) in answer.lines().filter_map(|line| line.split_once(": ")) {
            let number = || value.trim().parse().unwrap_or_default();
            match name {
                "Latency min/avg/max" => value.clone_into(&mut report.latency),
                "Received" => report.received = number(),
                "Sent" => report.sent = number(),
                "Connections" => report.connections = number(),
                "Outstanding" => report.outstanding = number(),
                "Node count" => report.nodes = number(),
                "Mode" => value.trim().clone_into(&mut report.mode),
                "Zxid" => {
                    let digits = value.trim().trim_start_matches("0x");
                    report.zxid = Zxid(i64::from_str_radix(digits, 16).unwrap_or_default());
                }
                _ => {}
            }
        }
        (!report.mode.is_empty()).then_some(report)
    }
}

/// How many transactions a server at `zxid` lacks at least. Its own epoch went on to what anybody has of it; of those between that one
/// and the newest nothing is known.
fn behind(zxid: Zxid, zxids: &[Zxid]) -> i64 {
    let of_epoch = zxids.iter().filter(|other| other.epoch() == zxid.epoch());
    let in_epoch = of_epoch.map(|other| other.counter()).max();
    let lacking = in_epoch.unwrap_or(0).saturating_sub(zxid.counter());
    let newest = zxids.iter().max().copied().unwrap_or(zxid);
    let in_newest = match newest.epoch() == zxid.epoch() {
        true => 0,
        false => newest.counter(),
    };
    i64::from(lacking) + i64::from(in_newest)
}

fn render(members: &[Member], format: Format) -> String {
    let reports = members.iter().filter_map(|member| member.now.as_ref().ok());
    let zxids: Vec<Zxid> = reports.map(|(_, report)| report.zxid).collect();
    let rows = members
        .iter()
        .map(|member| member.document(&zxids))
        .collect();
    let document = Document::List(rows);
    match format {
        Format::Json => document.json_line() + "\n",
        Format::Yaml => format!("---\n{}", document.render(format)),
        Format::Table => document.render(format),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = include_str!("../../../../testdata/words/leader/srvr.txt");

    #[test]
    fn an_answer_of_a_leader_is_read() {
        let report = Report::parse(ANSWER).unwrap();
        assert_eq!(report.mode, "leader");
        assert!(report.zxid.0 > 0 && report.nodes > 0 && !report.latency.is_empty());
        assert_eq!(
            Report::parse("This ZooKeeper instance is not currently serving requests"),
            None
        );
    }

    #[test]
    fn rates_and_lags_come_from_two_pictures() {
        let begun = Instant::now();
        let at = |seconds, received, zxid| {
            let report = Report {
                mode: "follower".to_owned(),
                received,
                zxid: Zxid(zxid),
                ..Report::default()
            };
            (begun + Duration::from_secs(seconds), report)
        };
        let member = Member {
            server: "a:1".to_owned(),
            before: Some(at(0, 100, 1)),
            now: Ok(at(2, 300, 7)),
        };
        let Document::Record(parts) = member.document(&[Zxid(7), Zxid(10)]) else {
            panic!()
        };
        assert!(parts.contains(&("in/s", Document::Number(100))));
        assert!(parts.contains(&("behind", Document::Number(3))));
    }

    #[test]
    fn lags_are_counted_within_epochs() {
        let zxid = Zxid::new;
        let zxids = [zxid(2, 0), zxid(1, 18), zxid(1, 15)];
        // A new leader that has not written yet.
        assert_eq!(behind(zxid(2, 0), &zxids), 0);
        assert_eq!(behind(zxid(1, 18), &zxids), 0);
        assert_eq!(behind(zxid(1, 15), &zxids), 3);
        assert_eq!(behind(zxid(1, 15), &[zxid(2, 4), zxid(1, 15)]), 4);
        assert_eq!(behind(zxid(1, 15), &[]), 0);
    }

    #[test]
    fn the_configuration_is_believed_only_if_it_names_all() {
        let known = || vec!["a:1".to_owned()];
        let all = "server.1=a:2:3:participant;b:1\nserver.2=c:2:3:participant;c:1\nversion=0";
        assert_eq!(chosen(known(), all), (vec!["b:1".into(), "c:1".into()], 0));
        // What a server says that knows its own port only.
        let one = "server.1=a:2:3:participant;b:1\nserver.2=c:2:3:participant\nversion=0";
        assert_eq!(chosen(known(), one), (known(), 1));
        assert_eq!(chosen(known(), ""), (known(), 0));
    }

    #[test]
    fn numbers_stand_right_though_a_server_is_away() {
        let mut report = Report::parse(ANSWER).unwrap();
        report.nodes = 123_456;
        let there = Member {
            server: "a:1".to_owned(),
            before: None,
            now: Ok((Instant::now(), report)),
        };
        let away = Member::new("b:1".to_owned());
        for members in [[&there, &away], [&away, &there]] {
            let rows = members.map(|member| member.document(&[])).to_vec();
            let table = Document::List(rows).render(Format::Table);
            let widths: Vec<_> = table.lines().map(|line| line.chars().count()).collect();
            assert_eq!(widths, [widths[0]; 3], "{table}");
        }
    }

    #[test]
    fn a_server_that_listens_everywhere_is_asked_where_its_peers_find_it() {
        for (server, asked) in [
            (
                "zk1:2888:3888:participant;127.0.0.1:2181",
                Some("127.0.0.1:2181"),
            ),
            ("zk1:2888:3888:participant;0.0.0.0:2181", Some("zk1:2181")),
            ("zk1:2888:3888;2181", Some("zk1:2181")),
            ("zk1:2888:3888", None),
        ] {
            assert_eq!(address(server).as_deref(), asked, "{server}");
        }
    }
}
