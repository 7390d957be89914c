//! The stock: takes what was ordered off the shelf, one message after another, and acknowledges each.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use ctxhop::messaging::{Policy, Tally};
use opentelemetry::{Context, KeyValue, trace::TraceContextExt};
use tokio::sync::mpsc::UnboundedSender;

use crate::{Result, api::Order, broker::Consumer};

/// Also for a message that was in hand when this service was killed, which counts as an attempt.
const ATTEMPTS: u64 = 10;

/// Handles orders until `shutdown`, and then finishes those that it has, and those that would be lost. Tells of each that is done.
pub(crate) async fn run(
    consumer: Consumer,
    done: UnboundedSender<String>,
    shutdown: impl Future<Output = ()>,
) -> Result<Tally> {
    let shelf = Shelf::default();
    let handle = async |order: Result<Order, serde_json::Error>| {
        let order = order.map_err(|error| error.to_string())?;
        shelf.take(&order)?;
        // Nobody may want to know.
        let _ = done.send(order.id);
        Ok::<_, String>(())
    };
    let policy = Policy::within(Duration::from_secs(10)).at_once(16).attempts(ATTEMPTS);
    consumer.process_each(handle, policy, shutdown).await
}

#[derive(Default)]
struct Shelf {
    /// The orders whose pears have been counted.
    counted: Mutex<HashSet<String>>,
}

impl Shelf {
    fn take(&self, order: &Order) -> Result<(), &'static str> {
        if order.items.iter().any(|item| item.sku == "pear") && self.count(&order.id) {
            return Err("the pears had to be counted first");
        }
        // The current span is that of this attempt.
        let taken = |item| KeyValue::new("item.quantity", i64::from(item));
        Context::map_current(|cx| {
            for item in &order.items {
                cx.span().add_event(format!("took {}", item.sku), vec![taken(item.quantity)]);
            }
        });
        Ok(())
    }

    /// Whether they had to be counted.
    fn count(&self, order: &str) -> bool {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        // The next attempt takes them, and the order is forgotten.
        !counted.remove(order) && counted.insert(order.to_owned())
    }
}
