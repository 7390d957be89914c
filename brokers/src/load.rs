//! Load with faults: many messages, and a server that is killed twice. What the brokers' tests of it have in common.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use ctxhop::{
    messaging::Destination,
    testing::{Parent, TraceNode, TraceRecorder},
};
use futures::{StreamExt, stream::FuturesUnordered};
use opentelemetry::{
    Context,
    trace::{SpanKind, Status},
};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    trace::{SdkTracerProvider, Span, SpanData, SpanProcessor},
};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use crate::rig::propagator;

const PRODUCERS: usize = 4;
const CONSUMERS: usize = 4;
const MESSAGES: usize = 20_000;
/// The server is killed when so many messages are handled.
const KILLS: [usize; 2] = [MESSAGES / 4, MESSAGES / 2];

/// What takes longer hangs: a settlement, a confirmation, a connection.
pub const STEP: Duration = Duration::from_secs(5);
const ALL: Duration = Duration::from_secs(170);

/// Counts spans that have begun and not ended.
#[derive(Clone, Debug, Default)]
struct Open(Arc<AtomicUsize>);

impl SpanProcessor for Open {
    fn on_start(&self, _: &mut Span, _: &Context) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn on_end(&self, _: SpanData) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// What is known of the messages. Each is a number.
pub struct Ledger {
    /// Where they go.
    pub orders: Destination,
    recorder: TraceRecorder,
    open: Open,
    /// How often each message was handled.
    handled: Vec<AtomicUsize>,
    /// How many messages were handled.
    progress: watch::Sender<usize>,
}

impl Ledger {
    fn new(system: &'static str) -> Self {
        let open = Open::default();
        let recorder = TraceRecorder::with_provider(SdkTracerProvider::builder().with_span_processor(open.clone()));
        let orders = Destination::new(system, "orders").with_tracer_provider(recorder.provider());
        Self {
            orders: orders.with_propagator(propagator()),
            recorder,
            open,
            handled: (0..MESSAGES).map(|_| AtomicUsize::new(0)).collect(),
            progress: watch::Sender::new(0),
        }
    }

    /// Notes that a message is handled.
    ///
    /// # Panics
    ///
    /// If it is not the number of a message.
    pub fn handle(&self, body: &[u8]) {
        let id: usize = str::from_utf8(body).ok().and_then(|id| id.parse().ok()).expect("a number");
        if self.handled[id].fetch_add(1, Ordering::Relaxed) == 0 {
            self.progress.send_modify(|handled| *handled += 1);
        }
    }

    /// Whether all are handled.
    pub fn is_done(&self) -> bool {
        *self.progress.borrow() == MESSAGES
    }

    /// Waits until all are handled.
    pub fn done(&self) -> impl Future<Output = ()> + Send + Unpin + use<> {
        let mut progress = self.progress.subscribe();
        // The sender is here as long as anyone waits.
        Box::pin(async move { _ = progress.wait_for(|handled| *handled == MESSAGES).await })
    }

