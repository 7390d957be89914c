use std::{
    env, fs,
    io::{ErrorKind, Read},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{self, Child, ChildStdin, Command, Stdio},
    sync::atomic::{AtomicU32, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

/// A port that nobody listens on now, and that this process has not had from here before.
///
/// It is below those that systems give to outgoing connections, so no client takes it before the server is up, or while the server
/// is restarted.
///
/// # Panics
///
/// If there is none.
pub fn free_port() -> u16 {
    const PORTS: u32 = 20_000;
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let nobody_listens = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    // Processes that run at the same time begin at different ports.
    let port = |_| {
        10_000 + ((process::id().wrapping_mul(89).wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed))) % PORTS) as u16
    };
    (0..PORTS).map(port).find(nobody_listens).expect("a free port")
}

/// A folder that is removed with it.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let unique = format!("ctxhop-{name}-{}-{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = env::temp_dir().join(unique);
        fs::create_dir_all(&path).expect("a folder for the server");
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays is only a folder too many.
        fs::remove_dir_all(&self.0).ok();
    }
}

/// A server process. It is killed with its handle, and when this process ends, in whatever way; then its folder is removed as well.
pub(crate) struct Server {
    child: Child,
    watchdog: Child,
    /// Its other end is read by the watchdog: it closes when this process ends.
    _lifeline: ChildStdin,
}

impl Server {
    /// Starts it. What it says is in the file `log`, which is in its folder.
    pub(crate) fn start(mut command: Command, package: &str, scratch: &Scratch, log: &Path) -> Self {
        let output = fs::File::options().create(true).append(true).open(log).expect("the server's log");
        let errors = output.try_clone().expect("the server's log, again");
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        let child = command.spawn().unwrap_or_else(|error| match error.kind() {
            ErrorKind::NotFound => {
                panic!("{:?} is not installed: apt-get install --yes {package}", command.get_program())
            }
            _ => panic!("{:?} cannot be started: {error}", command.get_program()),
        });
        // Statics are not dropped, and a test that is killed drops nothing at all.
        let mut watchdog = Command::new("sh")
            .args(["-c", "cat >/dev/null; kill -9 $0; rm -rf \"$1\"", &child.id().to_string()])
            .arg(&scratch.0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell");
        let _lifeline = watchdog.stdin.take().expect("a pipe to the watchdog");
        Self { child, watchdog, _lifeline }
    }

    /// Waits until `greets` says that the server does, or panics with its log.
    pub(crate) fn wait_until(&mut self, greets: impl Fn() -> bool, log: &Path) {
        let start = Instant::now();
        while !greets() {
            let log = || fs::read_to_string(log).unwrap_or_default();
            if let Some(status) = self.child.try_wait().expect("the server's status") {
                panic!("the server has ended, {status}:\n{}", log());
            }
            assert!(start.elapsed() < Duration::from_secs(60), "the server is not ready after a minute:\n{}", log());
            // There is nothing to wait for but time: the server tells nobody that it is ready.
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server {
    /// By `kill -9`. The watchdog goes first, so that it kills no other process that gets the same id.
    fn drop(&mut self) {
        for child in [&mut self.watchdog, &mut self.child] {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

/// Says something to a port, and what is said first by it, within a second.
pub(crate) fn greeting<const N: usize>(port: u16, hello: &[u8]) -> Option<[u8; N]> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
    std::io::Write::write_all(&mut stream, hello).ok()?;
    let mut answer = [0; N];
    stream.read_exact(&mut answer).ok()?;
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "is not installed: apt-get install --yes some-server")]
    fn a_server_that_is_missing_fails_the_test() {
        let scratch = Scratch::new("missing");
        Server::start(Command::new("/nowhere/some-server"), "some-server", &scratch, &scratch.path().join("log"));
    }

    #[test]
    fn a_server_ends_with_its_handle() {
        let scratch = Scratch::new("ends");
        let mut command = Command::new("sleep");
        command.arg("1000");
        let server = Server::start(command, "coreutils", &scratch, &scratch.path().join("log"));
        let process = PathBuf::from(format!("/proc/{}", server.child.id()));
        assert!(process.exists());
        drop(server);
        assert!(!process.exists());
    }
}
