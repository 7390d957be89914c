//! What strict mode has seen in this process.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap},
    panic::Location,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::panicking,
    time::{Duration, Instant},
};

use super::{
    Action, Config,
    caller::Caller,
    guard::Guard,
    hop::{Origin, Panics, SpanKey},
    problem::{Problem, Report, Site},
};

pub(super) struct Ledger {
    config: Config,
    /// OpenTelemetry tells of each attach.
    observed: bool,
    hops: AtomicU64,
    /// Contexts that found no room.
    full: AtomicU64,
    seen: Mutex<Seen>,
}

/// The name of a hop, and where it was called.
type Place = (&'static str, &'static Location<'static>);

#[derive(Default)]
struct Seen {
    captures: HashMap<Place, Captures>,
    leaks: HashMap<Place, Leaks>,
    roots: BTreeMap<String, Roots>,
    strangers: HashMap<Place, Leaks>,
    /// The hops whose context is not let go yet, by the span that it holds.
    holders: HashMap<SpanKey, HashMap<u64, Arc<Origin>>>,
    open: HashMap<SpanKey, Span>,
    /// Those among the held that have ended.
    ended: HashMap<SpanKey, Span>,
}

#[derive(Default)]
struct Captures {
    all: u64,
    empty: u64,
    roots: BTreeMap<String, u64>,
}

#[derive(Clone, Default)]
struct Leaks {
    times: u64,
    /// The first of them.
    guards: Vec<Guard>,
}

/// Root spans of one name that were started outside any hop while spans were open.
#[derive(Clone, Default)]
struct Roots {
    spans: u64,
    /// The first of them.
    callers: Vec<Arc<Caller>>,
}

/// So many callers are remembered for each place or name; the others are counted.
const MAX_CALLERS: usize = 16;

/// So many names of root spans are told apart: names are strangers' text in some programs.
const MAX_NAMES: usize = 256;

/// The entry of this name, or of all names beyond the limit.
fn bounded<'a, T: Default>(entries: &'a mut BTreeMap<String, T>, name: &str) -> &'a mut T {
    let is_known = entries.contains_key(name);
    let name = if is_known || entries.len() < MAX_NAMES { name } else { "(other names)" };
    entries.entry(name.to_owned()).or_default()
}

/// Why a span has no parent.
pub(super) enum Root {
    /// The work of a hop that captured nothing while spans were open.
    OfLostHop(Arc<Origin>),
    /// The work of any other hop.
    OnPurpose,
    /// No hop led here.
    OfNoHop,
}

/// A span, and when it started or ended.
struct Span {
    name: Cow<'static, str>,
    since: Instant,
    /// The number of the processor that told of it.
    processor: u64,
}

impl Ledger {
    pub(super) fn new(config: Config, observed: bool) -> Self {
        Self { config, observed, hops: AtomicU64::new(0), full: AtomicU64::new(0), seen: Mutex::default() }
    }

    /// Nothing that runs under the lock can leave it half-changed.
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A hop was made. `nothing`: whether it captured no span; `None` if it was given its context. `span`: the one that it holds.
    /// Returns whether a trace may be lost in it.
    pub(super) fn made(&self, hop: u64, origin: &Arc<Origin>, nothing: Option<bool>, span: Option<SpanKey>) -> bool {
        self.hops.fetch_add(1, Ordering::Relaxed);
        if nothing.is_none() && span.is_none() {
            return false;
        }
        let mut seen = self.seen();
        if let Some(span) = span {
            seen.holders.entry(span).or_default().insert(hop, Arc::clone(origin));
        }
        let Some(nothing) = nothing else { return false };
        let lost = nothing && !seen.open.is_empty();
        let captures = seen.captures.entry((origin.name, origin.at)).or_default();
        captures.all += 1;
        captures.empty += u64::from(lost);
        lost
    }

    pub(super) fn release(&self, hop: u64, span: Option<SpanKey>) {
        let Some(span) = span else { return };
        let mut seen = self.seen();
        let Some(holders) = seen.holders.get_mut(&span) else { return };
        let origin = holders.remove(&hop);
        if holders.is_empty() {
            seen.holders.remove(&span);
            seen.ended.remove(&span);
        }
        drop(seen);
        drop(origin);
    }

    pub(super) fn started(&self, processor: u64, key: SpanKey, name: Cow<'static, str>, root: Option<Root>) {
        match root.filter(|_| !self.config.roots.iter().any(|root| *root == name)) {
            Some(Root::OfLostHop(origin)) => {
                let mut seen = self.seen();
                let captures = seen.captures.entry((origin.name, origin.at)).or_default();
                *bounded(&mut captures.roots, &name) += 1;
            }
            Some(Root::OfNoHop) => self.root(&name),
            Some(Root::OnPurpose) | None => {}
        }
        self.seen().open.insert(key, Span { name, since: Instant::now(), processor });
    }

    fn root(&self, name: &str) {
        let mut seen = self.seen();
        if seen.open.is_empty() {
            return;
        }
        let roots = bounded(&mut seen.roots, name);
        roots.spans += 1;
        if roots.callers.len() < MAX_CALLERS {
            drop(seen);
            // It takes a while, so nobody else has to wait for it.
            let caller = Arc::new(Caller::capture());
            bounded(&mut self.seen().roots, name).callers.push(caller);
        }
    }

    /// A provider that is shut down does not tell of its spans' ends any more.
    pub(super) fn shut_down(&self, processor: u64) {
        self.seen().open.retain(|_, span| span.processor != processor);
    }

