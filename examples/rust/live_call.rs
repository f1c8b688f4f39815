//! A live call as a telephone or a sound card makes it: a thread with a clock of its own gives 20 ms
//! of sound and takes 20 ms, while the program reads events and a tool runs.
//!
//! `cargo run -p talkwire-cli --example live_call [-- --url URL]`; without a URL a local server is
//! started in this process.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use talkwire_core::audio::format::Format;
use talkwire_core::audio::resample::resample;
use talkwire_core::audio::wav::Wav;
use talkwire_core::call::Track;
use talkwire_core::event::local::Local;
use talkwire_core::options::tool::Tool;
use talkwire_core::wire::session::Modality;
use talkwire_core::{Call, CallOptions, Client, Event, Options, Runtime, Session, Settings};
use talkwire_server::{Config, LocalServer};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/audio/caller.wav");
/// The line is a telephone's.
const RATE_HZ: u32 = 8_000;
const FRAME: Duration = Duration::from_millis(20);
/// The first sentence of the file.
const SAID_MS: usize = 5_000;

fn main() -> Result<(), Box<dyn Error>> {
    let (url, server) = match std::env::args().skip_while(|arg| arg != "--url").nth(1) {
        Some(url) => (url, None),
        None => {
            let server = LocalServer::start(Config::new())?;
            (server.url().to_owned(), Some(server))
        }
    };
    Runtime::shared()?.block_on(talk(&url))?;
    if let Some(server) = server {
        server.stop();
    }
    Ok(())
}

async fn talk(url: &str) -> Result<(), Box<dyn Error>> {
    let wav = Wav::read(Path::new(FILE))?;
    let mut said = resample(&wav.to_mono(), wav.rate_hz, RATE_HZ)?;
    said.truncate(SAID_MS * RATE_HZ as usize / 1_000);
    let options = Options {
        session: Settings::new().modality(Modality::Audio).server_vad(500),
        ..Options::default()
    };
    let session = Client::new().url(url).connect(options).await?;
    // The model may ask for the time; nobody waits for it but the model.
    let time = Tool::new("uptime").description("Seconds since this call began");
    let began = Instant::now();
    session
        .run_tool(time, move |_| async move {
            Ok(began.elapsed().as_secs().to_string())
        })?
        .await?;
    let format = Format::Pcm16 { rate_hz: RATE_HZ };
    let call = session.attach(CallOptions::default().with_format(format))?;
    let hung_up = Arc::new(AtomicBool::new(false));
    let line = line(call.clone(), said, hung_up.clone());
    answer(&session).await?;
    while call.stats().depth > 0 || call.stats().queued_ms > 0 {
        thread::sleep(FRAME);
    }
    hung_up.store(true, Ordering::Relaxed);
    let heard = line.join().map_err(|_| "the line broke")?;
    println!("{} ms were heard", heard * 1_000 / u64::from(RATE_HZ));
    session.close();
    println!("end: {}", session.closed().await.message);
    Ok(())
}

/// A thread with a clock of its own; returns the samples that were heard.
fn line(call: Call, said: Vec<i16>, hung_up: Arc<AtomicBool>) -> thread::JoinHandle<u64> {
    thread::spawn(move || {
        let samples = RATE_HZ as usize / 50;
        let (mut frames, mut frame) = (said.chunks(samples), vec![0; samples]);
        let (mut due, mut heard) = (Instant::now(), 0);
        while !hung_up.load(Ordering::Relaxed) {
            // Neither waits: what cannot be taken is dropped, what is not there is silence.
            if let Some(frame) = frames.next() {
                let _ = call.push_samples(Track::Customer, frame);
            }
            heard += call.pull_samples(&mut frame).unwrap_or(0) as u64;
            due += FRAME;
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        heard
    })
}

async fn answer(session: &Session) -> Result<(), Box<dyn Error>> {
    while let Some(event) = session.next().await {
        show(&event);
        if event.name() == "response.done" {
            return Ok(());
        }
    }
    Err("no answer".into())
}

fn show(event: &Event) {
    match event.own() {
        Some(Local::Timeline(turn)) => println!("heard {:?} ms into the call", turn.first_heard_ms),
        Some(Local::Confirmed(_)) => println!("the customer interrupts"),
        Some(Local::Cut(cut)) => println!("{} of {} ms were heard", cut.heard_ms, cut.received_ms),
        _ => {}
    }
}
