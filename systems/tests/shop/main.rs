//! The shop, run as its users run it: as one process and as several, with a queue in memory and on RabbitMQ.

mod memory;
mod rabbitmq;
#[path = "../support/mod.rs"]
mod support;

use std::{net::SocketAddr, process::Command};

use ctxhop_brokers::free_port;
use ctxhop_systems::Collector;

use support::{LIMIT, Run, Running, export, program};

fn shop(args: &[&str]) -> Command {
    program(env!("CARGO_BIN_EXE_shop"), args)
}

impl Run {
    /// The answers, one a line: the order, the status, the trace id and what the gateway said.
    pub(crate) fn answers(&self) -> Vec<(&str, u16, &str, &str)> {
        let answers = self.stdout.lines().take_while(|line| !line.is_empty()).map(|line| {
            let (order, rest) = line.split_once(' ').unwrap();
            let mut parts = rest.trim_start().splitn(3, ' ');
            let mut next = || parts.next().unwrap();
            (order, next().parse().unwrap(), next(), next())
        });
        answers.collect()
    }

    pub(crate) fn accepted(&self) -> Vec<&str> {
        self.answers().into_iter().filter(|(_, status, ..)| *status == 202).map(|(order, ..)| order).collect()
    }
}

/// The shop as one process for each service, all of which export to a collector.
pub(crate) struct Shop {
    pub(crate) collector: Collector,
    common: Vec<String>,
}

impl Shop {
    pub(crate) fn new(options: &[&str]) -> Self {
        let address = || SocketAddr::from(([127, 0, 0, 1], free_port())).to_string();
        let mut common = vec!["--gateway".to_owned(), address(), "--checkout".to_owned(), address()];
        common.extend(options.iter().map(|&option| option.to_owned()));
        Self { collector: Collector::listen(([127, 0, 0, 1], 0).into()).unwrap(), common }
    }

    pub(crate) fn gateway(&self) -> &str {
        &self.common[1]
    }

    pub(crate) fn command(&self, service: &str, options: &[&str]) -> Command {
        let mut command = shop(&["--service", service]);
        command.args(&self.common).args(options);
        export(&mut command, &self.collector);
        command
    }

    /// Starts a process of this service, or of several with commas between them.
    pub(crate) fn start(&self, service: &str) -> Running {
        Running::start(self.command(service, &[]), service.split(',').count())
    }
}

impl Running {
    /// The next line on its stdout, which has to come.
    pub(crate) fn line(&self) -> String {
        self.stdout.recv_timeout(LIMIT).expect("a line in time")
    }

    /// As `kill -9`. Gives the rest of what it has said on stdout.
    pub(crate) fn kill(mut self) -> Vec<String> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.stdout.iter().collect()
    }
}
