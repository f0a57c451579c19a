//! Starts the log, once per process, on standard error. What is logged is the business of the
//! code that logs; which of it is kept is the setting `telemetry.log`.

use std::io::{self, IsTerminal};

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::{EnvFilter, fmt};

use crate::config::{LogFormat, Telemetry};

/// Starts the log. Colours are for terminals, and `NO_COLOR` switches them off there too. A
/// second call changes nothing; a filter that cannot be read, which `Config::validate` refuses,
/// logs from `info` up.
pub fn init(config: &Telemetry) {
    let on_terminal = io::stderr().is_terminal();
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .parse(&config.log)
        .unwrap_or_else(|_| EnvFilter::new("info"));

    let text = fmt().with_env_filter(filter).with_writer(io::stderr);
    let started = if is_json(config.log_format, on_terminal) {
        text.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init()
    } else if on_terminal {
        text.try_init()
    } else {
        text.with_ansi(false).try_init()
    };
    // The one way to fail is that the log was started before, as in tests.
    drop(started);
}

fn is_json(format: LogFormat, on_terminal: bool) -> bool {
    match format {
        LogFormat::Auto => !on_terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_follows_the_terminal_unless_told() {
        let cases = [
            (LogFormat::Auto, true, false),
            (LogFormat::Auto, false, true),
            (LogFormat::Text, false, false),
            (LogFormat::Json, true, true),
        ];
        for (format, on_terminal, expected) in cases {
            assert_eq!(is_json(format, on_terminal), expected, "{format:?} {on_terminal}");
        }
    }

    #[test]
    fn the_log_may_be_started_twice() {
        init(&Telemetry::default());
        init(&Telemetry { log: "[".to_owned(), log_format: LogFormat::Json });
    }
}
