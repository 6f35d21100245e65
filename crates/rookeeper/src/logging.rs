//! The process log, on standard error: lines as operators of ZooKeeper know them, or JSON.

use std::fmt;

use jiff::Zoned;
use rookeeper_server::config::{LogFormat, LogLevel, LogSettings};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::registry::LookupSpan;

/// Starts logging. Later calls change nothing.
pub(crate) fn start(settings: &LogSettings) {
    let level = match settings.level {
        LogLevel::Trace => LevelFilter::TRACE,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Off => LevelFilter::OFF,
    };
    let builder = tracing_subscriber::fmt()
        .with_max_level(level)
        // A log that cannot be written, because its pipe is closed or its disk is full, must not end whoever had something to say.
        .log_internal_errors(false)
        .with_writer(std::io::stderr);
    // A second start in one process keeps the first log.
    let _ = match settings.format {
        LogFormat::Text => builder.event_format(Lines).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
}

/// `TIMESTAMP [myid:] - LEVEL [COMPONENT] - MESSAGE`
struct Lines;

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
            "{time} [myid:] - {:<5} [{component}] - ",
            meta.level().as_str()
        )?;
        ctx.field_format().format_fields(out.by_ref(), event)?;
        writeln!(out)
    }
}
