//! The way to a server: proxies, certificates, addresses, and refusals word for word.

mod stand_ins;

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use stand_ins::{PATIENCE, StandIn, answering, connect_proxy, relay_tls, socks_proxy};
use talkwire_core::runtime::mailbox::Next;
use talkwire_core::{Client, End, Kind, Options};
use talkwire_server::{Config, LocalServer};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

fn server() -> LocalServer {
    LocalServer::start(Config::new().profile("openai")).expect("starts")
}

fn client(url: &str) -> Client {
    // A host that is not this machine is only dialled with a credential.
    let client = Client::new().url(url).key("a-key");
    client.dialect("openai").expect("built in")
}

/// Opens a session, closes it once it is open, and tells how it ended.
fn call(client: &Client, options: Options) -> End {
    let session = client.open(options).expect("valid options");
    loop {
        match session.next_within(PATIENCE).expect("not in a callback") {
            Next::Event(event) if event.name() == "session.created" => session.close(),
            Next::Event(_) => {}
            Next::End(end) => return end,
            Next::Empty => panic!("the session is silent"),
        }
    }
}

fn via(proxy: String) -> Options {
    Options {
        proxy: Some(proxy),
        ..Options::default()
    }
}

/// The local server under a name that only a proxy can make sense of.
fn hidden(server: &LocalServer) -> String {
    server.url().replace("127.0.0.1", "server.test")
}

#[test]
fn a_proxy_of_connect_leads_to_a_server_it_alone_knows() {
    let (server, proxy) = (server(), connect_proxy(None));
    let url = hidden(&server);
    let end = call(&client(&url), via(format!("http://{}", proxy.at)));
    assert!(end.expected, "{end:?}");
    let target = url["ws://".len()..].split('/').next().expect("a host");
    let asked = proxy.asked();
    assert!(
        asked[0].starts_with(&format!("CONNECT {target} HTTP/1.1\r\n")),
        "{asked:?}"
    );
    assert!(
        !asked.concat().contains("a-key"),
        "the credential is the server's"
    );
}

#[test]
fn a_proxy_gets_its_credential_and_a_wrong_one_is_an_error_of_auth() {
    // user:p@ss
    let (server, proxy) = (server(), connect_proxy(Some("Basic dXNlcjpwQHNz")));
    let client = client(&hidden(&server));
    let at = proxy.at;
    assert!(call(&client, via(format!("http://user:p%40ss@{at}"))).expected);
    let end = call(&client, via(format!("http://user:word@{at}")));
    assert_eq!((end.why, end.expected), (Kind::Auth, false), "{end:?}");
    assert!(end.message.contains("proxy"), "{}", end.message);
    assert!(!format!("{end:?}").contains("word"), "{end:?}");
    assert_eq!(
        call(&client, via(format!("http://{at}"))).why,
        Kind::Auth,
        "none at all"
    );
}

#[test]
fn a_proxy_that_refuses_or_is_not_there_is_named() {
    let proxy = connect_proxy(None);
    // Nothing listens on port 1.
    let nowhere = client("ws://server.test:1/v1/realtime");
    let end = call(&nowhere, via(format!("http://{}", proxy.at)));
    assert_eq!(end.why, Kind::Unreachable, "{end:?}");
    assert!(end.message.contains(&proxy.at.to_string()), "{end:?}");
    let end = call(&nowhere, via("http://127.0.0.1:1".to_owned()));
    assert_eq!(end.why, Kind::Unreachable, "{end:?}");
    assert!(end.message.contains("127.0.0.1:1"), "{end:?}");
}

#[test]
fn a_proxy_of_socks5_resolves_the_name_and_checks_the_credential() {
    let (server, open) = (server(), socks_proxy(None));
    let client = client(&hidden(&server));
    let end = call(&client, via(format!("socks5://{}", open.at)));
    assert!(end.expected, "{end:?}");
    assert!(open.asked()[0].starts_with("server.test:"));
    let guarded = socks_proxy(Some(("user", "p@ss"))).at;
    let end = call(&client, via(format!("socks5h://user:p%40ss@{guarded}")));
    assert!(end.expected, "{end:?}");
    for wrong in [format!("user:word@{guarded}"), guarded.to_string()] {
        let end = call(&client, via(format!("socks5://{wrong}")));
        assert_eq!((end.why, end.expected), (Kind::Auth, false), "{end:?}");
    }
}

