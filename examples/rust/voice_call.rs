//! A voice call: says a WAV file at the speed of speech, hears and counts the answer.
//!
//! `cargo run -p talkwire-cli --example voice_call [-- --url URL]`; without a URL a local server is
//! started in this process.

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use talkwire_core::audio::resample::resample;
use talkwire_core::audio::wav::Wav;
use talkwire_core::runtime::mailbox::Next;
use talkwire_core::wire::session::Modality;
use talkwire_core::{Client, Event, Options, Runtime, Session, Settings};
use talkwire_server::{Config, LocalServer};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/audio/caller.wav");
const RATE_HZ: u32 = 24_000;
/// The first sentence of the file and a second of quiet, in which the server sees that it is over.
const SAID_MS: u64 = 6_000;
const FRAME_MS: u64 = 20;

fn main() -> Result<(), Box<dyn Error>> {
    let (url, server) = match std::env::args().skip_while(|arg| arg != "--url").nth(1) {
        Some(url) => (url, None),
        None => {
            let server = LocalServer::start(Config::new())?;
            (server.url().to_owned(), Some(server))
        }
    };
    call(&url)?;
    if let Some(server) = server {
        server.stop();
    }
    Ok(())
}

fn call(url: &str) -> Result<(), Box<dyn Error>> {
    let session = Runtime::shared()?.block_on(dial(url))?;
    let wav = Wav::read(Path::new(FILE))?;
    let samples = resample(&wav.to_mono(), wav.rate_hz, RATE_HZ)?;
    let answer_ms = speak_and_listen(&session, &samples)?;
    println!("the agent spoke for {answer_ms} ms");
    session.close();
    let end = Runtime::shared()?.block_on(session.closed());
    println!("end: {}", end.message);
    if answer_ms > 0 && end.expected {
        Ok(())
    } else {
        Err("no spoken answer".into())
    }
}

async fn dial(url: &str) -> Result<Session, Box<dyn Error>> {
    let session = Client::new().url(url).connect(Options::default()).await?;
    let settings = Settings::new().modality(Modality::Audio).server_vad(500);
    session.update(settings)?.await?;
    Ok(session)
}

/// Sends a frame every 20 ms and reads events in between; returns how long the answer lasts.
fn speak_and_listen(session: &Session, samples: &[i16]) -> Result<u64, Box<dyn Error>> {
    let frame_samples = (u64::from(RATE_HZ) * FRAME_MS / 1000) as usize;
    let said = (SAID_MS / FRAME_MS) as usize;
    let mut frames = samples.chunks(frame_samples).take(said);
    let mut due = Instant::now();
    let mut answer_ms = 0;
    loop {
        if Instant::now() >= due {
            if let Some(frame) = frames.next() {
                let bytes: Vec<u8> = frame.iter().flat_map(|s| s.to_le_bytes()).collect();
                session.append(bytes)?;
            }
            due += Duration::from_millis(FRAME_MS);
        }
        match session.next_within(due.saturating_duration_since(Instant::now()))? {
            Next::Event(event) if event.name() == "response.done" => return Ok(answer_ms),
            Next::Event(event) => {
                answer_ms += event.audio_ms();
                show(&event);
            }
            Next::Empty => {}
            Next::End(end) => return Err(end.to_error().into()),
        }
    }
}

fn show(event: &Event) {
    match event.name() {
        "input_audio_buffer.speech_started" => println!("the customer speaks"),
        "input_audio_buffer.speech_stopped" => println!("the customer has spoken"),
        "response.output_audio_transcript.done" | "response.output_text.done" => {
            println!("agent: {}", event.text().unwrap_or_default());
        }
        _ => {}
    }
}
