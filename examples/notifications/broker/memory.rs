//! Queues of this process, bounded: slow workers hold the batch up, and memory stays constant.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use ctxhop::{
    messaging::{Destination, Policy},
    queue::{self, Message},
};
use futures::StreamExt;

use super::{Describe, Failed, Job, verdict};

const CAPACITY: usize = 64;

type Ends = (queue::Publisher<Arc<Job>>, queue::Consumer<Arc<Job>>);

/// They stay open for as long as this is there.
#[derive(Default)]
pub(crate) struct Queues(Mutex<HashMap<&'static str, Ends>>);

impl Queues {
    fn ends(&self, name: &'static str, describe: Describe<'_>) -> Ends {
        let mut queues = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let open = || queue::bounded(describe(Destination::in_memory(name)), CAPACITY);
        queues.entry(name).or_insert_with(open).clone()
    }

    /// The queue itself is described by this end, and the other end by its own destination.
    pub(super) fn publisher(&self, name: &'static str, describe: Describe<'_>) -> Publisher {
        Publisher(self.ends(name, describe).0)
    }

    pub(super) fn consumer(&self, name: &'static str, describe: Describe<'_>) -> Consumer {
        let (_, queue) = self.ends(name, describe);
        Consumer { queue, destination: describe(Destination::in_memory(name)) }
    }
}

#[derive(Clone)]
pub(crate) struct Publisher(queue::Publisher<Arc<Job>>);

impl Publisher {
    pub(super) async fn publish(&self, job: Arc<Job>) -> Result<(), String> {
        self.0.publish(job).await.map_err(|error| error.to_string())
    }
}

pub(crate) struct Consumer {
    queue: queue::Consumer<Arc<Job>>,
    destination: Destination,
}

impl Consumer {
    pub(super) async fn process_each<F>(self, handle: impl Fn(Arc<Job>) -> F, stop: impl Future<Output = ()>)
    where
        F: Future<Output = Result<(), Failed>>,
    {
        let handle = |message: Message<Arc<Job>>| handle(message.payload);
        let policy = Policy::unlimited().decide(verdict);
        self.destination.process_each(self.queue.take_until(stop), handle, policy).await;
    }
}
