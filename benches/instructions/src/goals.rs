//! What each hop of ours may take at most, in the end. A goal that is missed fails nothing: the record holds what is reached,
//! and says beside it how far the goal is.

/// The most that a hop may take.
enum Goal {
    Instructions(f64),
    /// This many times as much as another's way of the same hop.
    Of(&'static str, f64),
    /// So many more than another's way of the same hop.
    Over(&'static str, f64),
    /// What it takes more than another hop of ours is this many times as much as another's way of it.
    BeyondOf(&'static str, &'static str, f64),
}
use Goal::{BeyondOf, Instructions, Of, Over};

/// Where a goal cannot be reached with OpenTelemetry's public API, `RATIONALE.md` has the reason ("Which goals of cost cannot
/// be reached?") and what is left, and here is a bound that can.
const GOALS: &[(&str, Goal)] = &[
    ("inject", Of("SDK, HashMap", 0.22)),
    ("extract", Of("SDK, HashMap", 0.22)),
    ("inject a member", Of("SDK, HashMap", 0.3)),
    // Was 0.3 of the SDK's.
    ("extract a member", Of("the API alone", 1.2)),
    ("publish + process", Of("by hand, same", 1.15)),
    // Was 6,000.
    ("… not sampled", Of("by hand, same", 0.95)),
    ("… without an SDK", Instructions(4_500.0)),
    // Four records for each message. Was 3,000 beyond.
    ("… with metrics", BeyondOf("… outside a span", "the records alone", 1.05)),
    ("channel", Of("by hand", 1.03)),
    ("std channel", Of("by hand", 1.03)),
    // Was 1.03 for all channels.
    ("std, bounded", Over("by hand", 20.0)),
    ("crossbeam", Of("by hand", 1.03)),
    ("crossbeam, bounded", Over("by hand", 20.0)),
    ("tokio mpsc", Over("by hand", 20.0)),
    ("tokio broadcast", Over("by hand", 45.0)),
    ("tokio oneshot", Of("by hand", 1.03)),
    ("futures mpsc", Over("by hand", 20.0)),
    ("futures oneshot", Over("by hand", 30.0)),
    ("async-channel", Of("by hand", 1.03)),
    ("parallel sum", Of("bare", 1.02)),
    ("join", Of("bare", 1.05)),
    ("poll in a span", Of("by hand", 1.04)),
];

/// The hop's goal, and whether it is reached; empty where it has none.
pub(crate) fn verdict(hop: &str, counted: &[(&str, &str, f64)]) -> String {
    let find = |hop: &str, whose: &str| counted.iter().find(|(h, w, _)| (*h, *w) == (hop, whose)).map(|(.., n)| *n);
    let Some((_, goal)) = GOALS.iter().find(|(name, _)| *name == hop) else { return String::new() };
    let ours = find(hop, "ctxhop").expect("a goal of a hop that is counted");
    let (goal, is, met) = match goal {
        Instructions(most) => (format!("{most}"), format!("{ours:.0}"), ours <= *most),
        Of(whose, most) => {
            let ratio = ours / find(hop, whose).expect("the other way is counted, too");
            (format!("{most} of {whose}"), format!("{ratio:.3}"), ratio <= *most)
        }
        Over(whose, most) => {
            let more = ours - find(hop, whose).expect("the other way is counted, too");
            (format!("{most} more than {whose}"), format!("{more:.0}"), more <= *most)
        }
        BeyondOf(base, whose, most) => {
            let more = ours - find(base, "ctxhop").expect("the other hop is counted, too");
            let ratio = more / find(hop, whose).expect("the other way is counted, too");
            (format!("{most} of {whose}, beyond {base}"), format!("{ratio:.3}"), ratio <= *most)
        }
    };
    if met {
        return format!("goal {goal}: {is}, met");
    }
    // What others take says whether the goal can be reached at all.
    let others = counted.iter().filter(|(h, whose, _)| *h == hop && !["ctxhop", "bare"].contains(whose));
    let others: String = others.map(|(_, whose, n)| format!("; {whose} {n:.0}")).collect();
    format!("goal {goal}: {is}, MISSED{others}")
}
