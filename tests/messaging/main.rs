//! Every operation, whatever becomes of its work; whose child a span is, what it links to, what is counted.

#[path = "../support/mod.rs"]
mod support;

mod destination;
mod each;
mod metrics;
mod operation;
mod outcome;
mod relation;
mod report;
mod rig;
mod said;
