//! Google Cloud Pub/Sub: Google's own fake, in Go, with delivery attempts, dead letters and exactly-once delivery of ours. It starts in
//! no time, and loses all when it ends.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use google_cloud_auth::credentials::{Credentials, anonymous};
use google_cloud_pubsub::{
    builder::publisher::PublisherBuilder,
    client::{Publisher, Subscriber},
    subscriber::MessageStream,
};

use crate::{
    free_port,
    process::{Scratch, Server},
};

/// A server of its own.
pub struct PubSub {
    _server: Server,
    port: u16,
    _scratch: Scratch,
}

impl PubSub {
    /// Starts a server that has these subscriptions, and returns when it takes connections.
    ///
    /// Each is `TOPIC/SUBSCRIPTION`, with `?dead=TOPIC&attempts=N` for a dead-letter policy, and `?once=1` for exactly-once
    /// delivery.
    ///
    /// # Panics
    ///
    /// If Go or the fake is not installed, or the server is not ready after a minute.
    pub fn start(subscriptions: &[&str]) -> Self {
        let (port, scratch) = (free_port(), Scratch::new("pubsub"));
        let log = scratch.path().join("server.log");
        let mut command = Command::new(fake());
        command.arg(format!("127.0.0.1:{port}")).args(subscriptions);
        let mut server = Server::start(command, "golang-google-cloud-dev", &scratch, &log);
        server.wait_until(|| TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok(), &log);
        Self { _server: server, port, _scratch: scratch }
    }

    /// Where it listens, as Google's clients have it in `PUBSUB_EMULATOR_HOST`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// What publishes to a topic.
    ///
    /// # Panics
    ///
    /// If the client cannot be made.
    pub async fn publisher(&self, topic: &str) -> Publisher {
        self.publisher_builder(topic).build().await.expect("a publisher")
    }

    /// The same, to be set up further.
    pub fn publisher_builder(&self, topic: &str) -> PublisherBuilder {
        let topic = format!("projects/shop/topics/{topic}");
        Publisher::builder(topic).with_endpoint(format!("http://{}", self.address())).with_credentials(nobody())
    }

    /// The messages of a subscription.
    ///
    /// # Panics
    ///
    /// If the client cannot be made.
    pub async fn messages(&self, subscription: &str) -> MessageStream {
        let builder = Subscriber::builder().with_endpoint(format!("http://{}", self.address()));
        let subscriber = builder.with_credentials(nobody()).build().await.expect("a subscriber");
        subscriber.subscribe(format!("projects/shop/subscriptions/{subscription}")).build()
    }
}

/// The fake asks for no credentials.
pub fn nobody() -> Credentials {
    anonymous::Builder::new().build()
}

/// Builds the fake, if that has not been done.
fn fake() -> &'static Path {
    static FAKE: OnceLock<PathBuf> = OnceLock::new();
    FAKE.get_or_init(|| {
        let package = Path::new(env!("CARGO_MANIFEST_DIR"));
        let target = package.join("target");
        fs::create_dir_all(&target).expect("a folder for the fake");
        // Other test processes build it, too.
        let lock = File::create(target.join("pubsub.lock")).expect("a file to lock");
        lock.lock().expect("a lock");
        let fake = target.join("pubsub");
        let built = Command::new("go")
            .args(["build", "-o"])
            .args([&fake, &package.join("pubsub/main.go")])
            .envs([("GO111MODULE", "off"), ("GOPATH", "/usr/share/gocode"), ("GOFLAGS", "")])
            .env("GOCACHE", target.join("go"))
            .status();
        let built = built.unwrap_or_else(|error| panic!("go does not start: {error}\n{INSTALL}"));
        assert!(built.success(), "the fake of Pub/Sub does not build\n{INSTALL}");
        fake
    })
}

const INSTALL: &str = "apt-get install --yes golang-go golang-google-cloud-dev";
