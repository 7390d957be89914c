//! A panic anywhere in a client, a handler or a policy.

use std::{cell::Cell, future::pending, panic::panic_any};

use ctxhop::{
    carrier::Carrier,
    messaging::{Delivered, Destination, Failure, Outcome, Policy, Verdict},
};
use futures::{executor::block_on, stream};
use opentelemetry::{
    KeyValue,
    trace::{SpanContext, Status},
};

use super::{Parcel, Refused, yield_now};
use crate::rig::{Rig, current};

/// A delivery, its handler and its policy, which panic at one point.
struct Grenade {
    parcel: Parcel,
    explodes: Option<At>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum At {
    Destination,
    Count,
    Description,
    Attempt,
    Message,
    Handler,
    Work,
    Failure,
    Decision,
    Result,
    Settling,
    Settlement,
    Limit,
    Timer,
    Drop,
}

impl Grenade {
    fn at(&self, at: At) {
        explode(self.explodes, at);
    }
}

fn explode(explodes: Option<At>, at: At) {
    if explodes == Some(at) {
        panic_any(Splinter);
    }
}

/// What it panics with explodes too, when whoever caught it drops it.
struct Splinter;

impl Drop for Splinter {
    fn drop(&mut self) {
        panic!("a splinter explodes");
    }
}

impl Drop for Grenade {
    fn drop(&mut self) {
        self.at(At::Drop);
    }
}

impl Carrier for Grenade {
    fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        self.parcel.get_all(key)
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        self.parcel.keys()
    }

    fn describe(&self) -> impl Iterator<Item = KeyValue> {
        self.at(At::Description);
        self.parcel.describe()
    }
}

impl Delivered for Grenade {
    type Message = Option<At>;
    type Error = Refused;

    fn message(&mut self) -> Option<At> {
        self.at(At::Message);
        self.explodes
    }

    fn delivery_count(&self) -> Option<u64> {
        self.at(At::Count);
        Some(1)
    }

    fn destination(&self, consumer: &Destination) -> Destination {
        self.at(At::Destination);
        consumer.clone()
    }

    fn attempt(&mut self, _: SpanContext) -> Option<SpanContext> {
        self.at(At::Attempt);
        None
    }

    fn ack(self) -> impl Future<Output = Result<(), Refused>> {
        self.at(At::Settling);
        async move {
            yield_now().await;
            self.at(At::Settlement);
            Ok(())
        }
    }

    async fn retry(self) -> Result<(), Refused> {
        Ok(())
    }

    async fn reject(self) -> Result<(), Refused> {
        unreachable!("it is the first delivery")
    }
}

/// What a handler makes of a grenade.
struct Exploding(Option<At>);

impl Drop for Exploding {
    fn drop(&mut self) {
        explode(self.0, At::Result);
    }
}

impl Outcome for Exploding {
    fn failure(&self) -> Option<Failure> {
        explode(self.0, At::Failure);
        None
    }
}

#[test]
fn a_panic_ends_one_message_and_not_the_loop() {
    let handler = |explodes: Option<At>| {
        explode(explodes, At::Handler);
        async move {
            yield_now().await;
            explode(explodes, At::Work);
            Exploding(explodes)
        }
    };
    let decide = |result: &Exploding| {
        explode(result.0, At::Decision);
        Verdict::Ack
    };
    let unsettled =
        [At::Destination, At::Count, At::Description, At::Attempt, At::Settling, At::Settlement, At::Limit, At::Timer];
    let retried = [At::Message, At::Handler, At::Work, At::Failure, At::Decision];
    for at in unsettled.into_iter().chain(retried).chain([At::Result, At::Drop]) {
        let rig = Rig::new();
        // The limit is one for all, so it explodes the first time.
        let limits = Cell::new(0);
        let limit = || {
            limits.set(limits.get() + 1);
            let explodes = (limits.get() == 1).then_some(at);
            explode(explodes, At::Limit);
            async move {
                explode(explodes, At::Timer);
                pending::<()>().await;
            }
        };
        let grenades = [Some(at), None].map(|explodes| Grenade { parcel: Parcel::new("fine"), explodes });
        let each = rig.orders.process_each(stream::iter(grenades), handler, Policy::new(limit).decide(decide));
        let tally = block_on(each);
        assert_eq!((tally.panicked, tally.rejected), (1, 0), "{at:?}");
        let expected = match at {
            // The decision stands.
            At::Result => (2, 0, 0),
            _ if retried.contains(&at) => (1, 1, 0),
            _ => (1, 0, 1),
        };
        assert_eq!((tally.acked, tally.retried, tally.unsettled), expected, "{at:?}");
        assert!(!current().is_valid(), "{at:?}: nothing stays attached");
        let fine = rig.recorder.spans().into_iter().filter(|span| span.status == Status::Unset);
        assert_eq!(fine.filter(|span| span.name == "ack orders").count() as u64, tally.acked, "{at:?}");
    }
}
