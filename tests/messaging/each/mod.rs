//! The consumer loop: what becomes of each message, and what the spans say of it. Here is what the loop is given.

mod many;
mod panics;
mod settling;
mod spans;

use std::{
    fmt,
    future::pending,
    iter,
    sync::{Arc, Mutex},
    task::Poll,
};

use ctxhop::{
    carrier::{Carrier, Headers},
    messaging::{Delivered, Destination, Policy, Tally},
};
use futures::{executor::block_on, stream};
use opentelemetry::KeyValue;

use crate::rig::{NoApples, Rig, current, traced};

/// What a broker of this test delivers: it notes how it was settled, or refuses, or never answers.
struct Parcel {
    headers: Headers,
    body: &'static str,
    count: Option<u64>,
    least: Option<u64>,
    broker: Broker,
    settled: Arc<Mutex<Vec<String>>>,
}

#[derive(Clone, Copy)]
enum Broker {
    Answers,
    Refuses,
    Hangs,
}

#[derive(Debug)]
struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("refused")
    }
}

impl Parcel {
    fn new(body: &'static str) -> Self {
        let (headers, settled) = (traced(), Arc::default());
        Self { headers, body, count: Some(1), least: None, broker: Broker::Answers, settled }
    }

    async fn settle(self, how: &str) -> Result<(), Refused> {
        assert!(current().is_valid(), "the broker is told inside the span");
        match self.broker {
            Broker::Answers => self.settled.lock().unwrap().push(format!("{how} {}", self.body)),
            Broker::Refuses => return Err(Refused),
            Broker::Hangs => pending().await,
        }
        Ok(())
    }
}

impl Carrier for Parcel {
    fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        self.headers.get_all(key)
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        self.headers.keys()
    }

    fn describe(&self) -> impl Iterator<Item = KeyValue> {
        iter::once(KeyValue::new("messaging.message.id", self.body))
    }
}

impl Delivered for Parcel {
    type Message = &'static str;
    type Error = Refused;

    fn message(&mut self) -> &'static str {
        self.body
    }

    fn delivery_count(&self) -> Option<u64> {
        self.count
    }

    fn delivered_at_least(&self) -> u64 {
        self.least.unwrap_or_else(|| self.count.unwrap_or(1))
    }

    fn destination(&self, consumer: &Destination) -> Destination {
        consumer.at(format!("{}.{}", consumer.name(), self.body))
    }

    fn ack(self) -> impl Future<Output = Result<(), Refused>> {
        self.settle("ack")
    }

    fn retry(self) -> impl Future<Output = Result<(), Refused>> {
        self.settle("retry")
    }

    fn reject(self) -> impl Future<Output = Result<(), Refused>> {
        self.settle("reject")
    }
}

/// By what the message is.
async fn handle(body: &'static str) -> Result<(), NoApples> {
    assert!(current().is_valid(), "the handler runs inside the span");
    match body {
        "rotten" => panic!("rotten"),
        "none" => Err(NoApples),
        _ => Ok(()),
    }
}

/// Runs one parcel through the loop.
fn process<L, W>(rig: &Rig, parcel: Parcel, policy: Policy<L>) -> (Tally, Vec<String>)
where
    L: Fn() -> W,
    W: Future,
{
    let settled = parcel.settled.clone();
    let tally = block_on(rig.orders.process_each(stream::iter([parcel]), handle, policy));
    let settled = settled.lock().unwrap().clone();
    (tally, settled)
}

async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(|task| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        task.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
