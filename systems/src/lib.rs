//! What the systems' programs and tests share.

mod collector;
mod otlp;
mod signal;

pub use collector::{Collector, Spans};
pub use signal::until_told_to_stop;
