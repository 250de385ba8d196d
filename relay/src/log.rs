//! Lines of the log: text or JSON, and nobody named unless the operator asked for it.
//!
//! Whoever writes an event puts people into fields of their own ([`WHO`]), never into its words; here those
//! fields are left out. Other crates know nothing of that, so of their events only that there was one is
//! told.

use crate::config::{Log, LogFormat};
use std::fmt;
use std::io::IsTerminal;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

/// Fields that name somebody or say where somebody is.
pub const WHO: [&str; 4] = ["name", "device", "address", "network"];

/// Begins to log to standard error; `RUST_LOG` says how much.
pub fn start(settings: &Log) {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,subrosa_relay=info"));
    let colours =
        std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty());
    subscriber(settings, filter, colours, std::io::stderr).init();
}

/// The same to anywhere.
pub fn to<W>(settings: &Log, filter: EnvFilter, writer: W) -> impl Subscriber + Send + Sync + use<W>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    subscriber(settings, filter, false, writer).finish()
}

type Builder<W> = tracing_subscriber::fmt::SubscriberBuilder<
    tracing_subscriber::fmt::format::DefaultFields,
    Lines,
    EnvFilter,
    W,
>;

fn subscriber<W>(settings: &Log, filter: EnvFilter, colours: bool, writer: W) -> Builder<W>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colours)
        .with_writer(writer)
        .event_format(Lines { format: settings.format, names: settings.names })
}

struct Lines {
    format: LogFormat,
    names: bool,
}

/// What a field holds.
enum Value {
    /// A number, or yes or no.
    Plain(String),
    Text(String),
}

/// Fields of one event, in order.
#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, Value)>,
}

impl Fields {
    fn keep(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::Text(text)) => self.message = text,
            // What the `log` crate's events bring along; the line says it already.
            (name, _) if name.starts_with("log.") => {}
            (name, value) => self.others.push((name, value)),
        }
    }
}

impl Visit for Fields {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.keep(field, Value::Plain(value.to_string()));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.keep(field, Value::Plain(value.to_string()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.keep(field, Value::Plain(value.to_string()));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.keep(field, Value::Text(value.into()));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.keep(field, Value::Text(format!("{value:?}")));
    }
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let about = event.metadata();
        let ours = about.target().starts_with("subrosa");
        let mut fields = Fields::default();
        if ours || self.names {
            event.record(&mut fields);
            fields.others.retain(|(name, _)| self.names || !WHO.contains(name));
        } else {
            fields.message =
                "said something; its words may hold addresses, so names = true in [log] shows it".into();
        }
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        match self.format {
            LogFormat::Text => {
                let level = about.level();
                if writer.has_ansi_escapes() {
                    write!(writer, "\x1b[2m{time}\x1b[0m {}{level:>5}\x1b[0m ", colour(*level))?;
                } else {
                    write!(writer, "{time} {level:>5} ")?;
                }
                write!(writer, "{}: {}", about.target(), one_line(&fields.message))?;
                for (name, value) in &fields.others {
                    match value {
                        Value::Text(text) => write!(writer, " {name}={}", one_line(text))?,
                        Value::Plain(plain) => write!(writer, " {name}={plain}")?,
                    }
                }
                writeln!(writer)
            }
            LogFormat::Json => {
                let level = about.level().as_str().to_ascii_lowercase();
                write!(writer, "{{\"time\":{},\"level\":{}", quoted(&time), quoted(&level))?;
                write!(writer, ",\"target\":{}", quoted(about.target()))?;
                write!(writer, ",\"message\":{}", quoted(&fields.message))?;
                for (name, value) in &fields.others {
                    match value {
                        Value::Text(text) => write!(writer, ",{}:{}", quoted(name), quoted(text))?,
                        Value::Plain(plain) => write!(writer, ",{}:{plain}", quoted(name))?,
                    }
                }
                writeln!(writer, "}}")
            }
        }
    }
}

/// An event is a line, whatever it holds.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A string of JSON (RFC 8259, 7).
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => {
                quoted.extend(c.encode_utf16(&mut [0; 2]).iter().map(|u| format!("\\u{u:04x}")))
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

fn colour(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\x1b[31m",
        Level::WARN => "\x1b[33m",
        Level::INFO => "\x1b[32m",
        Level::DEBUG | Level::TRACE => "\x1b[34m",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("nobody panics with it").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn said(settings: &Log) -> String {
        let kept = Kept::default();
        let writer = kept.clone();
        let log = to(settings, EnvFilter::new("trace"), move || writer.clone());
        tracing::subscriber::with_default(log, || {
            tracing::info!(name = %"ada", address = %"192.0.2.7", count = 3, "logged\nin");
            tracing::warn!(target: "quinn", "cannot send to 192.0.2.7");
        });
        let bytes = kept.0.lock().expect("nobody panics with it").clone();
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn nobody_is_named_unless_asked_for() {
        for format in [LogFormat::Text, LogFormat::Json] {
            let said = said(&Log { format, names: false });
            assert!(!said.contains("ada") && !said.contains("192.0.2.7"), "{said}");
            assert!(said.contains('3') && said.contains("quinn"), "{said}");
            let said = self::said(&Log { format, names: true });
            assert!(said.contains("ada") && said.matches("192.0.2.7").count() == 2, "{said}");
        }
    }

    #[test]
    fn a_line_of_text_is_one_line_and_one_of_json_an_object() {
        let text = said(&Log { format: LogFormat::Text, names: false });
        assert_eq!(text.lines().count(), 2);
        assert!(text.lines().next().is_some_and(|line| line.ends_with("logged in count=3")), "{text}");
        let json = said(&Log { format: LogFormat::Json, names: true });
        let first = json.lines().next().expect("a line");
        assert!(first.starts_with("{\"time\":\"20") && first.ends_with('}'), "{first}");
        let rest = first.split_once("\"level\"").expect("a level").1;
        assert_eq!(
            rest,
            ":\"info\",\"target\":\"subrosa_relay::log::tests\",\"message\":\"logged\\u000ain\",\"name\":\"ada\",\"address\":\"192.0.2.7\",\"count\":3}"
        );
        assert_eq!(quoted("a\"\\\u{7f}é"), "\"a\\\"\\\\\\u007fé\"");
        assert_eq!(json.lines().count(), 2);
    }
}
