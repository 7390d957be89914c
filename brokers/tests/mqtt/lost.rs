//! A connection that ends under load: what was read before its end, and what was acknowledged too late.

use ctxhop::{
    clients::rumqttc_0_25::{Client, Deliveries, Delivery, Inbox, SettleError, deliveries},
    messaging::Delivered,
};
use futures::{FutureExt, StreamExt};
use rumqttc::v5::{AsyncClient, Event, EventLoop, Incoming, MqttOptions, Request, mqttbytes::v5::PubRec};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use crate::LIMIT;

/// The broker knows nothing of a session.
const CONNACK: &[u8] = b"\x20\x03\x00\x00\x00";
/// Each has the number 1, and quality of service 1.
const OLD: &[u8] = b"\x32\x0a\x00\x01t\x00\x01\x00\x6f\x6c\x64\x21";
const NEW: &[u8] = b"\x32\x0a\x00\x01t\x00\x01\x00\x6e\x65\x77\x21";
/// The server shuts down.
const DISCONNECT: &[u8] = b"\xe0\x02\x8b\x00";
const PUBACK: &[u8] = b"\x40\x02\x00\x01";

struct Peer {
    listener: TcpListener,
    eventloop: EventLoop,
    inbox: Inbox<AsyncClient>,
    deliveries: Deliveries<AsyncClient>,
}

impl Peer {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut options = MqttOptions::new("billing", "127.0.0.1", listener.local_addr().unwrap().port());
        options.set_manual_acks(true);
        let (client, eventloop) = AsyncClient::new(options, 16);
        let (inbox, deliveries) = deliveries(&client, &eventloop);
        Self { listener, eventloop, inbox, deliveries }
    }

    /// Lets the client connect, to a broker that says this at once.
    async fn connect(&mut self, said: &[&[u8]]) -> TcpStream {
        let broker = async {
            let (mut stream, _) = self.listener.accept().await.unwrap();
            // `CONNECT` has a length of one byte here.
            let mut front = [0; 2];
            stream.read_exact(&mut front).await.unwrap();
            stream.read_exact(&mut vec![0; front[1].into()]).await.unwrap();
            stream.write_all(&said.concat()).await.unwrap();
            stream
        };
        let client = async {
            // What is left of the connection before comes first.
            while !matches!(self.inbox.poll(&mut self.eventloop).await, Some(Ok(Event::Incoming(Incoming::ConnAck(_)))))
            {
            }
        };
        timeout(LIMIT, async { tokio::join!(broker, client) }).await.expect("a connection in time").0
    }

    /// What has come already.
    fn next(&mut self) -> Delivery<AsyncClient> {
        self.deliveries.next().now_or_never().expect("a delivery that waits").unwrap()
    }
}

/// rumqttc reads several packets at once. If one of them ends the connection, it keeps those before, and returns them later.
#[tokio::test]
async fn what_was_read_before_the_end_is_not_acknowledged_by_the_next_connection() {
    let mut peer = Peer::new().await;
    peer.connect(&[CONNACK, OLD, DISCONNECT]).await;
    peer.inbox.poll(&mut peer.eventloop).await.unwrap().unwrap_err();

    let mut stream = peer.connect(&[CONNACK, NEW]).await;
    let old = peer.next();
    assert_eq!(old.message().payload, "old!");
    assert_eq!(old.ack().await, Err(SettleError::ConnectionLost));

    // The number is that of another message now, whose handler has not begun.
    let (inbox, eventloop) = (&mut peer.inbox, &mut peer.eventloop);
    let new = tokio::select! {
        polled = inbox.poll(eventloop) => panic!("{polled:?}"),
        new = timeout(LIMIT, peer.deliveries.next()) => new.expect("a message in time").unwrap(),
    };
    assert_eq!(new.message().payload, "new!");
    new.ack().await.unwrap();
    timeout(LIMIT, peer.inbox.poll(&mut peer.eventloop)).await.unwrap().unwrap().unwrap();
    let mut said = [0; PUBACK.len()];
    timeout(LIMIT, stream.read_exact(&mut said)).await.unwrap().unwrap();
    assert_eq!(said, PUBACK);
}

/// The same without a server, of both versions.
#[tokio::test]
async fn what_the_event_loop_has_kept_is_of_the_connection_before() {
    async fn check<C: Client>(client: C, mut eventloop: C::EventLoop, keep: impl Fn(&mut C::EventLoop)) {
        let (mut inbox, mut messages) = deliveries(&client, &eventloop);
        keep(&mut eventloop);
        assert!(inbox.poll(&mut eventloop).await.unwrap().is_err());
        let kept = messages.next().now_or_never().expect("a delivery that waits").unwrap();
        assert_eq!(kept.ack().await, Err(SettleError::ConnectionLost));
    }
    let mut options = MqttOptions::new("billing", "127.0.0.1", 1);
    options.set_manual_acks(true);
    let (client, eventloop) = AsyncClient::new(options, 16);
    let publish = rumqttc::v5::mqttbytes::v5::Publish::new("t", rumqttc::v5::mqttbytes::QoS::AtLeastOnce, "", None);
    check(client, eventloop, |eventloop| {
        eventloop.state.events.push_back(Event::Incoming(Incoming::Publish(publish.clone())));
    })
    .await;

    let mut options = rumqttc::MqttOptions::new("billing", "127.0.0.1", 1);
    options.set_manual_acks(true);
    let (client, eventloop) = rumqttc::AsyncClient::new(options, 16);
    let publish = rumqttc::Publish::new("t", rumqttc::QoS::AtLeastOnce, "");
    check(client, eventloop, |eventloop| {
        let event = rumqttc::Event::Incoming(rumqttc::Incoming::Publish(publish.clone()));
        eventloop.state.events.push_back(event);
    })
    .await;
}

/// rumqttc keeps each `PubRec` for the next connection, but no `PubAck`.
#[tokio::test]
async fn no_acknowledgement_waits_for_the_next_connection() {
    let mut peer = Peer::new().await;
    drop(peer.connect(&[CONNACK, DISCONNECT]).await);
    peer.eventloop.pending.push_back(Request::Disconnect);
    peer.eventloop.pending.push_back(Request::PubRec(PubRec::new(1, None)));
    while peer.inbox.poll(&mut peer.eventloop).await.unwrap().is_ok() {}
    assert!(!peer.eventloop.pending.iter().any(|request| matches!(request, Request::PubRec(_))));
}

/// As `select!` drops one whenever something else is faster. Here that is at every byte, and whatever the poll waits for.
#[tokio::test]
async fn a_poll_that_is_dropped_loses_no_message() {
    let mut peer = Peer::new().await;
    let mut stream = peer.connect(&[CONNACK]).await;
    for message in [OLD, NEW] {
        for byte in message {
            stream.write_all(&[*byte]).await.unwrap();
            for _ in 0..8 {
                tokio::select! {
                    biased;
                    polled = peer.inbox.poll(&mut peer.eventloop) => drop(polled.unwrap().unwrap()),
                    () = tokio::task::yield_now() => {}
                }
            }
        }
        let came = async {
            tokio::select! {
                polled = peer.inbox.poll(&mut peer.eventloop) => panic!("{polled:?}"),
                came = peer.deliveries.next() => came.unwrap(),
            }
        };
        let came = timeout(LIMIT, came).await.expect("a message in time");
        assert!(message.ends_with(&came.message().payload) && came.message().payload.len() == 4);
        came.ack().await.unwrap();
    }
}
