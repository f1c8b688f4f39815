//! A text chat: two questions, the answers as they are written.
//!
//! `cargo run -p talkwire-cli --example text_chat [-- --url URL]`; without a URL a local server that
//! echoes is started in this process.

use std::error::Error;
use std::io::Write;

use talkwire_core::wire::session::Modality;
use talkwire_core::{Client, Options, Runtime, Session, Settings};
use talkwire_server::{Config, LocalServer};

fn main() -> Result<(), Box<dyn Error>> {
    let (url, server) = match std::env::args().skip_while(|arg| arg != "--url").nth(1) {
        Some(url) => (url, None),
        None => {
            let server = LocalServer::start(Config::new())?;
            (server.url().to_owned(), Some(server))
        }
    };
    Runtime::shared()?.block_on(chat(&url))?;
    if let Some(server) = server {
        server.stop();
    }
    Ok(())
}

async fn chat(url: &str) -> Result<(), Box<dyn Error>> {
    let session = Client::new().url(url).connect(Options::default()).await?;
    let settings = Settings::new()
        .modality(Modality::Text)
        .instructions("You are a friendly assistant. Be brief.");
    session.update(settings)?.await?;
    for question in ["Hello!", "What can you do?"] {
        println!("customer: {question}");
        session.send_text(question)?;
        session.respond(None)?;
        answer(&session).await?;
    }
    session.close();
    let end = session.closed().await;
    println!("end: {}", end.message);
    if end.expected {
        Ok(())
    } else {
        Err(end.to_error().into())
    }
}

/// Prints the deltas of one answer.
async fn answer(session: &Session) -> Result<(), Box<dyn Error>> {
    print!("agent: ");
    while let Some(event) = session.next().await {
        match event.name() {
            "response.output_text.delta" => {
                print!("{}", event.text().unwrap_or_default());
                std::io::stdout().flush()?;
            }
            "error" => return Err(event.text().unwrap_or_default().into()),
            "response.done" => {
                println!();
                return Ok(());
            }
            _ => {}
        }
    }
    Err("the session ended before the answer".into())
}
