//! Google Cloud Pub/Sub, by Google's client for Rust on Google's fake: a server of its own for each test.

mod limits;
mod settling;
mod shop;

use std::time::Duration;

/// What takes longer hangs.
const LIMIT: Duration = Duration::from_secs(60);
