//! The example `notifications`, run as a process, as a newcomer runs it.

use std::{
    env, fs,
    io::{BufRead, BufReader, Read, Write},
    iter,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{LazyLock, mpsc},
    thread,
};

/// Builds the example where cargo puts it, unless that is done, and asks cargo where that is: cargo has no
/// `CARGO_BIN_EXE_…` for examples, and `cargo test --test notifications` would run a stale one.
static EXAMPLE: LazyLock<PathBuf> = LazyLock::new(|| {
    let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into()))
        .args(["build", "--quiet", "--example", "notifications", "--message-format", "json"])
        .args(if cfg!(debug_assertions) { &[][..] } else { &["--release"] })
        // Cargo's own directory for the temporary files of tests is in its target directory.
        .arg("--target-dir")
        .arg(Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap())
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "cargo does not build the example");
    let mut built = output.stdout.split(|byte| *byte == b'\n').filter_map(|line| {
        let message: serde_json::Value = serde_json::from_slice(line).ok()?;
        let kind = message.pointer("/target/kind/0")?;
        (kind == "example").then(|| message["executable"].as_str().map(PathBuf::from))?
    });
    built.next_back().expect("cargo names the example that it built")
});

/// Runs in the root directory, because it works from anywhere, and with no exporter but the one that a test asks for.
fn example(args: &[&str]) -> Command {
    let mut command = Command::new(&*EXAMPLE);
    command.args(args).current_dir("/").stdin(Stdio::null());
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("OTEL_") {
            command.env_remove(name);
        }
    }
    command
}

fn run(args: &[&str]) -> Run {
    Run::new(example(args).output().unwrap())
}

/// Runs it on this input.
fn run_on(input: &[u8], args: &[&str]) -> Run {
    let mut child =
        example(args).arg("-").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input).unwrap());
        Run::new(child.wait_with_output().unwrap())
    })
}

