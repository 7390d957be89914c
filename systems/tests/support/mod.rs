//! Processes of the programs, which end with the test.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Output, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

use ctxhop_systems::Collector;

/// What takes longer has gone wrong.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// A program, with no exporter but the one that a test asks for.
pub(crate) fn program(path: &str, args: &[&str]) -> Command {
    let mut command = Command::new(path);
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
    pub(crate) fn succeeded(&self) -> bool {
        self.code == Some(0)
    }

    pub(crate) fn of(command: &mut Command) -> Self {
        let Output { status, stdout, stderr } = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
    }
}

/// A process that runs beside others, until it is told to stop or killed.
pub(crate) struct Running {
    pub(crate) child: Child,
    pub(crate) stdout: Receiver<String>,
    stderr: Receiver<String>,
}

impl Running {
    /// Starts it, and waits until all of its services say that they are ready.
    pub(crate) fn start(mut command: Command, services: usize) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = lines(child.stdout.take().unwrap());
        let stderr = lines(child.stderr.take().unwrap());
        let mut ready = 0;
        while ready < services {
            let said = stderr.recv_timeout(LIMIT).expect("it says that it is ready");
            ready += usize::from(said.ends_with(" is ready"));
            assert!(said.ends_with(" is ready") || said.contains(": warning: "), "{said}");
        }
        Self { child, stdout, stderr }
    }

    /// Tells it to stop, waits until it has, and gives the rest of what it has said.
    pub(crate) fn stop(mut self) -> Run {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let code = self.child.wait().unwrap().code();
        let text = |lines: &Receiver<String>| lines.iter().map(|line| line + "\n").collect();
        Run { code, stdout: text(&self.stdout), stderr: text(&self.stderr) }
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

/// Has a command export to a collector while it runs, and not only at its end.
pub(crate) fn export(command: &mut Command, collector: &Collector) {
    // The delay is in milliseconds.
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint()).env("OTEL_BSP_SCHEDULE_DELAY", "50");
}
