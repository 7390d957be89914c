//! RabbitMQ. It takes seconds to start and 133 MB, so that all tests of a binary share one.

use std::{fs, path::PathBuf, process::Command, sync::OnceLock};

use crate::{
    free_port,
    process::{Scratch, Server, greeting},
};

/// The one on the path changes the user.
const SCRIPT: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";

/// A server of its own, with the daemon by which Erlang's nodes find each other.
pub struct RabbitMq {
    // Dropped in this order.
    server: Option<Server>,
    _epmd: Server,
    port: u16,
    distribution_port: u16,
    epmd_port: u16,
    scratch: Scratch,
}

impl RabbitMq {
    /// The server that all tests of this binary share.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<RabbitMq> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// Starts a server, and returns when it takes connections.
    ///
    /// # Panics
    ///
    /// If it is not installed, or not ready after a minute.
    pub fn start() -> Self {
        let scratch = Scratch::new("rabbitmq");
        let (port, distribution_port, epmd_port) = (free_port(), free_port(), free_port());
        let settings = format!(
            "listeners.tcp.1 = 127.0.0.1:{port}\nvm_memory_high_watermark.absolute = 512MB\ndisk_free_limit.absolute = 50MB\n"
        );
        fs::write(scratch.path().join("rabbitmq.conf"), settings).expect("the server's settings");
        fs::write(scratch.path().join("enabled_plugins"), "[].").expect("the server's plugins");
        let mut epmd = Command::new("epmd");
        epmd.args(["-port", &epmd_port.to_string(), "-address", "127.0.0.1", "-relaxed_command_check"]);
        let _epmd = Server::start(epmd, "rabbitmq-server", &scratch, &scratch.path().join("epmd.log"));
        let mut this = Self { server: None, _epmd, port, distribution_port, epmd_port, scratch };
        this.boot();
        this
    }

    /// Kills it as `kill -9` does, and starts it again, on the same port, with the same data.
    pub fn kill_and_restart(&mut self) {
        self.server = None;
        self.boot();
    }

    /// Where it listens.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// What clients connect to.
    pub fn uri(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.port)
    }

    fn boot(&mut self) {
        let at = |name: &str| self.scratch.path().join(name);
        let mut command = Command::new(SCRIPT);
        command
            .env("HOME", self.scratch.path())
            .env("ERL_EPMD_PORT", self.epmd_port.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_ALLOW_INPUT", "1")
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
            .env("RABBITMQ_CONFIG_FILE", at("rabbitmq.conf"))
            .env("RABBITMQ_DIST_PORT", self.distribution_port.to_string())
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", at("enabled_plugins"))
            .env("RABBITMQ_LOGS", "-")
            .env("RABBITMQ_LOG_BASE", at("log"))
            .env("RABBITMQ_MNESIA_BASE", at("mnesia"))
            .env("RABBITMQ_NODENAME", "ctxhop@localhost")
            .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODE_PORT", self.port.to_string())
            .env(
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "-kernel inet_dist_use_interface {127,0,0,1} -noinput -start_epmd false",
            );
        let log = self.log();
        let mut server = Server::start(command, "rabbitmq-server", &self.scratch, &log);
        // It answers the header of the protocol by a method, which is a frame of type 1.
        let port = self.port;
        server.wait_until(|| greeting(port, b"AMQP\0\0\x09\x01") == Some([1]), &log);
        self.server = Some(server);
    }

    fn log(&self) -> PathBuf {
        self.scratch.path().join("server.log")
    }
}
