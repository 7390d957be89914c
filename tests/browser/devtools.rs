//! A browser, by Chrome's DevTools protocol: messages in JSON over two pipes.

use std::{
    collections::VecDeque,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use serde_json::{Value, json};

/// Passes only if the browser hangs.
const LIMIT: Duration = Duration::from_secs(180);

pub(crate) struct Browser {
    process: Child,
    profile: PathBuf,
    input: ChildStdin,
    output: mpsc::Receiver<Value>,
    events: VecDeque<Value>,
    sent: u64,
    session: Option<String>,
}

impl Browser {
    /// Starts `chromium`, or what the environment variable `CHROMIUM` names, and opens a tab.
    pub(crate) fn start(profile: &Path) -> Self {
        let program = std::env::var("CHROMIUM").unwrap_or_else(|_| "chromium".to_owned());
        // It reads from descriptor 3 and writes to 4.
        let mut process = Command::new("sh")
            .args(["-c", r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >&2"#, &program, "--remote-debugging-pipe"])
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--disable-dev-shm-usage", "--hide-scrollbars"])
            .arg(format!("--user-data-dir={}", profile.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh starts");
        let (told, output) = mpsc::channel();
        let mut pipe = BufReader::new(process.stdout.take().unwrap());
        thread::spawn(move || {
            let mut message = Vec::new();
            while pipe.read_until(0, &mut message).is_ok_and(|read| read > 0) {
                let value = serde_json::from_slice(message.strip_suffix(b"\0").unwrap_or(&message));
                let _ = told.send(value.expect("the browser sends JSON"));
                message.clear();
            }
        });
        let input = process.stdin.take().unwrap();
        let profile = profile.to_owned();
        let mut browser = Self { process, profile, input, output, events: VecDeque::new(), sent: 0, session: None };
        let tab = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let tab = json!({ "targetId": tab["targetId"], "flatten": true });
        let session = browser.call("Target.attachToTarget", tab);
        browser.session = Some(session["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Page", "Log", "Runtime", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser
    }

    /// Calls a method of the protocol, and gives its result.
    #[track_caller]
    pub(crate) fn call(&mut self, method: &str, params: Value) -> Value {
        self.sent += 1;
        let mut message = json!({ "id": self.sent, "method": method, "params": params });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.input.write_all(format!("{message}\0").as_bytes()).expect("is chromium installed?");
        loop {
            let mut answer = self.next(method);
            if answer["id"] == self.sent {
                assert!(answer["error"].is_null(), "{method}: {answer}");
                return answer["result"].take();
            }
            self.events.push_back(answer);
        }
    }

    #[track_caller]
    fn next(&mut self, waiting_for: &str) -> Value {
        match self.output.recv_timeout(LIMIT) {
            Ok(message) => message,
            Err(error) => panic!("no answer to {waiting_for}: {error}; is chromium installed?"),
        }
    }

    /// Loads a page, and gives all events up to its end.
    #[track_caller]
    pub(crate) fn load(&mut self, url: &str) -> Vec<Value> {
        self.events.clear();
        let loaded = self.call("Page.navigate", json!({ "url": url }));
        assert!(loaded["errorText"].is_null(), "{url}: {loaded}");
        while !self.events.iter().any(|event| event["method"] == "Page.loadEventFired") {
            let event = self.next("the page's end");
            self.events.push_back(event);
        }
        // What the page says at its end is here before the answer to a call.
        self.evaluate("1");
        self.events.drain(..).collect()
    }

    /// What an expression in JavaScript gives. The debugger may run it where the page may not run any.
    #[track_caller]
    pub(crate) fn evaluate(&mut self, expression: &str) -> Value {
        let params = json!({ "expression": expression, "returnByValue": true });
        let mut result = self.call("Runtime.evaluate", params);
        assert!(result["exceptionDetails"].is_null(), "{expression}: {result}");
        result["result"]["value"].take()
    }

    pub(crate) fn press(&mut self, key: &str, code: u32) {
        for kind in ["rawKeyDown", "char", "keyUp"] {
            let text = if key == "Enter" && kind == "char" { "\r" } else { "" };
            if kind == "char" && text.is_empty() {
                continue;
            }
            let params = json!({ "type": kind, "key": key, "code": key, "text": text, "windowsVirtualKeyCode": code });
            self.call("Input.dispatchKeyEvent", params);
        }
    }

    /// Writes what is to be seen into a file, as PNG.
    pub(crate) fn screenshot(&mut self, file: &Path) {
        let shot = self.call("Page.captureScreenshot", json!({ "format": "png" }));
        std::fs::write(file, base64(shot["data"].as_str().unwrap())).unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser's own processes end with it, where killing the first one would leave them.
        let _ = self.input.write_all(b"{\"id\":0,\"method\":\"Browser.close\"}\0");
        while self.output.recv_timeout(LIMIT).is_ok() {}
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.profile);
    }
}

fn base64(text: &str) -> Vec<u8> {
    const DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits =
        text.bytes().filter(|&digit| digit != b'=').map(|digit| DIGITS.find(char::from(digit)).unwrap() as u32);
    let digits: Vec<_> = digits.collect();
    let bytes = digits.chunks(4).flat_map(|chunk| {
        let bits = chunk.iter().enumerate().map(|(n, digit)| digit << (18 - 6 * n)).sum::<u32>();
        bits.to_be_bytes().into_iter().skip(1).take(chunk.len() - 1)
    });
    bytes.collect()
}