#[test]
fn a_proxy_that_is_no_url_of_one_is_refused_before_dialling() {
    let client = client("ws://127.0.0.1:1/");
    for wrong in [
        "socks4://127.0.0.1:1",
        "ftp://x",
        "http://",
        "http://user:secret@",
    ] {
        let error = client.open(via(wrong.to_owned())).expect_err(wrong);
        assert_eq!(error.kind(), Kind::Config, "{wrong}: {error}");
        assert!(error.message().contains("proxy"), "{error}");
        assert!(!error.message().contains("secret"), "{error}");
    }
}

#[test]
fn an_empty_proxy_goes_straight() {
    assert!(call(&client(server().url()), via(String::new())).expected);
}

/// A certificate authority of this test and what it signed, PEM.
struct Authority {
    ca: String,
    server: (String, String),
    client: (String, String),
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("signs itself");
        let sign = |name: &str| {
            let key = KeyPair::generate().expect("a key");
            let params = CertificateParams::new([name.to_owned()]).expect("a name");
            let signed = params.signed_by(&key, &issuer).expect("signs");
            (signed.pem(), key.serialize_pem())
        };
        Self {
            server: sign("localhost"),
            client: sign("client"),
            ca: issuer.pem(),
        }
    }

    /// TLS that wants to see a certificate of this authority, in front of a server.
    fn guard(&self, server: &LocalServer) -> StandIn {
        let provider = Arc::new(ring::default_provider());
        let mut roots = RootCertStore::empty();
        let ca = CertificateDer::from_pem_slice(self.ca.as_bytes()).expect("PEM");
        roots.add(ca).expect("an authority");
        let asks = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone());
        let chain = CertificateDer::from_pem_slice(self.server.0.as_bytes()).expect("PEM");
        let key = PrivateKeyDer::from_pem_slice(self.server.1.as_bytes()).expect("PEM");
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_client_cert_verifier(asks.build().expect("a verifier"))
            .with_single_cert(vec![chain], key)
            .expect("fits");
        relay_tls(config, port(server))
    }
}

fn port(server: &LocalServer) -> u16 {
    let authority = server.url()["ws://".len()..].split('/').next();
    let (_, port) = authority.and_then(|a| a.rsplit_once(':')).expect("a port");
    port.parse().expect("a number")
}

#[test]
fn a_server_that_asks_for_a_certificate_is_shown_ours() {
    let (authority, server) = (Authority::new(), server());
    let guard = authority.guard(&server);
    let client = client(&format!("wss://localhost:{}/v1/realtime", guard.at.port()));
    let trusting = || Options {
        only_ca: Some(authority.ca.clone()),
        ..Options::default()
    };
    let shown = Options {
        client_cert: Some(authority.client.0.clone()),
        client_key: Some(authority.client.1.clone()),
        ..trusting()
    };
    let end = call(&client, shown);
    assert!(end.expected, "{end:?}");
    let end = call(&client, trusting());
    assert!(
        !end.expected && end.who != talkwire_core::Who::App,
        "{end:?}"
    );

    let half = Options {
        client_cert: Some(authority.client.0.clone()),
        ..trusting()
    };
    assert_eq!(client.open(half).expect_err("no key").kind(), Kind::Config);
}

#[test]
fn a_sole_authority_excludes_all_others() {
    let (trusted, other, server) = (Authority::new(), Authority::new(), server());
    let guard = other.guard(&server);
    let client = client(&format!("wss://localhost:{}/v1/realtime", guard.at.port()));
    let only = |ca: &str| Options {
        only_ca: Some(ca.to_owned()),
        client_cert: Some(other.client.0.clone()),
        client_key: Some(other.client.1.clone()),
        ..Options::default()
    };
    assert_eq!(call(&client, only(&trusted.ca)).why, Kind::Tls);
    assert!(call(&client, only(&other.ca)).expected);
    for wrong in ["", "no certificate"] {
        let error = client.open(only(wrong)).expect_err("refused");
        assert_eq!(error.kind(), Kind::Config, "{error}");
    }
    let both = client.clone().extra_ca(other.ca.clone());
    let error = both.open(only(&other.ca)).expect_err("refused");
    assert_eq!(error.kind(), Kind::Config, "{error}");
}

