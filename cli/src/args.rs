//! The command line.

use std::path::PathBuf;

use clap::{ArgGroup, Args as Group, Parser, Subcommand, ValueEnum};
use talkwire_core::dialect::Dialect;
use talkwire_core::transcript::Form;

/// Realtime voice agents from the command line.
#[derive(Debug, Parser)]
#[command(name = "talkwire", version, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a local realtime server
    Serve(Serve),
    /// Make one call to a realtime server
    Call(Call),
    /// Hear and see one spoken call on a local server; needs no account and no network
    Demo(Demo),
    /// Pass sessions on to a server and put them on tape
    Record(Record),
    /// Serve sessions from a tape
    Replay(Replay),
    /// Ask a server for everything and report which rules of the protocol it breaks
    CheckServer(CheckServer),
    /// Serve a client and report which rules of the protocol it breaks
    CheckClient(CheckClient),
}

/// `talkwire serve`.
#[derive(Debug, Group)]
pub(crate) struct Serve {
    /// Address and port to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:0")]
    pub(crate) listen: String,
    /// Allow an address that other machines can reach
    #[arg(long)]
    pub(crate) allow_remote: bool,
    // The default is whatever the library says.
    #[arg(long, value_name = "NAME|FILE", help = profile_help())]
    pub(crate) profile: Option<String>,
    /// Script to follow (YAML)
    #[arg(long, value_name = "FILE")]
    pub(crate) script: Option<PathBuf>,
    /// What answers: echo, loop, script or http:URL; default: script with a script that has turns, else echo
    #[arg(long, value_name = "NAME")]
    pub(crate) brain: Option<String>,
    /// What hears: script, dtmf, none, exec:COMMAND or http:URL; default: script
    #[arg(long, value_name = "NAME")]
    pub(crate) ears: Option<String>,
    /// What speaks: tone, wav, dtmf, exec:COMMAND or http:URL; default: wav with a script, else tone
    #[arg(long, value_name = "NAME")]
    pub(crate) voice: Option<String>,
    /// Faults to make (YAML or JSON); may be repeated
    #[arg(long, value_name = "FILE")]
    pub(crate) fault: Vec<PathBuf>,
    /// The only credential to accept; without it any or none is accepted
    #[arg(long, value_name = "KEY")]
    pub(crate) api_key: Option<String>,
    /// Serve wss; needs --cert and --key
    #[arg(long, requires = "cert", requires = "key")]
    pub(crate) tls: bool,
    /// Certificate chain (PEM)
    #[arg(long, value_name = "FILE", requires = "tls")]
    pub(crate) cert: Option<PathBuf>,
    /// Private key of the certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "tls")]
    pub(crate) key: Option<PathBuf>,
    /// How fast answers are sent
    #[arg(long, value_name = "PACING")]
    pub(crate) pacing: Option<Pacing>,
    /// Seconds a session lives
    #[arg(long, value_name = "SECONDS")]
    pub(crate) lifetime: Option<u64>,
    /// Sessions at once; default: the limit of the dialect
    #[arg(long, value_name = "NUMBER", value_parser = at_least_one)]
    pub(crate) max_sessions: Option<usize>,
    /// Seed of identifiers and of the chance in faults; default: another one at each start
    #[arg(long, value_name = "NUMBER")]
    pub(crate) seed: Option<u64>,
    /// Write what each session did to a file in this directory: JSON lines without keys and audio
    #[arg(long, value_name = "DIR")]
    pub(crate) journal: Option<PathBuf>,
    /// Open a port of 127.0.0.1 for looking into the server and steering it; without a number a
    /// free one
    #[arg(long, value_name = "PORT", num_args = 0..=1, default_missing_value = "0")]
    pub(crate) control: Option<u16>,
}

fn profile_help() -> String {
    let names: Vec<_> = Dialect::names().collect();
    let default = Dialect::default_dialect();
    format!(
        "Dialect to speak: {}, or the path of a JSON table; default: {}",
        names.join(", "),
        default.name()
    )
}

