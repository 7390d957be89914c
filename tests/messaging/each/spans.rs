//! The loop's spans: where they belong, and what they say.

use std::{convert::Infallible, future::ready, iter};

use ctxhop::{
    carrier::{Carrier, Headers},
    messaging::{Delivered, Destination, Policy, Relation},
    prelude::*,
    queue::{self, Message},
};
use futures::{executor::block_on, stream};
use opentelemetry::trace::TraceContextExt;

use super::{Parcel, handle, process};
use crate::rig::{CREATION, NoApples, Rig, linked, listed};

#[test]
fn settling_belongs_where_the_processing_does() {
    for ambient in [false, true] {
        for relation in [Relation::Auto, Relation::Parent, Relation::Link] {
            let mut rig = Rig::new();
            rig.orders = rig.orders.clone().relation(relation);
            let cx = if ambient { rig.ambient() } else { opentelemetry::Context::new() };
            cx.run(|| process(&rig, Parcel::new("fine"), Policy::unlimited()));
            let (processed, settled) = (rig.span("process orders"), rig.span("ack orders"));
            assert_eq!(settled.parent_span_id, processed.parent_span_id, "{relation:?}");
            assert_eq!(linked(&settled), linked(&processed), "{relation:?}");
            assert!(linked(&settled).contains(&CREATION));
            if processed.parent_span_id == CREATION || ambient {
                assert_eq!(settled.span_context.trace_id(), processed.span_context.trace_id());
            }
            assert!(settled.start_time >= processed.end_time);
        }
    }
}

#[test]
fn the_spans_belong_to_what_is_current_where_the_loop_is_polled() {
    let rig = Rig::new();
    let (calls, polls) = (rig.ambient(), rig.ambient());
    let parcels = stream::iter([Parcel::new("fine")]);
    let each = calls.run(|| rig.orders.process_each(parcels, handle, Policy::unlimited()));
    polls.run(|| block_on(each));
    let parent = polls.span().span_context().span_id();
    for name in ["process orders", "ack orders"] {
        assert_eq!(rig.span(name).parent_span_id, parent, "{name}");
    }
}

#[test]
fn a_delivery_tells_its_destination_and_itself() {
    let rig = Rig::new();
    process(&rig, Parcel { count: Some(3), ..Parcel::new("fine") }, Policy::unlimited());
    assert_eq!(
        listed(&rig.span("process orders").attributes),
        "ctxhop.delivery_count=3 destination.name=orders.fine destination.template=orders message.id=fine \
         operation.name=process operation.type=process system=rabbitmq"
    );
    assert!(listed(&rig.span("ack orders").attributes).contains("destination.name=orders.fine"));
}

/// What a client delivers that tells nothing of itself.
struct Plain;

impl Carrier for Plain {
    fn get_all<'a>(&'a self, _: &str) -> impl Iterator<Item = &'a str> {
        iter::empty()
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        iter::empty()
    }
}

impl Delivered for Plain {
    type Message = ();
    type Error = Infallible;

    fn message(&mut self) {}

    async fn ack(self) -> Result<(), Infallible> {
        Ok(())
    }

    async fn retry(self) -> Result<(), Infallible> {
        Ok(())
    }

    async fn reject(self) -> Result<(), Infallible> {
        Ok(())
    }
}

#[test]
fn of_a_delivery_that_tells_nothing_nothing_is_said() {
    let rig = Rig::new();
    let failing = |()| ready(Err::<(), _>(NoApples));
    block_on(rig.orders.process_each(stream::iter([Plain]), failing, Policy::unlimited()));
    let span = rig.span("process orders");
    assert!(linked(&span).is_empty());
    assert_eq!(
        listed(&span.attributes),
        "destination.name=orders error.type=messaging::rig::NoApples operation.name=process operation.type=process system=rabbitmq"
    );
}

#[test]
fn the_queue_and_a_broker_give_the_same_tree() {
    let rig = Rig::new();
    let orders = rig.connect(Destination::in_memory("orders"));
    let (publisher, consumer) = queue::unbounded(orders.clone());
    publisher.try_publish("none").unwrap();
    drop(publisher);
    // The consumer is another service, with a name of its own for the queue.
    let billing = rig.connect(Destination::in_memory("orders").consumer_group("billing"));
    let policy = Policy::unlimited().attempts(2);
    let tally = block_on(billing.process_each(consumer, |message: Message<_>| handle(message.payload), policy));
    assert_eq!((tally.retried, tally.rejected), (1, 1));
    let queued = rig.recorder.tree().display().durations(false).to_string();
    assert_eq!(
        queued,
        "send orders [producer]\n\
         ├─ process orders [consumer] ERROR: no apples ~> process orders, send orders\n\
         ├─ process orders [consumer] ERROR: no apples ~> send orders\n\
         ├─ reject orders [client] ~> send orders\n\
         └─ retry orders [client] ~> send orders"
    );
    let second = rig.recorder.spans().into_iter().filter(|span| span.name == "process orders").nth(1).unwrap();
    let said = listed(&second.attributes);
    assert!(said.contains("consumer.group.name=billing") && said.contains("ctxhop.delivery_count=2"));
    assert!(said.contains("ctxhop.time_in_queue="), "{said}");

    let rig = Rig::new();
    let mut headers = Headers::new();
    rig.orders.send(&mut headers).run(|| ());
    let attempts = [1, 2].map(|count| Parcel { headers: headers.clone(), count: Some(count), ..Parcel::new("none") });
    block_on(rig.orders.process_each(stream::iter(attempts), handle, policy));
    let delivered = rig.recorder.tree().display().durations(false).to_string();
    assert_eq!(
        delivered,
        queued.replace("~> process orders, send orders", "~> send orders"),
        "it remembers no attempt"
    );
}
