//! The end-to-end script that every language plays: a text turn, an audio turn, a tool call,
//! settings changed in the middle, an error, a close. Prints one line of canonical JSON for each
//! event, then `END` and the end.

use std::error::Error;
use std::path::PathBuf;

use serde_json::json;
use talkwire_core::wire::ServerEvent;
use talkwire_core::wire::session::Modality;
use talkwire_core::{Client, Event, Options, Runtime, Session, Settings};

/// 20 ms of 16-bit samples at 24 kHz.
const CHUNK_BYTES: usize = 960;
const VOICE: &str = "jane";

type Done = Result<(), Box<dyn Error>>;

fn main() -> Done {
    let (url, pcm) = arguments()?;
    let pcm = std::fs::read(pcm)?;
    Runtime::shared()?.block_on(play(&url, &pcm))
}

fn arguments() -> Result<(String, PathBuf), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--url", url, "--pcm", pcm] => Ok((url.to_owned(), pcm.into())),
        _ => Err("usage: e2e --url URL --pcm FILE".into()),
    }
}

fn patch() -> Settings {
    Settings::new().set("/type", json!("realtime"))
}

async fn play(url: &str, pcm: &[u8]) -> Done {
    let mut options = Options::from_json(r#"{"seed": 1}"#)?;
    options.session = patch()
        .modality(Modality::Text)
        .instructions("Be brief.")
        .manual_turns();
    let session = Client::new().url(url).open(options)?;
    until(&session, &["session.updated"]).await?;
    ask(&session, "hello").await?;
    spoken_turn(&session, pcm).await?;
    tool_call(&session).await?;
    session.update(patch().instructions("Be kind.").voice(VOICE))?;
    // Where the voice is fixed once it was heard, the answer is an error.
    until(&session, &["session.updated", "error"]).await?;
    session.send_json(json!({"type": "no.such.event", "event_id": "bad"}).to_string())?;
    until(&session, &["error"]).await?;
    session.close();
    while let Some(event) = session.next().await {
        println!("{}", event.json());
    }
    let end = session
        .end()
        .ok_or("a session that gives no events has ended")?;
    println!("END {}", end.to_json());
    Ok(())
}

async fn ask(session: &Session, text: &str) -> Result<Vec<Event>, Box<dyn Error>> {
    session.send_text(text)?;
    session.respond(None)?;
    until(session, &["response.done"]).await
}

async fn spoken_turn(session: &Session, pcm: &[u8]) -> Done {
    session.update(patch().modality(Modality::Audio))?;
    until(session, &["session.updated"]).await?;
    for chunk in pcm.chunks(CHUNK_BYTES) {
        session.append(chunk.to_vec())?;
    }
    session.commit()?;
    until(session, &["input_audio_buffer.committed"]).await?;
    session.respond(None)?;
    until(session, &["response.done"]).await?;
    Ok(())
}

async fn tool_call(session: &Session) -> Done {
    let events = ask(session, "order").await?;
    let call_id = events.iter().find_map(|event| match event.server() {
        Some(ServerEvent::ArgumentsDone(call)) => Some(call.call_id.clone()),
        _ => None,
    });
    session.answer_call(call_id.ok_or("no function was called")?, r#"{"ok":true}"#)?;
    session.respond(None)?;
    until(session, &["response.done"]).await?;
    Ok(())
}

/// Prints events up to and including the first of these names, and returns them.
async fn until(session: &Session, names: &[&str]) -> Result<Vec<Event>, Box<dyn Error>> {
    let mut events = Vec::new();
    while let Some(event) = session.next().await {
        println!("{}", event.json());
        let is_last = names.contains(&event.name());
        events.push(event);
        if is_last {
            return Ok(events);
        }
    }
    let end = session.end().map(|end| end.message).unwrap_or_default();
    Err(format!("the session ended before {names:?}: {end}").into())
}
