use std::{backtrace::Backtrace, fmt};

/// Where the user's code called OpenTelemetry. Its `Display`: `shop::auth::check at src/auth.rs:34:71`.
pub(super) struct Caller(Backtrace);

impl Caller {
    pub(super) fn capture() -> Self {
        Self(Backtrace::force_capture())
    }

    /// Each of them once, in order.
    pub(super) fn all<'a>(callers: impl IntoIterator<Item = &'a Self>) -> Vec<String> {
        let mut all: Vec<_> = callers.into_iter().map(ToString::to_string).collect();
        all.sort();
        all.dedup();
        all
    }
}

/// So many of the user's functions are named, the innermost first.
const NAMED: usize = 3;

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A backtrace has no other stable form than its text: `12: function`, and mostly `at file:line:column` below it.
        let text = self.0.to_string();
        let mut lines = text.lines().map(str::trim).peekable();
        let mut frames = Vec::new();
        while let Some(line) = lines.next() {
            let Some((_, function)) = line.split_once(": ").filter(|(number, _)| number.parse::<u32>().is_ok()) else {
                continue;
            };
            let place =
                lines.peek().and_then(|next| next.strip_prefix("at ")).map(|place| place.trim_start_matches("./"));
            match (is_machinery(function, place.unwrap_or_default()), frames.len()) {
                (true, 0) => {}
                (true, _) | (false, NAMED) => break,
                (false, _) => frames.push(match place {
                    Some(place) => format!("{function} at {place}"),
                    None => function.to_owned(),
                }),
            }
        }
        if frames.is_empty() {
            f.write_str("code without debug information")
        } else {
            f.write_str(&frames.join(", in "))
        }
    }
}

/// Crates whose functions only hand the call on, or run the user's.
const MACHINERY: [&str; 12] = [
    "std::",
    "core::",
    "alloc::",
    "opentelemetry",
    "ctxhop::",
    "futures",
    "rayon",
    "tokio::",
    "tracing::",
    "tracing_core::",
    "tracing_opentelemetry::",
    "tracing_subscriber::",
];

/// This file, by which the folder of this crate's sources is known.
const THIS_FILE: &str = file!();

/// `function` is a path, or `<type as trait>::method`; with little debug information it is a bare name, and the place tells.
fn is_machinery(function: &str, place: &str) -> bool {
    let own = THIS_FILE.trim_end_matches("strict/caller.rs");
    let mut parts = function.trim_start_matches(['<', '&', '_']).split(" as ");
    place.starts_with(own)
        || place.contains("/registry/src/")
        || place.starts_with("/rustc/")
        || parts.any(|path| MACHINERY.iter().any(|machinery| path.starts_with(machinery)))
}
