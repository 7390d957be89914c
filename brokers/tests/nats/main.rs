//! The messages of async-nats on a real NATS with JetStream, one for each test: it starts in no time.

mod headers;
mod jetstream;

use std::time::Duration;

use futures::{Stream, StreamExt};
use tokio::time::timeout;

/// What takes longer hangs.
const LIMIT: Duration = Duration::from_secs(60);

/// The next one, which has to come.
async fn next<S: Stream + Unpin>(stream: &mut S) -> S::Item {
    timeout(LIMIT, stream.next()).await.expect("a message in time").expect("a message")
}