#[derive(Debug)]
struct Run {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Run {
    fn new(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// How many traces the output says there are.
    #[track_caller]
    fn traces(&self) -> u32 {
        let count = self.stdout.lines().find_map(|line| {
            let (count, unit) = line.split_once(' ')?;
            (unit == if count == "1" { "trace" } else { "traces" }).then(|| count.parse().unwrap())
        });
        count.unwrap_or_else(|| panic!("no count of traces in {self:#?}"))
    }

    /// The numbers that follow a name at the start of a line of the table.
    #[track_caller]
    fn row(&self, name: &str) -> Vec<u32> {
        let row = self.stdout.lines().rev().find_map(|line| line.strip_prefix(name)).expect(name);
        row.split_whitespace().map_while(|cell| cell.parse().ok()).collect()
    }
}

fn notification(id: u32) -> String {
    format!("{{\"id\":\"{id}\",\"channel\":\"email\",\"to\":\"a@example.com\",\"body\":\"hello\"}}\n")
}

#[test]
fn sample_is_one_trace() {
    let run = run(&[]);
    assert_eq!(run.code, Some(0), "{run:#?}");
    assert_eq!(run.traces(), 1);
    assert!(run.stdout.lines().any(|line| line == "1 trace"));
    assert!(run.stdout.starts_with("batch "), "one root: {}", run.stdout);
    let names = ["worker", "writer", "clerk", "parse", "notification", "render", "summary", "page", "notify", "record"];
    let messages = ["send notifications", "process notifications", "retry notifications", "ack notifications"];
    let parked = ["reject notifications", "send parked", "process parked", "POST", "POST /notify"];
    for name in names.into_iter().chain(messages).chain(parked) {
        assert!(run.stdout.contains(&format!("─ {name} ")), "no {name} in {}", run.stdout);
    }
    assert!(
        run.stdout.contains("ERROR: invalid address ~> process notifications, send notifications, worker"),
        "a retry"
    );
    for line in [
        "[batch] → [worker] → [notify]",
        "batch ⇢ worker: in_memory notifications ×205, 16 failed (8 %)",
        "worker → notify: HTTP POST /notify ×205, 16 failed (8 %)",
    ] {
        assert!(run.stdout.lines().any(|it| it == line), "no {line:?} in {}", run.stdout);
    }
    assert!(run.stdout.lines().count() < 85, "it is folded: {}", run.stdout);
}

#[test]
fn table_adds_up() {
    let run = run(&[]);
    let (email, push, total) = (run.row("email"), run.row("push"), run.row("total"));
    assert_eq!(total, [email[0] + push[0], email[1] + push[1]]);
    assert_eq!(total.iter().sum::<u32>() + run.row("invalid lines")[0], 200);
    assert_eq!(total[1], 8);
    assert_eq!(run.stderr.lines().filter(|line| line.contains(" failed: ")).count(), 8, "{}", run.stderr);
}

#[test]
fn bare_hops_disconnect() {
    let run = run(&["--broken"]);
    assert_eq!(run.code, Some(0), "{run:#?}");
    let notifications: u32 = run.row("total").iter().sum();
    let failed = run.row("total")[1];
    // The batch, the writer, the clerk, 8 workers; each line's parse; and of each attempt what hops make: render,
    // summary, page and notify, and what the server makes. Its record is a child of the writer: a stranger's context is
    // worse than none.
    assert_eq!(run.traces(), 11 + 200 + 5 * (notifications + failed));
    assert!(run.stdout.contains("─ record ×197 "), "{}", run.stdout);
    assert!(!run.stdout.contains("~> send"), "{}", run.stdout);
}

#[test]
fn what_is_kept_is_bounded_and_what_is_counted_is_not() {
    let input: String = (1..=3000).map(notification).collect();
    let carried = run_on(input.as_bytes(), &["--keep", "10"]);
    assert_eq!(carried.traces(), 1);
    assert_eq!(carried.row("total"), [3000, 0]);
    assert!(carried.stdout.contains("the first 10 of 3000 notifications"), "{}", carried.stdout);
    assert!(carried.stdout.contains("notification ×10 "), "{}", carried.stdout);

    let bare = run_on(input.as_bytes(), &["--broken", "--keep", "10"]);
    assert_eq!(bare.traces(), 11 + 6 * 3000);
}

#[test]
fn invalid_lines_are_reported_and_the_others_go_on() {
    let mut input = Vec::new();
    let lines: [&[u8]; 9] = [
        b"\xef\xbb\xbf{\"id\":\"1\",\"channel\":\"email\",\"to\":\"a@example.com\",\"body\":\"a byte order mark\"}\r\n",
        b"{\"id\":\"2\",\"channel\":\"email\",\n",
        b"{\"id\":\"3\",\"channel\":\"pigeon\",\"to\":\"roof\",\"body\":\"coo\"}\n",
        b" \r\n",
        b"{\"id\":\"5\",\"channel\":\"push\",\"body\":\"to whom?\"}\n",
        b"{\"id\":\"6\",\"channel\":\"push\",\"to\":\"\xff\",\"body\":\"?\"}\n",
        b"{\"id\":\"7\",\"channel\":\"email\",\"to\":\"a@example.com\",\"body\":\"",
        &[b'x'; 3 << 20],
        b"\"}\n",
    ];
    lines.iter().for_each(|line| input.extend_from_slice(line));
    input.extend_from_slice(notification(8).trim_end().as_bytes());

    let run = run_on(&input, &[]);
    assert_eq!(run.code, Some(0), "{run:#?}");
    assert_eq!(run.row("total"), [2, 0], "the first and the last, which has no end of line");
    assert_eq!(run.row("invalid lines"), [5]);
    let expected = [
        "line 2: EOF while parsing a value (column 28)",
        "line 3: unknown variant `pigeon`, expected `email` or `push` (column 28)",
        "line 5: missing field `to` (column 45)",
        "line 6: not UTF-8",
        "line 7: longer than 1048576 bytes",
    ];
    assert_eq!(run.stderr, expected.map(|line| format!("notifications: {line}\n")).concat());
}

#[test]
fn empty_input_is_a_batch_of_none() {
    let run = run_on(b"", &[]);
    assert_eq!((run.code, run.traces()), (Some(0), 1), "{run:#?}");
    assert_eq!(run.row("total"), [0, 0]);
}

#[test]
fn input_that_cannot_be_read_is_one_line_and_exit_code_2() {
    for path in ["/no/such/file.jsonl", env!("CARGO_MANIFEST_DIR")] {
        let run = run(&[path]);
        assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{run:#?}");
        assert_eq!(run.stderr.lines().count(), 1, "{run:#?}");
        assert!(run.stderr.contains(path), "{run:#?}");
    }
}

#[test]
fn what_cannot_start_is_one_line_and_exit_code_2() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (args, reason) in [
        (
            &["--broker", "pigeon://roof"][..],
            "the broker has to be amqp://…, kafka://…, mqtt://…, nats://…, redis://…, and not pigeon://…",
        ),
        (
            &["--broker", "amqps://guest:secret@h"],
            "the broker has to be amqp://…, kafka://…, mqtt://…, nats://…, redis://…, and not amqps://…",
        ),
        (
            &["--broker", "amqp://localhost"],
            "this build has no client for amqp://; `cargo run --manifest-path systems/Cargo.toml",
        ),
        (&["--service", "worker"], "a part in another process than the others needs a --broker"),
        (&["--notify", &taken], "cannot listen on 127.0.0.1:"),
    ] {
        let run = run(args);
        assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{run:#?}");
        assert_eq!(run.stderr.lines().count(), 1, "{run:#?}");
        assert!(run.stderr.starts_with(&format!("notifications: {reason}")), "{run:#?}");
    }
}

#[test]
fn usage() {
    let help = run(&["--help"]);
    assert_eq!(help.code, Some(0));
    for word in [
        "[FILE]",
        "--broken",
        "--keep",
        "--out",
        "--html",
        "--service",
        "--broker",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "Blank lines",
        "1 MiB",
    ] {
        assert!(help.stdout.contains(word), "no {word} in {}", help.stdout);
    }
    assert_eq!(run(&["--no-such-option"]).code, Some(2));
}

#[test]
fn receipts_tell_what_became_of_each() {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("receipts-{}.jsonl", std::process::id()));
    let out = path.to_str().unwrap();
    let first = run(&["--out", out]);
    assert_eq!(first.code, Some(0), "{first:#?}");
    let receipts = fs::read_to_string(&path).unwrap();
    let again = run(&["--out", out]);
    fs::remove_file(&path).unwrap();

    assert_eq!(receipts.lines().count(), 197);
    assert!(receipts.lines().any(|line| line == r#"{"id":"n-0001","delivered":true}"#), "{receipts}");
    assert!(receipts.lines().any(|line| line == r#"{"id":"n-0023","delivered":false,"reason":"invalid address"}"#));
    assert_eq!(again.code, Some(2), "nothing is overwritten: {again:#?}");
}

#[test]
fn the_page_shows_the_run() {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("page-{}.html", std::process::id()));
    let file = path.to_str().unwrap();
    let written = run(&["--html", file]);
    let page = fs::read_to_string(&path).unwrap();
    let again = run(&["--html", file]);
    fs::remove_file(&path).unwrap();
    assert_eq!((again.code, again.stdout.as_str()), (Some(2), ""), "nothing is overwritten: {again:#?}");
    assert_eq!(written.code, Some(0), "{written:#?}");
    assert!(written.stdout.ends_with(&format!("\nopen {file} in a browser\n")), "{written:#?}");
    assert!(page.contains("3 services · 1 trace"), "{page:.3000}");

    let refused = run(&["--html", "/no/such/folder/trace.html"]);
    assert_eq!(refused.code, Some(2), "{refused:#?}");
    assert!(refused.stderr.contains("notifications: cannot create /no/such/folder/trace.html: "), "{refused:#?}");
    assert_eq!(run(&["--html", file, "--service", "notify"]).code, Some(2), "one part has no whole trace");
}

#[test]
fn exports_over_otlp() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (tx, requests) = mpsc::channel();
    // Ends with the process, because it accepts whatever comes.
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            // First sent, then answered: so it is here when the run, which waits for the answer, ends.
            let _ = tx.send(read_request(&stream));
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
        }
    });

