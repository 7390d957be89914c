//! The messages of lapin on a real RabbitMQ, which all tests share.

mod broker;
mod headers;
mod same;
mod settling;

use std::time::Duration;

/// What takes longer hangs.
const LIMIT: Duration = Duration::from_secs(60);
