//! The load generator and the floor, each the other's test.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::thread;
use std::time::Duration;

use ouroloop_bench::connection::Carrier;
use ouroloop_bench::driver::{self, Plan};
use ouroloop_bench::exchange::Kind;
use ouroloop_bench::{churn, floor};

fn checked(size: usize) -> Kind {
    Kind::Echo { size, line: false, check: true }
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("a bound address");
    (listener, address)
}

fn floor_server() -> SocketAddr {
    let (listener, address) = listener();
    thread::spawn(move || floor::serve(&listener));
    address
}

fn plan(target: SocketAddr, kind: Kind) -> Plan {
    Plan {
        target,
        carrier: Carrier::Tcp,
        connections: 20,
        kind,
        warm_up: Duration::ZERO,
        duration: Duration::from_secs(60),
        messages: Some(400),
        rate: None,
        server: None,
    }
}

#[test]
fn every_size_is_echoed_whole() {
    let target = floor_server();
    for size in [1, 17, 1024, 3_000_000] {
        let messages = if size > 1024 { 40 } else { 400 };
        let plan = Plan { messages: Some(messages), ..plan(target, checked(size)) };
        let report = driver::run(&plan).expect("an echo");
        assert!(report.messages >= messages);
        assert!(report.latency_us.p50 <= report.latency_us.p99);
    }
}

#[test]
fn datagrams_are_echoed_whole() {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let target = socket.local_addr().expect("a bound address");
    thread::spawn(move || floor::serve_datagrams(&socket));
    // All that is under way fits into the socket's buffer: none is lost.
    for size in [1, 64, 1_400] {
        let plan = Plan { carrier: Carrier::Udp, ..plan(target, checked(size)) };
        assert!(driver::run(&plan).expect("an echo").messages >= 400);
    }
}

#[test]
fn a_paced_load_keeps_to_its_rate() {
    let plan = Plan {
        rate: Some(1000.0),
        messages: None,
        duration: Duration::from_millis(300),
        ..plan(floor_server(), checked(64))
    };
    let report = driver::run(&plan).expect("an echo");
    assert!(report.messages <= 330, "{} messages in {} s", report.messages, report.seconds);
}

#[test]
fn the_cpu_time_of_the_server_is_reported() {
    let own = i32::try_from(std::process::id()).expect("a pid is an i32");
    let plan = Plan { server: Some(own), ..plan(floor_server(), checked(64)) };
    let report = driver::run(&plan).expect("an echo");
    assert!(report.cpu_us_per_message.expect("a known server") > 0.0);
}

#[test]
fn connections_are_opened_and_closed() {
    let report = churn::run(floor_server(), 500, 20, checked(100)).expect("an echo");
    assert_eq!(report.messages, 500);
}

#[test]
fn a_server_that_answers_wrongly_is_found_out() {
    let (listener, target) = listener();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept()?;
        let mut message = [0; 64];
        stream.read_exact(&mut message)?;
        message[40] ^= 1;
        stream.write_all(&message)
    });
    let error = driver::run(&Plan { connections: 1, ..plan(target, checked(64)) });
    assert!(error.expect_err("a wrong byte").to_string().contains("byte 40"));
}