    /// Nothing is lost, each span has ended, and each message has one tree, with an acknowledgement in it. What is not in a tree is
    /// another attempt to send. So many acknowledgements may be done although their answer is lost.
    fn check(&self, unanswered: usize) {
        assert!(self.handled.iter().all(|handled| handled.load(Ordering::Relaxed) > 0), "none is lost");
        assert_eq!(self.open.0.load(Ordering::Relaxed), 0, "each span has ended");
        let tree = self.recorder.tree();
        let mut trees = HashMap::new();
        let mut lost_answers = 0;
        for root in tree.roots() {
            assert_eq!((root.name(), root.parent()), ("send orders", Parent::None), "a tree in pieces: {root:?}");
            if root.span().span_kind == SpanKind::Producer {
                let id =
                    root.span().attributes.iter().find(|attribute| attribute.key.as_str() == "messaging.message.id");
                let before = trees.insert(id.expect("an id").value.to_string(), ());
                assert!(before.is_none(), "one tree for each message");
                let any = |name, is: fn(&TraceNode) -> bool| {
                    root.children().iter().any(|child| child.name() == name && is(child))
                };
                assert!(any("process orders", is_well) && any("ack orders", |_| true), "not settled: {root:?}");
                lost_answers += usize::from(!any("ack orders", is_well));
            } else {
                assert_eq!(root.span().links.len(), 1, "another attempt links to the message");
            }
        }
        assert_eq!(trees.len(), MESSAGES);
        assert!(lost_answers <= unanswered, "{lost_answers} messages have no acknowledgement that is known to be done");
        let count = |name| tree.find_all(name).count();
        let failed = |name| tree.find_all(name).filter(|node| !is_well(node)).count();
        println!(
            "{} sent, {} processed, {} acknowledged; failed: {} sends, {} acknowledgements, {lost_answers} of them done",
            count("send orders"),
            count("process orders"),
            count("ack orders"),
            failed("send orders"),
            failed("ack orders"),
        );
    }
}

fn is_well(node: &TraceNode) -> bool {
    node.span().status == Status::Unset
}

/// Producers and consumers of a broker.
pub trait Shop: Send + Sync + 'static {
    /// How many acknowledgements a consumer has under way that the server answers. The server may do them and be killed before it
    /// answers; then they have failed for the client, and the messages are not delivered again.
    const ANSWERED: usize = 0;

    /// What is known of its messages.
    fn ledger(&self) -> &Ledger;

    /// Sends these messages, each until it is confirmed.
    fn produce(&self, ids: Vec<usize>) -> impl Future<Output = ()> + Send;

    /// Handles messages, until all are handled.
    fn consume(&self, consumer: usize) -> impl Future<Output = ()> + Send;

    /// Handles what was handled before, and is to be delivered again because its acknowledgement was lost.
    fn drain(&self) -> impl Future<Output = ()> + Send;
}

/// Runs all producers and consumers, kills the server twice, and checks that nothing is lost.
///
/// # Panics
///
/// If something is lost, or hangs.
pub async fn run<S: Shop, B: Send + 'static>(
    system: &'static str,
    server: B,
    kill: fn(&mut B),
    shop: impl FnOnce(Ledger) -> S,
) {
    let shop = Arc::new(shop(Ledger::new(system)));
    let server = tokio::spawn(self::kill(server, kill, shop.ledger().progress.subscribe()));
    let tasks = FuturesUnordered::new();
    for producer in 0..PRODUCERS {
        let shop = shop.clone();
        tasks.push(tokio::spawn(async move { shop.produce((producer..MESSAGES).step_by(PRODUCERS).collect()).await }));
    }
    for consumer in 0..CONSUMERS {
        let shop = shop.clone();
        tasks.push(tokio::spawn(async move { shop.consume(consumer).await }));
    }
    let all = tasks.for_each(async |task| task.expect("no task panics"));
    let progress = shop.ledger().progress.subscribe();
    timeout(ALL, all).await.unwrap_or_else(|_| panic!("{} of {MESSAGES} are handled", *progress.borrow()));
    // The server lives until here.
    let _server = server.await.expect("the server is back");
    timeout(ALL, shop.drain()).await.expect("what is left is handled");
    shop.ledger().check(S::ANSWERED * CONSUMERS * KILLS.len());
}

/// Kills the server and starts it again, when so many messages are handled.
async fn kill<B: Send + 'static>(mut server: B, kill: fn(&mut B), mut progress: watch::Receiver<usize>) -> B {
    for at in KILLS {
        progress.wait_for(|handled| *handled >= at).await.expect("the ledger is kept");
        let killed = tokio::task::spawn_blocking(move || {
            kill(&mut server);
            server
        });
        server = killed.await.expect("the server is killed");
    }
    server
}

/// What `connect` makes, as soon as there is a server.
pub async fn connected<T, E, F: Future<Output = Result<T, E>>>(connect: impl Fn() -> F) -> T {
    loop {
        match timeout(STEP, connect()).await {
            Ok(Ok(connection)) => return connection,
            // There is nothing to wait for but time: a server that starts tells nobody.
            Ok(Err(_)) => sleep(Duration::from_millis(50)).await,
            Err(_) => {}
        }
    }
}
