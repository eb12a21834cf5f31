//! Logs: JSON lines (or plain text for people) on standard error, with a level that can be changed while running; and
//! traces beside them, when they are configured.
//!
//! Writes to standard error; traces are [`crate::traces::export`]'s.

use std::io::IsTerminal as _;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tracing::Subscriber;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, Registry, reload};

use crate::traces::export::Traces;

/// Longest filter that is accepted at run time, bytes.
const MAX_FILTER: usize = 1024;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LogFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// For a terminal.
    Text,
}

/// A log filter that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed to set the log level to {filter:?}: {message}; write a level (info) or targets (info,showrunner_kit=debug)")]
pub struct LogLevelError {
    /// What was asked for.
    pub filter: String,
    /// What is wrong.
    pub message: String,
}

type Setter = dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync;

/// Changes the level of what is logged. Cloning is cheap.
#[derive(Clone)]
pub struct LogLevel(Arc<Setter>);

impl LogLevel {
    /// Accepts what parses and changes nothing.
    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        Self(Arc::new(|_| Ok(())))
    }

    /// Sets the filter, in the syntax of `RUST_LOG`.
    pub fn set(&self, filter: &str) -> Result<(), LogLevelError> {
        let parsed = parse(filter)?;
        (self.0)(parsed).map_err(|message| LogLevelError { filter: filter.to_owned(), message })
    }
}

/// What kube says of each watch that is refused, for as long as it is: ours says it too, and less often. A filter that
/// names the target hears it all the same.
const QUIET: &str = "kube_runtime::watcher=error";

fn parse(filter: &str) -> Result<EnvFilter, LogLevelError> {
    let refuse = |message: String| LogLevelError { filter: crate::conditions::clean(filter), message };
    let filter = filter.trim();
    if filter.is_empty() || filter.len() > MAX_FILTER {
        return Err(refuse(format!("it is empty or longer than {MAX_FILTER} bytes")));
    }
    EnvFilter::builder().parse(format!("{QUIET},{filter}")).map_err(|error| refuse(error.to_string()))
}

/// Starts logging, and tracing where there are `traces`. Once per process.
pub fn init(filter: &str, format: LogFormat, traces: Option<&Traces>) -> Result<LogLevel, LogLevelError> {
    let (subscriber, level) = subscriber(filter, format, std::io::stderr, std::io::stderr().is_terminal(), traces)?;
    subscriber.try_init().map_err(|error| LogLevelError { filter: filter.to_owned(), message: error.to_string() })?;
    Ok(level)
}

/// Logs to `writer` what passes the filter. Traces have a filter of their own: a level of the log turns none of them off.
pub(crate) fn subscriber<W>(
    filter: &str,
    format: LogFormat,
    writer: W,
    colours: bool,
    traces: Option<&Traces>,
) -> Result<(impl Subscriber + Send + Sync + use<W>, LogLevel), LogLevelError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::<EnvFilter, Registry>::new(parse(filter)?);
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    let layer = match format {
        LogFormat::Json => layer.json().flatten_event(true).with_filter(filter).boxed(),
        LogFormat::Text => layer.with_ansi(colours).with_filter(filter).boxed(),
    };
    let level = LogLevel(Arc::new(move |filter| handle.reload(filter).map_err(|error| error.to_string())));
    Ok((tracing_subscriber::registry().with(layer).with(traces.map(Traces::layer)), level))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts the lines that are written to it.
    #[derive(Clone, Default)]
    struct Lines(Arc<std::sync::atomic::AtomicUsize>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            // Each line is one write.
            self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_refused_watch_is_told_once_and_not_by_kube_too() {
        let lines = Lines::default();
        let out = lines.clone();
        let (subscriber, level) = subscriber("info", LogFormat::Text, move || out.clone(), false, None).unwrap();
        let _default = tracing::subscriber::set_default(subscriber);
        let told = || {
            tracing::warn!(target: "kube_runtime::watcher", "watch list error with 403");
            lines.0.load(std::sync::atomic::Ordering::SeqCst)
        };
        assert_eq!(told(), 0);
        level.set("info,kube_runtime::watcher=warn").unwrap();
        assert_eq!(told(), 1);
    }

    #[test]
    fn a_new_level_is_used_at_once() {
        let lines = Lines::default();
        let out = lines.clone();
        let (subscriber, level) = subscriber("warn", LogFormat::Text, move || out.clone(), false, None).unwrap();
        let _default = tracing::subscriber::set_default(subscriber);
        let count = || lines.0.load(std::sync::atomic::Ordering::SeqCst);
        let say = || tracing::info!("something of interest");
        say();
        assert_eq!(count(), 0);
        level.set("info").unwrap();
        say();
        assert_eq!(count(), 1);
        level.set("error").unwrap();
        say();
        assert_eq!(count(), 1);
    }

    #[test]
    fn a_filter_that_cannot_be_read_is_refused_with_an_example() {
        for filter in ["", "info,=", &"a".repeat(2000)] {
            let error = parse(filter).unwrap_err().to_string();
            assert!(error.contains("showrunner_kit=debug"), "{error}");
        }
        parse("info,showrunner_kit=debug").unwrap();
    }
}
