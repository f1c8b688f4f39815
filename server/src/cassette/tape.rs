//! The files of a cassette.
//!
//! A cassette is a directory. Session N (from 1) is `000N.jsonl`, a line for each frame, and the
//! audio of each direction in WAV files beside it, a new one whenever the format changes. A frame
//! stands in its line byte for byte, as a string, with a mark in place of each piece of audio. So
//! a tape can be read, listened to, and put together again exactly.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use talkwire_core::audio::format::Format;
use talkwire_core::dialect::Dialect;
use talkwire_core::error::{Error, Kind, Result};
use talkwire_core::wire::audio;
use talkwire_core::wire::envelope::Envelope;

use crate::redact::{self, Formats, Redactor};
use crate::scan;

/// Stands in a frame where audio was.
const MARK: &str = "<audio>";
/// Bytes before the samples in the WAV files written here.
const WAV_HEAD_BYTES: usize = 44;
/// A tape longer than this is refused: nobody records a gigabyte of text.
const MAX_TAPE_BYTES: u64 = 1 << 30;

/// Who sent something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Side {
    Client,
    Server,
}

/// One line of a tape.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Line {
    /// Milliseconds since the upgrade was answered.
    pub(super) t_ms: u64,
    #[serde(flatten)]
    pub(super) beat: Beat,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Beat {
    /// The upgrade was accepted. The first line, unless it was refused.
    Opened {
        request: Value,
        subprotocol: Option<String>,
    },
    /// It was refused. The only line.
    Refused {
        request: Value,
        status: u16,
        body: String,
    },
    /// A text frame.
    Text {
        from: Side,
        frame: String,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        audio: Vec<Piece>,
    },
    /// A binary frame.
    Binary { from: Side, base64: String },
    /// A close frame; without a code if it had none.
    Closed {
        from: Side,
        code: Option<u16>,
        reason: String,
    },
    /// The connection went away without one.
    Lost { from: Side },
}

/// A piece of audio in a WAV file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Piece {
    file: String,
    /// First byte, counted from the first sample.
    at: u64,
    bytes: u64,
}

/// Writes one session.
pub(super) struct Tape {
    dir: PathBuf,
    stem: String,
    lines: File,
    began: Instant,
    redactor: Redactor,
    dialect: std::sync::Arc<Dialect>,
    formats: Formats,
    sounds: [Option<Sound>; 2],
    files: usize,
}

impl Tape {
    /// Makes the files of session `number`.
    pub(super) fn new(
        dir: &Path,
        number: u64,
        redactor: Redactor,
        dialect: std::sync::Arc<Dialect>,
    ) -> Result<Self> {
        let stem = format!("{number:04}");
        let path = dir.join(format!("{stem}.jsonl"));
        let lines = File::create_new(&path).map_err(|e| unwritten(&path, &e))?;
        Ok(Self {
            dir: dir.to_owned(),
            stem,
            lines,
            began: Instant::now(),
            redactor,
            formats: Formats::new(&dialect),
            dialect,
            sounds: [None, None],
            files: 0,
        })
    }

    pub(super) fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    /// Writes a line.
    pub(super) fn write(&mut self, beat: Beat) -> Result<()> {
        let since = self.began.elapsed().as_millis();
        let t_ms = u64::try_from(since).unwrap_or(u64::MAX);
        let line = serde_json::to_string(&Line { t_ms, beat }).expect("lines are JSON") + "\n";
        self.lines
            .write_all(line.as_bytes())
            .map_err(|e| unwritten(&self.dir.join(&self.stem), &e))
    }

    /// Writes a text frame: its audio into the WAV file, its secrets nowhere.
    pub(super) fn text(&mut self, from: Side, raw: &str) -> Result<()> {
        let name = Envelope::parse(raw).map(|e| e.name().to_owned());
        let name = name.unwrap_or_default();
        let mut pieces = Vec::new();
        let mut failed = None;
        // A frame that says the mark itself keeps its audio inside.
        let is_plain = raw.contains(MARK);
        let frame = scan::rewrite(raw, |text| {
            if !is_plain && redact::is_audio(&name, text) {
                match self.keep(from, text.raw) {
                    Ok(piece) => {
                        pieces.push(piece?);
                        return Some(format!("\"{MARK}\""));
                    }
                    Err(e) => failed = Some(e),
                }
            }
            self.redactor.secret(text)
        });
        if let Some(error) = failed {
            return Err(error);
        }
        if from == Side::Server {
            self.formats.learn(&name, raw, &self.dialect);
        }
        let frame = frame.unwrap_or_else(|| self.redactor.line(raw));
        let audio = pieces;
        self.write(Beat::Text { from, frame, audio })
    }