/// A server for nobody would refuse every call.
fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("a server needs room for one session at least".to_owned()),
        Ok(number) => Ok(number),
        Err(error) => Err(error.to_string()),
    }
}

/// An agent gives no answer to nothing.
fn words(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("the text is empty: there is nothing to say".to_owned()),
        _ => Ok(text.to_owned()),
    }
}

/// A transcript is written in the form that its name ends with.
fn transcript(path: &str) -> Result<PathBuf, String> {
    let form = Form::of_path(path.as_ref());
    form.map(|_| path.into())
        .map_err(|e| e.message().to_owned())
}

/// How fast the local server sends answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Pacing {
    /// As fast as the client reads
    Instant,
    /// At the speed of speech
    Realtime,
}

/// `talkwire call`.
#[derive(Debug, Group)]
#[command(group(ArgGroup::new("said").required(true).args(["audio", "text"])))]
pub(crate) struct Call {
    /// Server to call: ws:// or wss://
    #[arg(long)]
    pub(crate) url: String,
    /// Environment variable that holds the credential; default: that of the
    /// dialect, except to a server on this machine, which gets a credential only if named here
    #[arg(long, value_name = "NAME")]
    pub(crate) api_key_env: Option<String>,
    /// Dialect of the server: a built-in name, or the path of a JSON table
    #[arg(long, value_name = "NAME|FILE")]
    pub(crate) dialect: Option<String>,
    /// Model; a short name is completed by --folder
    #[arg(long)]
    pub(crate) model: Option<String>,
    /// Folder of the model
    #[arg(long)]
    pub(crate) folder: Option<String>,
    /// Say this file: WAV, PCM16, 8 to 48 kHz, mono or stereo
    #[arg(long, value_name = "IN.WAV")]
    pub(crate) audio: Option<PathBuf>,
    /// Write this text
    #[arg(long, value_parser = words)]
    pub(crate) text: Option<String>,
    /// Write what the agent said to this file: WAV, PCM16 mono
    #[arg(long, value_name = "OUT.WAV")]
    pub(crate) save: Option<PathBuf>,
    /// Record both sides as they are heard on the line: WAV, customer left and agent right, and notes
    /// in NAME.json beside it; needs --audio at the speed of speech
    #[arg(long, value_name = "CALL.WAV", conflicts_with = "text")]
    pub(crate) record: Option<PathBuf>,
    /// Write down who said what: .json, .vtt or .srt
    #[arg(long, value_name = "FILE", value_parser = transcript)]
    pub(crate) transcript: Option<PathBuf>,
    /// Send at the speed of speech and listen to the answer, or send as fast as possible and take what
    /// comes
    #[arg(long, value_enum, default_value_t = Pace::Real)]
    pub(crate) pace: Pace,
    /// Certificates to trust beside those of the system (PEM)
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) show: Show,
}

/// How fast audio is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Pace {
    /// At the speed of speech
    Real,
    /// As fast as possible
    Max,
}

/// `talkwire demo`.
#[derive(Debug, Group)]
pub(crate) struct Demo {
    /// Where to put recording, transcripts, events and picture
    #[arg(long, value_name = "DIR", default_value = "talkwire-demo")]
    pub(crate) out: PathBuf,
    /// Language of the call; default ru, with --live en
    #[arg(long)]
    pub(crate) lang: Option<Lang>,
    /// Recognise and speak with programs that are installed instead of with recordings
    #[arg(long)]
    pub(crate) live: bool,
    /// Seconds a session of the server lives: the call goes on over the next one
    #[arg(long, value_name = "SECONDS", conflicts_with = "live", value_parser = clap::value_parser!(u64).range(4..))]
    pub(crate) lifetime: Option<u64>,
    #[command(flatten)]
    pub(crate) show: Show,
}

/// Language of the demo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Lang {
    /// Russian
    Ru,
    /// English
    En,
}

