//! Every operation, whatever becomes of its work; whose child a span is, what it links to, what is counted.

#[path = "../support/mod.rs"]
mod support;

mod destination;
mod metrics;
mod operation;
mod outcome;
mod relation;
mod rig;
