//! Redis. It starts in 40 ms.

use std::{process::Command, time::Duration};

use redis::{AsyncConnectionConfig, AsyncTypedCommands, Client, aio::MultiplexedConnection};

use crate::{
    free_port,
    process::{Scratch, Server, greeting},
};

const PATIENCE: Duration = Duration::from_secs(30);

/// A server of its own. It writes all that it is told to its file before it answers, so that nothing is lost when it is killed.
pub struct Redis {
    arguments: Vec<String>,
    // Dropped in this order.
    server: Option<Server>,
    port: u16,
    scratch: Scratch,
}

impl Redis {
    /// Starts a server, and returns when it takes connections.
    ///
    /// # Panics
    ///
    /// If it is not installed, or not ready after a minute.
    pub fn start() -> Self {
        Self::with_arguments(Vec::new())
    }

    /// Starts a server in the mode of a cluster. Its slots are nobody's yet.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub fn cluster() -> Self {
        let port = free_port().to_string();
        Self::with_arguments(["--cluster-enabled", "yes", "--cluster-port", &port].map(str::to_owned).into())
    }

    fn with_arguments(arguments: Vec<String>) -> Self {
        let mut this = Self { arguments, server: None, port: free_port(), scratch: Scratch::new("redis") };
        this.boot();
        this
    }

    /// Kills it as `kill -9` does, and starts it again, on the same port, with the same data.
    pub fn kill_and_restart(&mut self) {
        self.server = None;
        self.boot();
    }

    /// What clients connect to.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// What makes connections.
    ///
    /// # Panics
    ///
    /// Never.
    pub fn client(&self) -> Client {
        Client::open(self.url()).expect("a URL of ours")
    }

    /// A connection of its own. It waits for a response as long as a busy machine may take, which is more than redis' default.
    ///
    /// # Panics
    ///
    /// If the server takes none.
    pub async fn connect(&self) -> MultiplexedConnection {
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(PATIENCE));
        self.client().get_multiplexed_async_connection_with_config(&config).await.expect("a connection")
    }

    /// Makes a group that reads a stream from its beginning, and a connection.
    ///
    /// # Panics
    ///
    /// If the server does not.
    pub async fn with_group(&self, stream: &str, group: &str) -> MultiplexedConnection {
        let mut connection = self.connect().await;
        connection.xgroup_create_mkstream(stream, group, "0").await.expect("a group");
        connection
    }

    fn boot(&mut self) {
        let data = self.scratch.path().join("data");
        std::fs::create_dir_all(&data).expect("a folder for the data");
        let log = self.scratch.path().join("server.log");
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--port", &self.port.to_string(), "--save", "", "--dir"]).arg(data);
        command.args(["--appendonly", "yes", "--appendfsync", "always"]).args(&self.arguments);
        let mut server = Server::start(command, "redis-server", &self.scratch, &log);
        let port = self.port;
        server.wait_until(|| greeting(port, b"PING\r\n") == Some(*b"+PONG"), &log);
        self.server = Some(server);
    }
}
