//! A way to a server that can be made to swallow everything without a word, as a broken network does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Passes bytes on between clients and one server.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub port: u16,
    silent: Arc<AtomicBool>,
    unanswered: Arc<AtomicUsize>,
    /// Raised when the network breaks: connections of before stay open and dead.
    breaks: watch::Sender<u32>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn to(server_port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let silent = Arc::new(AtomicBool::new(false));
        let unanswered = Arc::new(AtomicUsize::new(0));
        let breaks = watch::Sender::new(0);
        let accepting = tokio::spawn({
            let (silent, unanswered) = (Arc::clone(&silent), Arc::clone(&unanswered));
            let breaks = breaks.clone();
            async move {
                let mut held = Vec::new();
                while let Ok((client, _)) = listener.accept().await {
                    if silent.load(Ordering::Relaxed) {
                        unanswered.fetch_add(1, Ordering::Relaxed);
                        held.push(client);
                        continue;
                    }
                    let Ok(server) = TcpStream::connect(("127.0.0.1", server_port)).await else { continue };
                    tokio::spawn(pass(client, server, breaks.subscribe()));
                }
            }
        });
        Self { port, silent, unanswered, breaks, accepting }
    }

    /// From now on new connections are taken and never answered.
    pub(crate) fn leave_new_ones_unanswered(&self) {
        self.silent.store(true, Ordering::Relaxed);
    }

    /// How many connections were never answered.
    pub(crate) fn unanswered(&self) -> usize {
        self.unanswered.load(Ordering::Relaxed)
    }

    /// From now on nothing passes and nothing is closed. What is open now stays so for good.
    pub(crate) fn swallow(&self) {
        self.leave_new_ones_unanswered();
        self.breaks.send_modify(|breaks| *breaks += 1);
    }

    /// New connections pass again.
    pub(crate) fn heal(&self) {
        self.silent.store(false, Ordering::Relaxed);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn pass(mut client: TcpStream, mut server: TcpStream, mut breaks: watch::Receiver<u32>) {
    let (mut up, mut down) = ([0; 8192], [0; 8192]);
    loop {
        tokio::select! {
            biased;
            broken = breaks.changed() => match broken {
                Ok(()) => std::future::pending().await,
                Err(_) => return,
            },
            read = client.read(&mut up) => match read {
                Ok(1..) if server.write_all(&up[..read.unwrap()]).await.is_ok() => {}
                _ => return,
            },
            read = server.read(&mut down) => match read {
                Ok(1..) if client.write_all(&down[..read.unwrap()]).await.is_ok() => {}
                _ => return,
            },
        }
    }
}
