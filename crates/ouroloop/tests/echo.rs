//! The example server, driven by real clients of threads outside the loop.
#![cfg(not(loom))]

#[path = "../examples/echo_server.rs"]
mod echo_server;
mod support;

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use ouroloop::TcpListener;
use ouroloop::multiplex::Mechanism;
use rustix::net::sockopt;
use support::open_descriptors;

/// Serves in a thread of its own while `client` runs, by one mechanism after the other; then no
/// descriptor is left.
fn with_server(client: impl Fn(SocketAddr)) {
    Mechanism::ALL.iter().for_each(|&mechanism| with_server_on(mechanism, &client));
}

fn with_server_on(mechanism: Mechanism, client: impl FnOnce(SocketAddr)) {
    // The descriptors are those of the whole process: one test at a time.
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let before = open_descriptors();
    thread::scope(|scope| {
        let (bound, address) = mpsc::channel();
        let server = scope.spawn(move || {
            ouroloop::run_on(mechanism, async {
                let listener = TcpListener::bind(([127, 0, 0, 1], 0)).expect("a listener");
                let (stop, mut stopped) = stop_signal();
                let address = listener.local_addr().expect("a bound address");
                bound.send((address, stop)).expect("a waiting client");
                let server = ouroloop::spawn(echo_server::serve(listener));
                stopped.wait().await;
                server.abort();
                server.await.expect_err("it serves until it is aborted");
            });
        });
        let (address, stop) = address.recv().expect("a server");
        client(address);
        stop.send();
        server.join().expect("the server's end");
    });
    assert_eq!(open_descriptors(), before);
}

/// A flag that another thread raises and a task awaits.
fn stop_signal() -> (Stop, Stopped) {
    let shared = Shared::default();
    (Stop(Arc::clone(&shared)), Stopped(shared))
}

type Shared = Arc<Mutex<(bool, Option<Waker>)>>;
struct Stop(Shared);
struct Stopped(Shared);

impl Stop {
    fn send(self) {
        let waker = {
            let mut shared = self.0.lock().expect("a lock");
            shared.0 = true;
            shared.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Stopped {
    async fn wait(&mut self) {
        std::future::poll_fn(|context| {
            let mut shared = self.0.lock().expect("a lock");
            if shared.0 {
                return Poll::Ready(());
            }
            shared.1 = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// Writes from one thread and reads from this one: a large message fills every buffer between.
fn echoed(mut connection: TcpStream, message: &[u8]) -> io::Result<Vec<u8>> {
    let mut answer = Vec::new();
    thread::scope(|scope| {
        let mut writer = connection.try_clone()?;
        let writing = scope.spawn(move || {
            writer.write_all(message)?;
            writer.shutdown(Shutdown::Write)
        });
        connection.read_to_end(&mut answer)?;
        writing.join().expect("the writer's end")
    })?;
    Ok(answer)
}

fn reset(connection: TcpStream) {
    sockopt::set_socket_linger(&connection, Some(Duration::ZERO)).expect("an abrupt end");
    drop(connection);
}

#[test]
fn sequential_connections_are_echoed() {
    with_server(|address| {
        for n in 0..300_u32 {
            let message = format!("message {n}");
            let connection = TcpStream::connect(address).expect("a connection");
            let answer = echoed(connection, message.as_bytes()).expect("an answer");
            assert_eq!(answer, message.as_bytes());
        }
    });
}

#[test]
fn simultaneous_connections_are_echoed() {
    with_server(|address| {
        let mut connections: Vec<_> =
            (0..200).map(|_| TcpStream::connect(address).expect("a connection")).collect();
        for round in 0..3_usize {
            for (n, connection) in connections.iter_mut().enumerate() {
                connection.write_all(&(n * 7 + round).to_be_bytes()).expect("room");
            }
            for (n, connection) in connections.iter_mut().enumerate().rev() {
                let mut answer = [0; size_of::<usize>()];
                connection.read_exact(&mut answer).expect("an answer");
                assert_eq!(usize::from_be_bytes(answer), n * 7 + round);
            }
        }
    });
}

#[test]
fn a_large_message_comes_back_whole() {
    with_server(|address| {
        let message: Vec<u8> = (0..8_000_000_u32).map(|n| (n % 251) as u8).collect();
        let answer = echoed(TcpStream::connect(address).expect("a connection"), &message);
        assert!(answer.expect("an answer") == message);
    });
}

#[test]
fn abrupt_ends_harm_nobody_else() {
    with_server(|address| {
        let mut steady = TcpStream::connect(address).expect("a connection");
        for n in 0..100 {
            let mut abrupt = TcpStream::connect(address).expect("a connection");
            match n % 4 {
                0 => reset(abrupt),
                1 => {
                    abrupt.write_all(&vec![0; 100_000]).expect("room");
                    reset(abrupt);
                }
                2 => {
                    abrupt.write_all(b"unread").expect("room");
                    drop(abrupt);
                }
                _ => abrupt.shutdown(Shutdown::Both).expect("a shutdown"),
            }
            steady.write_all(&[n]).expect("room");
            let mut answer = [0];
            steady.read_exact(&mut answer).expect("an answer");
            assert_eq!(answer, [n]);
        }
    });
}

#[test]
fn connections_that_are_open_at_the_end_are_closed() {
    with_server(|address| {
        let mut left = Vec::new();
        for _ in 0..20 {
            let mut connection = TcpStream::connect(address).expect("a connection");
            connection.write_all(b"x").expect("room");
            connection.read_exact(&mut [0]).expect("an answer");
            connection.set_nonblocking(true).expect("non-blocking");
            left.push(connection);
        }
        left.into_iter().for_each(reset);
    });
}
