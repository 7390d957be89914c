//! The propagators by themselves, without a carrier of this crate: what they read, what they write, what they refuse.

mod baggage;
mod trace_context;
