//! Processes of the program, which end with the test.

use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

use ctxhop_brokers::free_port;
use ctxhop_systems::Collector;

/// What takes longer has gone wrong.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// The program, with no exporter but the one that a test asks for.
pub(crate) fn shop(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shop"));
    command.args(args).current_dir("/").stdin(Stdio::null()).env("NO_PROXY", "*");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("OTEL_") {
            command.env_remove(name);
        }
    }
    command
}

/// What one run of it did.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    pub(crate) fn of(command: &mut Command) -> Self {
        let Output { status, stdout, stderr } = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
    }

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

/// A process that runs beside others, until it is told to stop or killed.
pub(crate) struct Running {
    child: Child,
    stdout: Receiver<String>,
    _stderr: Receiver<String>,
}

impl Running {
    /// Starts it, and waits until all of its services say that they are ready.
    fn start(mut command: Command, services: usize) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = lines(child.stdout.take().unwrap());
        let stderr = lines(child.stderr.take().unwrap());
        for _ in 0..services {
            let said = stderr.recv_timeout(LIMIT).expect("it says that it is ready");
            assert!(said.ends_with(" is ready"), "{said}");
        }
        Self { child, stdout, _stderr: stderr }
    }

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

    /// Tells it to stop, and waits until it has.
    pub(crate) fn stop(mut self) -> ExitStatus {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.child.wait().unwrap()
    }
}

/// Ends with its source, also where nobody listens.
fn lines(source: impl Read + Send + 'static) -> Receiver<String> {
    let (lines, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(source).lines().map_while(Result::ok) {
            let _ = lines.send(line);
        }
    });
    receiver
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
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
        command.args(&self.common).args(options).env("OTEL_EXPORTER_OTLP_ENDPOINT", self.collector.endpoint());
        // In milliseconds: tests wait for what a service exports while it runs.
        command.env("OTEL_BSP_SCHEDULE_DELAY", "50");
        command
    }

    /// Starts a process of this service, or of several with commas between them.
    pub(crate) fn start(&self, service: &str) -> Running {
        Running::start(self.command(service, &[]), service.split(',').count())
    }
}
