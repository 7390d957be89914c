//! The entries of redis' streams on a real Redis, one for each test: it starts in no time.

mod carriers;
mod connections;
mod fields;
mod lost;
mod settling;
mod shop;

use std::time::Duration;

/// What takes longer hangs.
const LIMIT: Duration = Duration::from_secs(60);