    let output = example(&[]).env("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint).env("NO_PROXY", "*").output();
    let run = Run::new(output.unwrap());
    assert_eq!((run.code, run.traces()), (Some(0), 1), "{run:#?}");
    assert!(!run.stderr.contains("not exported"), "{}", run.stderr);
    let requests: Vec<_> = requests.try_iter().collect();
    assert!(requests.iter().all(|(line, _)| line == "post /v1/traces http/1.1"), "{requests:?}");
    // A span's name is field 5 of its message: a tag, its length, the name.
    let notifies: usize =
        requests.iter().map(|(_, body)| body.windows(8).filter(|bytes| *bytes == b"\x2a\x06notify").count()).sum();
    assert_eq!(notifies, 197 + 8, "all spans arrive, of those that were tried twice two");
}

#[test]
fn failing_export_is_reported_and_does_not_fail_the_run() {
    // Bound and closed again: nobody listens there.
    let endpoint = format!("http://{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    let output = example(&[]).env("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint).env("NO_PROXY", "*").output();
    let run = Run::new(output.unwrap());
    assert_eq!((run.code, run.traces()), (Some(0), 1), "{run:#?}");
    assert!(run.stderr.contains("spans are not exported"), "{}", run.stderr);
}

/// The first line of a request, and its body.
fn read_request(stream: &TcpStream) -> (String, Vec<u8>) {
    let mut stream = BufReader::new(stream);
    let mut line = || {
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        line.trim_end().to_lowercase()
    };
    let first = line();
    let headers: Vec<_> = iter::from_fn(|| Some(line()).filter(|line| !line.is_empty())).collect();
    let length = headers.iter().find_map(|header| header.strip_prefix("content-length: ")).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    (first, body)
}
