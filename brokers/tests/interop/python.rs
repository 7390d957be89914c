//! The peers, each in a process of its own.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Lines},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

use serde::Deserialize;

/// What Python says of a message.
#[derive(Debug, Deserialize)]
pub(crate) struct Said {
    received: Option<Received>,
    spans: Vec<Span>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Received {
    pub(crate) trace_id: String,
    pub(crate) span_id: String,
    pub(crate) flags: String,
    pub(crate) baggage: HashMap<String, String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Span {
    kind: String,
    pub(crate) trace_id: String,
    pub(crate) span_id: String,
    pub(crate) parent_id: Option<String>,
    pub(crate) links: Vec<String>,
}

impl Said {
    pub(crate) fn received(&self) -> &Received {
        self.received.as_ref().expect("a received message")
    }

    /// Python's spans of that kind.
    pub(crate) fn spans(&self, kind: &str) -> impl Iterator<Item = &Span> {
        self.spans.iter().filter(move |span| span.kind == kind)
    }
}

/// Runs a script of this folder.
pub(crate) fn python(script: &str) -> Command {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = package.join("target/python/bin/python");
    assert!(
        python.exists(),
        "the peers are not installed:\napt-get install --yes python3-venv\npython3 -m venv brokers/target/python\n\
         brokers/target/python/bin/pip install --requirement brokers/requirements.txt"
    );
    let mut command = Command::new(python);
    command.arg(package.join("tests/interop").join(script));
    command
}

/// A peer under way.
pub(crate) struct Peer {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Peer {
    pub(crate) fn start(client: &str, role: &str, address: &str, destination: &str) -> Self {
        let mut child = python("peer.py")
            .args([client, role, address, destination])
            .stdout(Stdio::piped())
            .spawn()
            .expect("a peer");
        let output = child.stdout.take().expect("the peer's output");
        Self { child, lines: BufReader::new(output).lines() }
    }

    /// Waits until it says so.
    pub(crate) fn ready(mut self) -> Self {
        assert_eq!(self.line(), "ready");
        self
    }

    /// Waits until it has ended.
    pub(crate) fn said(mut self) -> Said {
        let said = serde_json::from_str(&self.line()).expect("what the peer says");
        assert!(self.child.wait().expect("the peer's end").success());
        said
    }

    fn line(&mut self) -> String {
        self.lines.next().expect("a line of the peer").expect("a text of the peer")
    }
}
