//! Proxies and terminators of TLS that live on this machine: each is a thread per connection.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

/// Far above what anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A listener that serves every connection on a thread of its own.
pub(crate) struct StandIn {
    pub(crate) at: SocketAddr,
    /// What clients asked for.
    pub(crate) asked: Arc<Mutex<Vec<String>>>,
}

type Asked = Arc<Mutex<Vec<String>>>;

impl StandIn {
    pub(crate) fn start(serve: impl Fn(TcpStream, &Asked) + Send + Sync + 'static) -> Self {
        Self::start_at("127.0.0.1:0", serve).expect("a port")
    }

    /// `None` where the machine has no such address.
    pub(crate) fn start_at(
        at: &str,
        serve: impl Fn(TcpStream, &Asked) + Send + Sync + 'static,
    ) -> Option<Self> {
        let listener = TcpListener::bind(at).ok()?;
        let at = listener.local_addr().expect("bound");
        let asked = Asked::default();
        let (serve, told) = (Arc::new(serve), asked.clone());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (serve, told) = (serve.clone(), told.clone());
                let stream = stream.expect("accepts");
                stream.set_read_timeout(Some(PATIENCE)).expect("set");
                thread::spawn(move || serve(stream, &told));
            }
        });
        Some(Self { at, asked })
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("not poisoned").clone()
    }
}

/// Answers everybody with these bytes, one write for each, and closes if `closes`.
pub(crate) fn answering(pieces: &'static [&'static str], closes: bool) -> StandIn {
    StandIn::start(move |mut stream, asked| {
        tell(asked, &head(&mut stream));
        for piece in pieces {
            stream.write_all(piece.as_bytes()).expect("writes");
            stream.flush().expect("flushes");
        }
        if !closes {
            // Until the client has enough of it.
            let _ = stream.read(&mut [0]);
        }
    })
}

/// An HTTP proxy that knows CONNECT; every name is this machine to it. With a credential it wants
/// that one, as the header says it.
pub(crate) fn connect_proxy(credential: Option<&'static str>) -> StandIn {
    StandIn::start(move |mut client, asked| {
        let head = head(&mut client);
        tell(asked, &head);
        let given = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("proxy-authorization")
                .then_some(value)
        });
        if given != credential {
            let refusal = "HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n";
            return client.write_all(refusal.as_bytes()).expect("writes");
        }
        let target = head.split(' ').nth(1).expect("a target");
        let Some(server) = reach(target) else {
            let refusal = "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n";
            return client.write_all(refusal.as_bytes()).expect("writes");
        };
        client
            .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
            .expect("writes");
        relay(client, server);
    })
}

/// A SOCKS5 proxy (RFC 1928, RFC 1929), with user and password if given.
pub(crate) fn socks_proxy(credential: Option<(&'static str, &'static str)>) -> StandIn {
    StandIn::start(move |mut client, asked| {
        let _version = byte(&mut client);
        let count = byte(&mut client);
        let methods = bytes(&mut client, count);
        let wanted = if credential.is_some() { 2 } else { 0 };
        if !methods.contains(&wanted) {
            return client.write_all(&[5, 0xff]).expect("writes");
        }
        client.write_all(&[5, wanted]).expect("writes");
        if let Some((user, password)) = credential {
            let _version = byte(&mut client);
            let length = byte(&mut client);
            let given_user = bytes(&mut client, length);
            let length = byte(&mut client);
            let given_password = bytes(&mut client, length);
            let fits = (given_user, given_password)
                == (user.as_bytes().into(), password.as_bytes().into());
            client.write_all(&[1, u8::from(!fits)]).expect("writes");
            if !fits {
                return;
            }
        }
        let request = bytes(&mut client, 4);
        let host = match request[3] {
            1 => bytes(&mut client, 4)
                .iter()
                .map(u8::to_string)
                .collect::<Vec<_>>()
                .join("."),
            3 => {
                let length = byte(&mut client);
                String::from_utf8(bytes(&mut client, length)).expect("a name")
            }
            other => panic!("address of kind {other}"),
        };
        let port = bytes(&mut client, 2);
        let target = format!("{host}:{}", u16::from_be_bytes([port[0], port[1]]));
        tell(asked, &target);
        let server = reach(&target);
        let status = if server.is_some() { 0 } else { 5 };
        let reply = [5, status, 0, 1, 127, 0, 0, 1, 0, 0];
        client.write_all(&reply).expect("writes");
        if let Some(server) = server {
            relay(client, server);
        }
    })
}

/// The head of a request.
pub(crate) fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(byte(stream));
    }
    String::from_utf8(head).expect("text")
}

/// Carries bytes both ways until both sides have ended.
pub(crate) fn relay(client: TcpStream, server: TcpStream) {
    let copy = |mut from: TcpStream, mut to: TcpStream| {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    };
    let halves = (
        client.try_clone().expect("clones"),
        server.try_clone().expect("clones"),
    );
    let there = thread::spawn(move || copy(halves.0, halves.1));
    copy(server, client);
    there.join().expect("relayed");
}

fn reach(target: &str) -> Option<TcpStream> {
    let (_, port) = target.rsplit_once(':')?;
    let server = TcpStream::connect(("127.0.0.1", port.parse().ok()?)).ok()?;
    server.set_read_timeout(Some(PATIENCE)).expect("set");
    Some(server)
}

fn tell(asked: &Asked, what: &str) {
    asked.lock().expect("not poisoned").push(what.to_owned());
}

fn byte(stream: &mut TcpStream) -> u8 {
    bytes(stream, 1)[0]
}

fn bytes(stream: &mut TcpStream, count: u8) -> Vec<u8> {
    let mut bytes = vec![0; usize::from(count)];
    stream.read_exact(&mut bytes).expect("reads");
    bytes
}

/// Undoes TLS in front of a server on this machine.
pub(crate) fn relay_tls(config: ServerConfig, to: u16) -> StandIn {
    let config = Arc::new(config);
    StandIn::start(move |client, _| {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_all().build().expect("a runtime");
        let acceptor = TlsAcceptor::from(config.clone());
        runtime.block_on(async {
            client.set_nonblocking(true).expect("set");
            let client = tokio::net::TcpStream::from_std(client).expect("non-blocking");
            let Ok(mut client) = acceptor.accept(client).await else {
                return;
            };
            let server = tokio::net::TcpStream::connect(("127.0.0.1", to)).await;
            let mut server = server.expect("connects");
            let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
        });
    })
}
