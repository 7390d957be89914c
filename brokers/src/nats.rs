//! NATS with JetStream. It starts in 30 ms.

use std::process::Command;

use crate::{
    free_port,
    process::{Scratch, Server, greeting},
};

/// A server of its own.
pub struct Nats {
    // Dropped in this order.
    server: Option<Server>,
    port: u16,
    scratch: Scratch,
}

impl Nats {
    /// Starts a server, and returns when it takes connections.
    ///
    /// # Panics
    ///
    /// If it is not installed, or not ready after a minute.
    pub fn start() -> Self {
        let mut this = Self { server: None, port: free_port(), scratch: Scratch::new("nats") };
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
        format!("nats://127.0.0.1:{}", self.port)
    }

    fn boot(&mut self) {
        let data = self.scratch.path().join("data");
        let log = self.scratch.path().join("server.log");
        let mut command = Command::new("nats-server");
        command.args(["-a", "127.0.0.1", "-p", &self.port.to_string(), "-js", "-sd"]).arg(data);
        let mut server = Server::start(command, "nats-server", &self.scratch, &log);
        let port = self.port;
        server.wait_until(|| greeting(port, b"") == Some(*b"INFO"), &log);
        self.server = Some(server);
    }
}
