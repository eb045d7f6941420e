//! A load balancer that is not slipway's: forwards TCP to one control plane, for as long as it is
//! held.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::spawn;

pub struct Balancer {
    /// Where it listens.
    pub authority: String,
    connections: Arc<AtomicUsize>,
}

impl Balancer {
    /// Listens at a free port of `address`, on this machine; ends with the test's process.
    pub fn start(address: &str, target: String) -> Self {
        let listener = TcpListener::bind((address, 0)).unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        spawn(move || {
            for client in listener.incoming().flatten() {
                counted.fetch_add(1, Ordering::Relaxed);
                // No server yet: the client is hung up on, as by any balancer.
                if let Ok(server) = TcpStream::connect(&target) {
                    forward(&client, &server);
                    forward(&server, &client);
                }
            }
        });
        Self { authority, connections }
    }

    /// How many connections it has taken.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

fn forward(from: &TcpStream, to: &TcpStream) {
    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
    spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
}
