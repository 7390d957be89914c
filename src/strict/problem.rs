use std::{fmt, panic::Location, time::Duration};

use super::hop::Origin;

/// A hop, by its name and where it was called: `tokio::spawn at src/api.rs:30:9`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Site {
    name: &'static str,
    file: &'static str,
    line: u32,
    column: u32,
}

impl Site {
    /// The hop's name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The file of the call.
    #[must_use]
    pub const fn file(&self) -> &'static str {
        self.file
    }

    /// The line of the call.
    #[must_use]
    pub const fn line(&self) -> u32 {
        self.line
    }
}

impl From<(&'static str, &'static Location<'static>)> for Site {
    fn from((name, at): (&'static str, &'static Location<'static>)) -> Self {
        Self { name, file: at.file(), line: at.line(), column: at.column() }
    }
}

impl From<&Origin> for Site {
    fn from(origin: &Origin) -> Self {
        (origin.name, origin.at).into()
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}:{}:{}", self.name, self.file, self.line, self.column)
    }
}

/// What strict mode has found. See the [module](super) for what each is and its usual cure.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// A guard has outlived the work of a hop.
    #[non_exhaustive]
    Leaked {
        /// The hop.
        hop: Site,
        /// How often.
        times: u64,
        /// The functions that attached the guards, where that is known.
        attached_by: Vec<String>,
        /// How many hops have begun their work since then on a thread where the guard was attached.
        seen: u64,
    },
    /// A hop captured nothing while spans were open, and root spans came of it.
    #[non_exhaustive]
    Lost {
        /// The hop.
        hop: Site,
        /// How many of its captures were empty while spans were open.
        empty: u64,
        /// How many captures it made.
        captures: u64,
        /// The names of the root spans, and how many of each.
        roots: Vec<(String, u64)>,
    },
    /// Root spans were started outside any hop while other spans were open.
    #[non_exhaustive]
    Root {
        /// The name of the spans.
        span: String,
        /// How many.
        spans: u64,
        /// The functions that started them.
        started_by: Vec<String>,
    },
    /// A hop holds a span that has ended.
    #[non_exhaustive]
    Held {
        /// The hop.
        hop: Site,
        /// The hops that led there, the latest first.
        via: Vec<Site>,
        /// The name of the span.
        span: String,
        /// How many such hops hold such spans.
        hops: u64,
        /// How long ago the first of them has ended.
        longest: Duration,
    },
    /// A span has not ended.
    #[non_exhaustive]
    Open {
        /// The name of the span.
        span: String,
        /// How many of this name.
        spans: u64,
        /// How long ago the first of them has started.
        longest: Duration,
        /// The hops that hold them open.
        held_by: Vec<Site>,
    },
    /// Contexts found no room on their thread, and the work saw whatever was current there.
    #[non_exhaustive]
    Full {
        /// How many.
        times: u64,
    },
    /// A message was extracted where somebody else's span is current.
    #[non_exhaustive]
    NonRoot {
        /// The call of `extract` or `process`.
        at: Site,
        /// How often.
        times: u64,
        /// The functions that attached the span.
        attached_by: Vec<String>,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let more = |f: &mut fmt::Formatter<'_>, text: &str| write!(f, "\n          {text}");
        match self {
            Self::Leaked { hop, times, attached_by, seen } => {
                let (guards, outlives) = if *times == 1 { ("guard", "outlives") } else { ("guards", "outlive") };
                write!(f, "LEAKED    {times} {guards} {outlives} the work of {hop}")?;
                attached_by.iter().try_for_each(|by| more(f, &format!("attached by {by}")))?;
                match seen {
                    0 => Ok(()),
                    1 => more(f, "1 later hop on its thread saw it"),
                    _ => more(f, &format!("{seen} later hops on its thread saw it")),
                }
            }
            Self::Lost { hop, empty, captures, roots } => {
                write!(f, "LOST      {empty} of {captures} captures were empty while spans were open: {hop}")?;
                let roots: Vec<_> = roots.iter().map(|(name, count)| format!("{name} ×{count}")).collect();
                more(f, &format!("roots that came of it: {}", roots.join(", ")))
            }
            Self::Root { span, spans, started_by } => {
                let spans = if *spans == 1 { "1 span has".to_owned() } else { format!("{spans} spans have") };
                write!(f, "ROOT      {spans} no parent, outside any hop, while others were open: {span:?}")?;
                started_by.iter().try_for_each(|by| more(f, &format!("started by {by}")))
            }
            Self::Held { hop, via, span, hops, longest } => {
                let (hops, hold) = if *hops == 1 {
                    ("1 hop holds".to_owned(), "span")
                } else {
                    (format!("{hops} hops hold"), "spans")
                };
                write!(f, "HELD      {hops} the ended {hold} {span:?}, for up to {}: {hop}", Rough(*longest))?;
                let via: Vec<_> = via.iter().map(ToString::to_string).collect();
                if via.is_empty() { Ok(()) } else { more(f, &format!("by way of: {}", via.join(", "))) }
            }
            Self::Open { span, spans, longest, held_by } => {
                let have = if *spans == 1 { "span has" } else { "spans have" };
                write!(f, "OPEN      {spans} {have} not ended: {span:?}, for up to {}", Rough(*longest))?;
                held_by.iter().try_for_each(|hop| more(f, &format!("held by {hop}")))
            }
            Self::Full { times } => {
                let contexts = if *times == 1 { "context" } else { "contexts" };
                write!(f, "FULL      {times} {contexts} found no room: the thread has 65,534 contexts attached")
            }
            Self::NonRoot { at, times, attached_by } => {
                let messages = if *times == 1 { "message was" } else { "messages were" };
                write!(f, "NON-ROOT  {times} {messages} received while a span was current that no hop attached: {at}")?;
                attached_by.iter().try_for_each(|by| more(f, &format!("attached by {by}")))
            }
        }
    }
}

/// A duration, to the second where it is longer than that.
struct Rough(Duration);

impl fmt::Display for Rough {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < Duration::from_secs(1) {
            write!(f, "{} ms", self.0.as_millis())
        } else {
            write!(f, "{} s", self.0.as_secs())
        }
    }
}

/// What strict mode has found up to now. Its `Display` is what a person reads.
#[derive(Clone, Debug)]
#[must_use = "a report does nothing unless it is looked at"]
pub struct Report {
    hops: u64,
    observed: bool,
    problems: Vec<Problem>,
}

impl Report {
    pub(super) const fn new(hops: u64, observed: bool, problems: Vec<Problem>) -> Self {
        Self { hops, observed, problems }
    }

    /// How many hops were made since strict mode was installed.
    #[must_use]
    pub const fn hops(&self) -> u64 {
        self.hops
    }

    /// Whether strict mode can name the line that attached a guard. If not, another context observer was set before.
    #[must_use]
    pub const fn names_guards(&self) -> bool {
        self.observed
    }

    /// What was found.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let problems = match self.problems.len() {
            0 => "no problem".to_owned(),
            1 => "1 problem".to_owned(),
            several => format!("{several} problems"),
        };
        let hops = if self.hops == 1 { "hop" } else { "hops" };
        write!(f, "ctxhop strict: {problems} in {} {hops}", self.hops)?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n{problem}"))
    }
}