    pub(super) fn ended(&self, key: SpanKey) {
        let mut seen = self.seen();
        if let Some(span) = seen.open.remove(&key).filter(|_| seen.holders.contains_key(&key)) {
            seen.ended.insert(key, Span { since: Instant::now(), ..span });
        }
    }

    pub(super) fn leaked(&self, origin: &Origin, guards: Vec<Guard>, panics: Panics) {
        self.seen().leaks.entry((origin.name, origin.at)).or_default().add(guards.clone());
        self.act(panics, || leaked(origin.into(), 1, &guards));
    }

    pub(super) fn non_root(&self, at: Place, guard: Guard) {
        self.seen().strangers.entry(at).or_default().add(vec![guard.clone()]);
        self.act(Panics::Allowed, || non_root(at, 1, &[guard]));
    }

    pub(super) fn full(&self) {
        self.full.fetch_add(1, Ordering::Relaxed);
        // An attach never panics, because destructors attach.
        self.act(Panics::Never, || Problem::Full { times: 1 });
    }

    fn act(&self, panics: Panics, problem: impl FnOnce() -> Problem) {
        match self.config.on_problem {
            Action::Count => {}
            Action::Panic if panics == Panics::Allowed && !panicking() => panic!("ctxhop strict: {}", problem()),
            Action::Log | Action::Panic => eprintln!("ctxhop strict: {}", problem()),
        }
    }

    pub(super) fn report(&self) -> Report {
        let full = self.full.load(Ordering::Relaxed);
        let mut problems: Vec<_> = (full > 0).then_some(Problem::Full { times: full }).into_iter().collect();
        let seen = self.seen();
        problems.extend(seen.captures.iter().filter(|(_, captures)| !captures.roots.is_empty()).map(
            |(place, captures)| Problem::Lost {
                hop: (*place).into(),
                empty: captures.empty,
                captures: captures.all,
                roots: captures.roots.iter().map(|(name, count)| (name.to_string(), *count)).collect(),
            },
        ));
        problems.extend(seen.held(self.config.patience));
        problems.extend(seen.open(self.config.patience));
        let (leaks, strangers, roots) = (seen.leaks.clone(), seen.strangers.clone(), seen.roots.clone());
        drop(seen);
        // These look up the names of functions, which takes long.
        problems.extend(leaks.iter().map(|(place, leaks)| leaked((*place).into(), leaks.times, &leaks.guards)));
        problems.extend(strangers.iter().map(|(at, leaks)| non_root(*at, leaks.times, &leaks.guards)));
        problems.extend(roots.iter().map(|(name, roots)| Problem::Root {
            span: name.to_string(),
            spans: roots.spans,
            started_by: Caller::all(roots.callers.iter().map(|caller| &**caller)),
        }));
        problems.sort_by_cached_key(ToString::to_string);
        Report::new(self.hops.load(Ordering::Relaxed), self.observed, problems)
    }
}

impl Leaks {
    fn add(&mut self, guards: Vec<Guard>) {
        self.times += 1;
        let room = MAX_CALLERS.saturating_sub(self.guards.len());
        self.guards.extend(guards.into_iter().take(room));
    }
}

impl Seen {
    fn held(&self, patience: Duration) -> impl Iterator<Item = Problem> {
        let mut found = BTreeMap::<_, (u64, Duration, Vec<Site>)>::new();
        for (key, span) in self.ended.iter().filter(|(_, span)| span.since.elapsed() > patience) {
            for origin in self.holders.get(key).into_iter().flat_map(HashMap::values) {
                let held = found.entry((Site::from(&**origin), span.name.to_string())).or_default();
                held.0 += 1;
                held.1 = held.1.max(span.since.elapsed());
                held.2 = std::iter::successors(origin.from.as_deref(), |origin| origin.from.as_deref())
                    .map(Site::from)
                    .collect();
            }
        }
        found.into_iter().map(|((hop, span), (hops, longest, via))| Problem::Held { hop, via, span, hops, longest })
    }

    fn open(&self, patience: Duration) -> impl Iterator<Item = Problem> {
        let mut found = BTreeMap::<_, (u64, Duration, BTreeSet<Site>)>::new();
        for span in self.open.values().filter(|span| span.since.elapsed() > patience) {
            let open = found.entry(span.name.to_string()).or_default();
            open.0 += 1;
            open.1 = open.1.max(span.since.elapsed());
        }
        for (key, origins) in &self.holders {
            let open = self.open.get(key).and_then(|span| found.get_mut(&*span.name));
            open.into_iter().for_each(|open| open.2.extend(origins.values().map(|origin| Site::from(&**origin))));
        }
        found.into_iter().map(|(span, (spans, longest, held_by))| {
            let held_by = held_by.into_iter().collect();
            Problem::Open { span, spans, longest, held_by }
        })
    }
}

fn leaked(hop: Site, times: u64, guards: &[Guard]) -> Problem {
    Problem::Leaked { hop, times, attached_by: attached_by(guards), seen: guards.iter().map(Guard::seen).sum() }
}

fn non_root(at: Place, times: u64, guards: &[Guard]) -> Problem {
    Problem::NonRoot { at: at.into(), times, attached_by: attached_by(guards) }
}

fn attached_by(guards: &[Guard]) -> Vec<String> {
    Caller::all(guards.iter().map(Guard::attached_by))
}
