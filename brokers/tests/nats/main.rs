//! The messages of async-nats on a real NATS with JetStream, one for each test: it starts in no time.

mod headers;
mod jetstream;

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use ctxhop_brokers::nats::Nats;
use futures::{Stream, StreamExt};
use tokio::time::timeout;

/// What takes longer hangs.
const LIMIT: Duration = Duration::from_secs(60);

/// The next one, which has to come.
async fn next<S: Stream + Unpin>(stream: &mut S) -> S::Item {
    timeout(LIMIT, stream.next()).await.expect("a message in time").expect("a message")
}

/// Publishes by hand, as another client might.
fn publish_raw(nats: &Nats, headers: &[u8]) {
    let mut stream = TcpStream::connect(nats.url().trim_start_matches("nats://")).unwrap();
    let head = format!("CONNECT {{\"verbose\":false,\"headers\":true}}\r\nHPUB orders {0} {0}\r\n", headers.len());
    stream.write_all(&[head.as_bytes(), headers, b"\r\nPING\r\n"].concat()).unwrap();
    let mut said = String::new();
    let mut byte = [0];
    while !said.contains("PONG") {
        stream.read_exact(&mut byte).unwrap();
        said.push(char::from(byte[0]));
    }
}
