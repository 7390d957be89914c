//! What the tests and benches of this package share: what is recorded, and where it was seen.

pub mod grpc;
pub mod probe;
pub mod rig;

use tokio::{net::TcpListener, task::JoinHandle};

/// A listener on a free port of this machine, and its address as a client writes it.
pub async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    (listener, address)
}

/// A task that ends with its owner.
pub struct Task(pub JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