    /// Puts audio into a WAV file. `None` for what would not come back byte for byte.
    fn keep(&mut self, from: Side, base64: &str) -> Result<Option<Piece>> {
        let format = match from {
            Side::Client => self.formats.input,
            Side::Server => self.formats.output,
        };
        let Ok(bytes) = audio::decode(base64) else {
            return Ok(None);
        };
        let is_whole = bytes.len() % format.sample_bytes() == 0;
        if bytes.is_empty() || !is_whole || audio::encode(&bytes) != base64 {
            return Ok(None);
        }
        let slot = from as usize;
        if self.sounds[slot]
            .as_ref()
            .is_none_or(|s| s.format != format)
        {
            self.files += 1;
            let (stem, side) = (&self.stem, ["client", "server"][slot]);
            let name = match self.files {
                1 | 2 => format!("{stem}.{side}.wav"),
                more => format!("{stem}.{side}-{more}.wav"),
            };
            self.sounds[slot] = Some(Sound::new(&self.dir, name, format)?);
        }
        let sound = self.sounds[slot].as_mut().expect("it was just made");
        sound.add(&bytes).map(Some)
    }
}

fn unwritten(path: &Path, error: &std::io::Error) -> Error {
    let message = format!("{}: {error}", path.display());
    Error::new(Kind::Io, message)
}

/// A WAV file that grows.
struct Sound {
    name: String,
    path: PathBuf,
    file: File,
    format: Format,
    bytes: u64,
}

impl Sound {
    fn new(dir: &Path, name: String, format: Format) -> Result<Self> {
        let path = dir.join(&name);
        let mut file = File::create_new(&path).map_err(|e| unwritten(&path, &e))?;
        file.write_all(&head(format, 0))
            .map_err(|e| unwritten(&path, &e))?;
        Ok(Self {
            name,
            path,
            file,
            format,
            bytes: 0,
        })
    }

    fn add(&mut self, bytes: &[u8]) -> Result<Piece> {
        let piece = Piece {
            file: self.name.clone(),
            at: self.bytes,
            bytes: bytes.len() as u64,
        };
        self.file
            .write_all(bytes)
            .map_err(|e| unwritten(&self.path, &e))?;
        self.bytes += bytes.len() as u64;
        Ok(piece)
    }
}

impl Drop for Sound {
    fn drop(&mut self) {
        // Without its true length the file can still be replayed, and most players play it.
        let head = head(self.format, self.bytes);
        if self.file.seek(SeekFrom::Start(0)).is_ok() {
            let _ = self.file.write_all(&head);
        }
    }
}

/// The head of a WAV file with so many bytes of samples.
fn head(format: Format, bytes: u64) -> [u8; WAV_HEAD_BYTES] {
    let (tag, sample) = match format {
        Format::Alaw => (6_u16, 1_u16),
        Format::Mulaw => (7, 1),
        _ => (1, 2),
    };
    let bytes = u32::try_from(bytes).unwrap_or(u32::MAX - 36);
    let rate = format.rate_hz();
    let fields: [&[u8]; 13] = [
        b"RIFF",
        &(bytes + 36).to_le_bytes(),
        b"WAVEfmt ",
        &16_u32.to_le_bytes(),
        &tag.to_le_bytes(),
        &1_u16.to_le_bytes(),
        &rate.to_le_bytes(),
        &(rate * u32::from(sample)).to_le_bytes(),
        &sample.to_le_bytes(),
        &(sample * 8).to_le_bytes(),
        b"data",
        &bytes.to_le_bytes(),
        b"",
    ];
    let mut head = [0; WAV_HEAD_BYTES];
    head.copy_from_slice(&fields.concat());
    head
}

/// A session, read back: audio is in the frames again.
#[derive(Clone, Debug, Default)]
pub(super) struct Reel {
    pub(super) lines: Vec<Line>,
}

/// Reads the sessions of a cassette, in their order: a directory, or one `.jsonl` file of it.
pub(super) fn read(path: &Path) -> Result<Vec<Reel>> {
    let unreadable = |e| unwritten(path, &e);
    if path.is_file() {
        return Ok(vec![read_one(path)?]);
    }
    let mut tapes = Vec::new();
    for entry in std::fs::read_dir(path).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        tapes.extend((path.extension().is_some_and(|e| e == "jsonl")).then_some(path));
    }
    if tapes.is_empty() {
        let message = format!("{}: no session was recorded there", path.display());
        return Err(Error::new(Kind::Config, message));
    }
    tapes.sort();
    tapes.iter().map(|path| read_one(path)).collect()
}

fn read_one(path: &Path) -> Result<Reel> {
    let size = std::fs::metadata(path).map_err(|e| unwritten(path, &e))?;
    if size.len() > MAX_TAPE_BYTES {
        let message = format!("{}: larger than 1 GiB", path.display());
        return Err(Error::new(Kind::Config, message));
    }
    let text = std::fs::read_to_string(path).map_err(|e| unwritten(path, &e))?;
    let dir = path.parent().unwrap_or_else(|| Path::new("."));
    let mut sounds = BTreeMap::new();
    let mut lines = Vec::new();
    for (number, text) in text.lines().enumerate() {
        let wrong = |why: String| {
            let message = format!("{}:{}: {why}", path.display(), number + 1);
            Error::new(Kind::Config, message)
        };
        let mut line: Line = serde_json::from_str(text).map_err(|e| wrong(e.to_string()))?;
        if let Beat::Text { frame, audio, .. } = &mut line.beat
            && !audio.is_empty()
        {
            *frame = whole(frame, audio, dir, &mut sounds).map_err(wrong)?;
            audio.clear();
        }
        lines.push(line);
    }
    Ok(Reel { lines })
}