/// `talkwire record`.
#[derive(Debug, Group)]
pub(crate) struct Record {
    /// Server to pass sessions on to: ws:// or wss://
    #[arg(long, value_name = "URL")]
    pub(crate) upstream: String,
    /// Directory of the cassette; sessions that are there already stay
    #[arg(long, value_name = "DIR", default_value = "talkwire-cassette")]
    pub(crate) out: PathBuf,
    /// Dialect that says how audio is to be read: a built-in name, or the path of a JSON table
    #[arg(long, value_name = "NAME|FILE")]
    pub(crate) dialect: Option<String>,
    /// Certificates to trust beside those of the system (PEM)
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) door: Door,
}

/// `talkwire replay`.
#[derive(Debug, Group)]
pub(crate) struct Replay {
    /// Directory of a cassette, or one of its .jsonl files
    pub(crate) cassette: PathBuf,
    /// Without the pauses of the tape
    #[arg(long)]
    pub(crate) instant: bool,
    #[command(flatten)]
    pub(crate) door: Door,
}

/// Where clients come in.
#[derive(Debug, Group)]
pub(crate) struct Door {
    /// Address and port to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:0")]
    pub(crate) listen: String,
    /// Allow an address that other machines can reach
    #[arg(long)]
    pub(crate) allow_remote: bool,
}

/// `talkwire check-server`.
#[derive(Debug, Group)]
pub(crate) struct CheckServer {
    /// Server to check: ws:// or wss://
    pub(crate) url: String,
    /// Dialect that it is said to speak: a built-in name, or the path of a JSON table
    #[arg(long, value_name = "NAME|FILE")]
    pub(crate) dialect: Option<String>,
    /// Environment variable that holds the credential; default: that of the
    /// dialect, except to a server on this machine, which gets a credential only if named here
    #[arg(long, value_name = "NAME")]
    pub(crate) api_key_env: Option<String>,
    /// Model; a short name is completed by --folder
    #[arg(long)]
    pub(crate) model: Option<String>,
    /// Folder of the model
    #[arg(long)]
    pub(crate) folder: Option<String>,
    /// Certificates to trust beside those of the system (PEM)
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Seconds that an answer may take
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    pub(crate) patience: u64,
    /// Print the report as one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `talkwire check-client`.
#[derive(Debug, Group)]
pub(crate) struct CheckClient {
    /// Report after so many sessions, or when stopped
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = at_least_one)]
    pub(crate) sessions: usize,
    /// Dialect to speak: a built-in name
    #[arg(long, value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// Script to follow (YAML)
    #[arg(long, value_name = "FILE")]
    pub(crate) script: Option<PathBuf>,
    /// Print the report as one line of JSON, the last line of stdout
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) door: Door,
}

/// What is shown.
#[derive(Clone, Copy, Debug, Group)]
pub(crate) struct Show {
    /// Print the result as one line of JSON, the last line of stdout
    #[arg(long)]
    pub(crate) json: bool,
    /// Write captions to stderr although it is no terminal
    #[arg(long)]
    pub(crate) captions: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_call_says_one_thing_and_tls_needs_its_files() {
        let parse = |line: &str| Args::try_parse_from(line.split(' '));
        for bad in [
            "talkwire call --url ws://h/",
            "talkwire call --url ws://h/ --text a --audio b",
            "talkwire call --text a",
            "talkwire serve --tls",
            "talkwire serve --tls --cert c",
            "talkwire serve --cert c --key k",
            "talkwire demo --lang xx",
            "talkwire call --url ws://h/ --text a --record c.wav",
            "talkwire call --url ws://h/ --text a --transcript c.doc",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        for good in [
            "talkwire call --url ws://h/ --text a --pace max",
            "talkwire call --url ws://h/ --audio a --record c.wav --transcript c.srt",
            "talkwire serve --tls --cert c --key k",
            "talkwire serve --fault a.yaml --fault b.json --brain http://h/v1",
            "talkwire demo --lang en --json",
        ] {
            assert!(parse(good).is_ok(), "{good}");
        }
    }
}
