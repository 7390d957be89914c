//! The messages of rumqttc on a real Mosquitto, one for each test: it starts in no time.

mod formats;
mod lost;
mod session;
mod settling;
mod topics;
mod version_3;

use std::time::Duration;

use ctxhop::messaging::Policy;
use tokio::time::Sleep;

/// What takes longer hangs.
const LIMIT: Duration = Duration::from_secs(60);

fn policy() -> Policy<impl Fn() -> Sleep + Clone> {
    Policy::within(LIMIT)
}