/// Puts the audio back where its marks are.
fn whole(
    frame: &str,
    pieces: &[Piece],
    dir: &Path,
    sounds: &mut BTreeMap<String, Vec<u8>>,
) -> std::result::Result<String, String> {
    let mut texts = Vec::new();
    for piece in pieces {
        // A file name of a tape must not lead out of its directory.
        if Path::new(&piece.file).components().count() != 1 || piece.file.starts_with('.') {
            return Err(format!("`{}` is no file of a cassette", piece.file));
        }
        if !sounds.contains_key(&piece.file) {
            let path = dir.join(&piece.file);
            let bytes = std::fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
            sounds.insert(piece.file.clone(), bytes);
        }
        let start = usize::try_from(piece.at).ok();
        let start = start.and_then(|at| at.checked_add(WAV_HEAD_BYTES));
        let end = start.zip(usize::try_from(piece.bytes).ok());
        let span = end.and_then(|(start, bytes)| Some(start..start.checked_add(bytes)?));
        let bytes = span.and_then(|span| sounds[&piece.file].get(span));
        let bytes = bytes.ok_or_else(|| format!("`{}` is shorter than the tape", piece.file))?;
        texts.push(audio::encode(bytes));
    }
    let mut texts = texts.into_iter();
    let whole = scan::rewrite(frame, |text| {
        (text.raw == MARK).then(|| texts.next().map(|text| format!("\"{text}\"")))?
    });
    let whole = whole.ok_or("the frame is no JSON object")?;
    match texts.next() {
        Some(_) => Err("there is more audio than the frame has room for".to_owned()),
        None => Ok(whole),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(test: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("tape-{test}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).expect("a folder");
        dir
    }

    fn tape(dir: &Path) -> Tape {
        let redactor = Redactor::new(["hunter2".to_owned()]);
        Tape::new(dir, 1, redactor, Dialect::default_dialect()).expect("files")
    }

    #[test]
    fn frames_come_back_byte_for_byte_with_their_audio() {
        let dir = folder("bytes");
        let frames = [
            r#"{ "type":"response.output_audio.delta", "delta" : "AAECAw==","n":1.0}"#.to_owned(),
            // Not whole samples, and not the usual padding: they stay inside.
            r#"{"type":"response.output_audio.delta","delta":"AAEC"}"#.to_owned(),
            r#"{"type":"response.output_audio.delta","delta":"AAECAw"}"#.to_owned(),
            r#"{"type":"response.output_text.delta","delta":"<audio>"}"#.to_owned(),
            r#"{"type":"conversation.item.retrieved","item":{"content":[{"audio":"AAA="},{"audio":"AQE="}]}}"#.to_owned(),
            "no JSON at all".to_owned(),
        ];
        let mut writer = tape(&dir);
        for frame in &frames {
            writer.text(Side::Server, frame).expect("written");
        }
        drop(writer);
        let reels = read(&dir).expect("read");
        let back: Vec<_> = reels[0].lines.iter().map(|line| &line.beat).collect();
        for (beat, frame) in back.iter().zip(&frames) {
            assert!(
                matches!(beat, Beat::Text { frame: f, .. } if f == frame),
                "{beat:?}"
            );
        }
        assert_eq!(back.len(), frames.len());
        let wav = std::fs::read(dir.join("0001.server.wav")).expect("a file");
        assert_eq!(&wav[44..], [0, 1, 2, 3, 0, 0, 1, 1]);
        assert_eq!(wav[40..44], 8_u32.to_le_bytes());
    }

    #[test]
    fn secrets_are_not_on_tape() {
        let dir = folder("secrets");
        let mut writer = tape(&dir);
        let raw = r#"{"type":"session.update","session":{"tools":[{"authorization":"Bearer x9"}],"instructions":"hunter2"}}"#;
        writer.text(Side::Client, raw).expect("written");
        writer
            .text(Side::Client, "hunter2, no JSON")
            .expect("written");
        let text = std::fs::read_to_string(dir.join("0001.jsonl")).expect("a file");
        assert!(!text.contains("hunter2") && !text.contains("x9"), "{text}");
    }

    #[test]
    fn a_damaged_tape_is_refused_with_its_line() {
        let dir = folder("damaged");
        let path = dir.join("0001.jsonl");
        for (text, why) in [
            ("nonsense", ":1:"),
            (
                r#"{"t_ms":0,"kind":"text","from":"server","frame":"{\"audio\":\"<audio>\"}","audio":[{"file":"../x","at":0,"bytes":1}]}"#,
                "no file of a cassette",
            ),
            (
                r#"{"t_ms":0,"kind":"text","from":"server","frame":"{\"audio\":\"<audio>\"}","audio":[{"file":"none.wav","at":0,"bytes":1}]}"#,
                "none.wav",
            ),
        ] {
            std::fs::write(&path, text).expect("written");
            let error = read(&dir).expect_err("refused");
            assert!(error.message().contains(why), "{error}");
        }
        assert!(read(&dir.join("nowhere")).is_err());
    }
}
