//! What reads bytes or texts from outside by itself.

use std::ffi::c_char;
use std::ptr;

use talkwire::config::{self, tw_config};
use talkwire::error::{self, TW_OK, tw_error, tw_status};
use talkwire::event;
use talkwire_core::audio::format::Format;
use talkwire_core::audio::framer::Framer;
use talkwire_core::audio::wav::Wav;
use talkwire_core::dialect::Dialect;
use talkwire_core::engine::Engine;
use talkwire_core::{Kind, Options, wire};
use talkwire_server::{Config, Plan};

use crate::flow::{Common, parse_common, parse_flows};

const PROFILES: [&str; 2] = ["yandex", "openai"];

fn dialects() -> impl Iterator<Item = std::sync::Arc<Dialect>> {
    let named = |name| Dialect::named(name).expect("built in");
    PROFILES.into_iter().map(named)
}

/// A frame of a server, in each dialect.
pub(super) fn server_event(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for dialect in dialects() {
        if let Ok(decoded) = dialect.decode_server(&text) {
            let again = dialect.decode_server(&text).expect("as before");
            assert_eq!(format!("{decoded:?}"), format!("{again:?}"));
        }
    }
}

/// A frame of a client, which the local server reads.
pub(super) fn client_event(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for dialect in dialects() {
        let _ = dialect.decode_client(&text);
    }
}

const FORMATS: [Format; 3] = [
    Format::PCM16_24K,
    Format::Mulaw,
    Format::WideAlaw { rate_hz: 16_000 },
];

/// Base64 there and back, and samples from pieces cut anywhere: the first byte says where.
pub(super) fn sound(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut buffer = vec![1, 2, 3];
    let at_once = wire::audio::decode(&text);
    let into = wire::audio::decode_into(&text, &mut buffer);
    assert_eq!(at_once.is_ok(), into.is_ok());
    if let Ok(bytes) = at_once {
        assert_eq!(bytes, buffer);
    }
    let encoded = wire::audio::encode(data);
    assert_eq!(wire::audio::decode(&encoded).expect("our own"), data);

    let piece = usize::from(data.first().map_or(1, |&first| first % 7 + 1));
    for format in FORMATS {
        let (mut whole, mut pieces) = (Vec::new(), Vec::new());
        Framer::new(format).push(data, &mut whole);
        let mut framer = Framer::new(format);
        for part in data.chunks(piece) {
            framer.push(part, &mut pieces);
        }
        assert_eq!(whole, pieces);
        assert_eq!(
            whole.len() * format.sample_bytes() + framer.pending(),
            data.len()
        );
    }
}

/// A WAV file.
pub(super) fn wav(data: &[u8]) {
    let _ = Wav::parse(data);
}

/// A table of a dialect, which then has to read and write.
pub(super) fn dialect(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(dialect) = Dialect::from_json(&text) {
        let _ = dialect.decode_server(r#"{"type":"session.created","session":{"id":"s"}}"#);
        let _ = dialect.decode_client(r#"{"type":"session.update","session":{}}"#);
        let _ = dialect.model_name(Some("folder"), "model");
    }
}

/// A script of the local server, and a flow.
pub(super) fn script(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let _ = Plan::new(&Config::new().script_text(&*text, "."));
    let _ = parse_common("f", &text);
    let _ = parse_flows("f", &text, &Common::default());
}

/// The options of a session, which then have to be good for one.
pub(super) fn options(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let _ = serde_json::from_str::<talkwire_core::Settings>(&text);
    if let Ok(options) = Options::from_json(&text) {
        let dialect = Dialect::named("yandex").expect("built in");
        let _ = Engine::new(dialect, options, 1);
    }
}

type Setter =
    unsafe extern "C" fn(*mut tw_config, *const c_char, usize, *mut *mut tw_error) -> tw_status;

const SETTERS: [Setter; 11] = [
    config::tw_config_set_url,
    config::tw_config_set_dialect,
    config::tw_config_set_key,
    config::tw_config_set_model,
    config::tw_config_set_folder,
    config::tw_config_set_instructions,
    config::tw_config_set_voice,
    config::tw_config_set_role,
    config::tw_config_set_session_json,
    config::tw_config_set_extra_ca,
    config::tw_config_set_json,
];

/// Texts across the border of C, each in memory of exactly its size: taken, or refused with a word.
#[allow(unsafe_code)]
pub(super) fn c_texts(data: &[u8]) {
    let (first, text) = data.split_first().unwrap_or((&0, &[]));
    let setter = SETTERS[usize::from(*first) % SETTERS.len()];
    let text: Box<[u8]> = text.into();
    let ended: Box<[u8]> = text.iter().copied().chain([0]).collect();
    let is_dialect = ptr::fn_addr_eq(setter, config::tw_config_set_dialect as Setter);
    let is_utf8 = std::str::from_utf8(&text).is_ok();
    if text.contains(&b'/') && is_dialect {
        // The path of a file, and who knows of which.
        return;
    }
    // Safety: the pointers come from the library, or point to as many bytes as are said.
    unsafe {
        let mut made = ptr::null_mut();
        assert_eq!(config::tw_config_new(&raw mut made, ptr::null_mut()), TW_OK);
        for (text, len) in [(&text, text.len()), (&ended, usize::MAX)] {
            let mut err = ptr::null_mut();
            let status = setter(made, text.as_ptr().cast(), len, &raw mut err);
            let refusals = [Kind::Argument, Kind::Config, Kind::Io];
            let is_refused = refusals.iter().any(|&kind| kind as tw_status == status);
            assert!(status == TW_OK || is_refused, "{status}");
            assert_eq!(err.is_null(), status == TW_OK);
            // Up to the first NUL, a text may be in order.
            assert!(is_utf8 || len == usize::MAX || status == Kind::Argument as tw_status);
            let said = error::tw_error_message(err);
            assert_eq!(*said.ptr.add(said.len), 0);
            error::tw_error_free(err);
            event::tw_event_type_named(text.as_ptr().cast(), len);
        }
        config::tw_config_free(made);
    }
}