#[test]
fn a_name_with_several_addresses_is_tried_at_each() {
    // `localhost` is both ::1 and 127.0.0.1 where the machine has IPv6; each time one is silent.
    let server = server();
    let by_name = |port: u16| client(&format!("ws://localhost:{port}/v1/realtime"));
    let end = call(&by_name(port(&server)), Options::default());
    assert!(end.expected, "{end:?}");
    let to = port(&server);
    let relay = move |client: std::net::TcpStream, _: &_| {
        let server = std::net::TcpStream::connect(("127.0.0.1", to)).expect("connects");
        stand_ins::relay(client, server);
    };
    if let Some(v6) = StandIn::start_at("[::1]:0", relay) {
        let literal = client(&format!("ws://[::1]:{}/v1/realtime", v6.at.port()));
        let end = call(&literal, Options::default());
        assert!(end.expected, "{end:?}");
        let has_v6_name = std::net::ToSocketAddrs::to_socket_addrs(&("localhost", 1))
            .is_ok_and(|mut all| all.any(|address| address.is_ipv6()));
        if has_v6_name {
            let end = call(&by_name(v6.at.port()), Options::default());
            assert!(end.expected, "{end:?}");
        }
    }
}

fn refusal(stand_in: &StandIn) -> talkwire_core::Error {
    let options = Options {
        handshake_timeout_ms: 1_000,
        ..Options::default()
    };
    let end = call(
        &client(&format!("ws://{}/v1/realtime", stand_in.at)),
        options,
    );
    assert!(!end.expected);
    end.error.expect("an error")
}

#[test]
fn a_refusal_in_pieces_and_chunks_is_kept_whole() {
    let stand_in = answering(
        &[
            "HTTP/1.1 404 Not Found\r\ntransfer-enc",
            "oding: chunked\r\n\r\n",
            "12\r\n{\"error\": {\"code\":\r\n",
            "2e\r\n \"model_not_found\", \"message\": \"no such one\"}}\r\n",
            "0\r\n\r\n",
        ],
        false,
    );
    let error = refusal(&stand_in);
    assert_eq!(error.kind(), Kind::NotFound);
    assert!(error.message().ends_with("no such one"), "{error}");
    let said = error.provider();
    assert_eq!(said.http_status, Some(404));
    assert_eq!(said.code.as_deref(), Some("model_not_found"));
    let body = r#"{"error": {"code": "model_not_found", "message": "no such one"}}"#;
    assert_eq!(said.body.as_deref(), Some(body));
}

#[test]
fn of_a_refusal_that_never_ends_what_has_come_is_kept() {
    let stand_in = answering(
        &[
            "HTTP/1.1 503 Busy\r\ncontent-length: 100\r\n\r\n",
            "we are f",
        ],
        false,
    );
    let error = refusal(&stand_in);
    assert_eq!(error.kind(), Kind::Overloaded);
    assert_eq!(error.provider().body.as_deref(), Some("we are f"));
}

#[test]
fn an_upgrade_without_proof_or_with_a_protocol_of_its_own_is_no_session() {
    for head in [
        &["HTTP/1.1 101 Switching\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"][..],
        &[
            "HTTP/1.1 101 Switching\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: x\r\n\r\n",
        ],
        &["SSH-2.0-server\r\n\r\n"],
    ] {
        let leaked: &'static [&'static str] = Box::leak(head.to_vec().into_boxed_slice());
        let error = refusal(&answering(leaked, false));
        assert_eq!(error.kind(), Kind::Handshake, "{error}");
    }
    let error = refusal(&answering(&[], true));
    assert_eq!(error.kind(), Kind::Lost, "{error}");
}
