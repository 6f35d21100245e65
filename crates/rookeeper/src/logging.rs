//! The process log, on standard error: lines as operators of ZooKeeper know them, or JSON.

use std::fmt;

use jiff::Zoned;
use rookeeper_proto::ids::ServerId;
use rookeeper_server::config::{LogFormat, LogLevel, LogSettings};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::{DefaultFields, Format, FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, MakeWriter, SubscriberBuilder};
use tracing_subscriber::registry::LookupSpan;

/// Starts logging, of the member `me` if the server is one. Later calls change nothing.
pub(crate) fn start(settings: &LogSettings, me: Option<ServerId>) {
    let level = match settings.level {
        LogLevel::Trace => LevelFilter::TRACE,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Off => LevelFilter::OFF,
    };
    let builder = plain(std::io::stderr).with_max_level(level);
    // A second start in one process keeps the first log.
    let _ = match settings.format {
        LogFormat::Text => builder.event_format(Lines::of(me)).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
}

/// What both formats have in common.
fn plain<W>(writer: W) -> SubscriberBuilder<DefaultFields, Format, LevelFilter, W>
where
    W: for<'a> MakeWriter<'a> + 'static,
{
    tracing_subscriber::fmt()
        // A log that cannot be written, because its pipe is closed or its disk is full, must not end whoever had something to say.
        .log_internal_errors(false)
        // Most logs are files, and who reads one searches for words: no colours between them.
        .with_ansi(false)
        .with_writer(writer)
}

/// `TIMESTAMP [myid:N] - LEVEL [COMPONENT] - MESSAGE`
struct Lines {
    /// Nothing for a server on its own.
    my_id: String,
}

impl Lines {
    fn of(me: Option<ServerId>) -> Self {
        Self {
            my_id: me.map(|id| id.to_string()).unwrap_or_default(),
        }
    }
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let meta = event.metadata();
        let component = meta
            .target()
            .trim_start_matches("rookeeper_")
            .trim_start_matches("rookeeper::");
        let time = Zoned::now().strftime("%Y-%m-%d %H:%M:%S,%3f").to_string();
        write!(
            out,
            "{time} [myid:{}] - {:<5} [{component}] - ",
            self.my_id,
            meta.level().as_str()
        )?;
        ctx.field_format().format_fields(out.by_ref(), event)?;
        writeln!(out)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use rookeeper_proto::ids::ServerId;
    use tracing::info;

    use super::{Lines, plain};

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What one message looks like behind its time.
    fn line(me: Option<ServerId>) -> String {
        let page = Page::default();
        let written = page.clone();
        let log = plain(move || page.clone())
            .event_format(Lines::of(me))
            .finish();
        tracing::subscriber::with_default(log, || info!(error = 7, "word"));
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        text.split_once(" [").unwrap().1.to_owned()
    }

    #[test]
    fn lines_name_the_member_and_are_plain_words() {
        let rest = "INFO  [logging::tests] - word error=7\n";
        assert_eq!(line(Some(ServerId(3))), format!("myid:3] - {rest}"));
        assert_eq!(line(None), format!("myid:] - {rest}"));
    }
}
