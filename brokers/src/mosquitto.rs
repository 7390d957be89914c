//! Mosquitto. It starts in 20 ms.

use std::{fs, process::Command};

use crate::{
    free_port,
    process::{Scratch, Server, greeting},
};

/// Debian has it where only root's path leads.
const SERVER: &str = "/usr/sbin/mosquitto";

/// A `CONNECT` of MQTT 3.1.1, without a client id.
const CONNECT: &[u8] = b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00";

/// A server of its own.
pub struct Mosquitto {
    // Dropped in this order.
    server: Option<Server>,
    port: u16,
    scratch: Scratch,
}

impl Mosquitto {
    /// Starts a server that keeps sessions in memory, and returns when it takes connections.
    ///
    /// # Panics
    ///
    /// If it is not installed, or not ready after a minute.
    pub fn start() -> Self {
        Self::with_settings("persistence false\n")
    }

    /// Starts a server that writes its sessions to the disk after so many changes. It has acknowledged messages by then.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub fn durable(changes: usize) -> Self {
        let changes = format!("autosave_on_changes true\nautosave_interval {changes}\n");
        Self::with_settings(&format!("persistence true\n{changes}"))
    }

    fn with_settings(settings: &str) -> Self {
        let (port, scratch) = (free_port(), Scratch::new("mosquitto"));
        let at = scratch.path().display();
        // Started by root, it would become another user, who may not write here. By default it drops what is queued beyond 1,000.
        let common = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\nuser root\nmax_queued_messages 0\npersistence_location {at}/\n"
        );
        fs::write(scratch.path().join("mosquitto.conf"), common + settings).expect("the server's settings");
        let mut this = Self { server: None, port, scratch };
        this.boot();
        this
    }

    /// Kills it as `kill -9` does, and starts it again, on the same port, with what is on the disk.
    pub fn kill_and_restart(&mut self) {
        self.server = None;
        self.boot();
    }

    /// Where it listens.
    pub const fn port(&self) -> u16 {
        self.port
    }

    fn boot(&mut self) {
        let log = self.scratch.path().join("server.log");
        let mut command = Command::new(SERVER);
        command.arg("-c").arg(self.scratch.path().join("mosquitto.conf"));
        let mut server = Server::start(command, "mosquitto", &self.scratch, &log);
        let port = self.port;
        server.wait_until(|| greeting(port, CONNECT) == Some([0x20]), &log);
        self.server = Some(server);
    }
}
