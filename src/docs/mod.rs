//! Chapters that belong to no single module.

pub mod open_spans;
