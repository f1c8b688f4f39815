//! A voice behind `/audio/speech`: its sound is played while it comes.

use serde_json::{Value, json};

use super::{Line, SoundReader, Speech, Voice};
use crate::io::Job;
use crate::upstream::Upstream;
use talkwire_core::wire::Map;

const WHO: &str = "voice";
const PATH: &str = "/audio/speech";
/// Where the sound of a WAV file has to begin at last.
const MAX_HEAD_BYTES: usize = 64 << 10;

/// Asks a server for the sound of each text.
#[derive(Clone, Debug)]
pub struct HttpVoice {
    upstream: Upstream,
}

impl HttpVoice {
    /// A voice at this server.
    pub fn new(upstream: Upstream) -> Self {
        Self { upstream }
    }
}

impl Voice for HttpVoice {
    fn speak(&mut self, line: &Line<'_>) -> Speech {
        if let Some(clip) = line.clip {
            return Speech::Now(clip.clone());
        }
        let upstream = &self.upstream;
        let mut body = Map::new();
        let mut put = |key: &str, value: Value| drop(body.insert(key.to_owned(), value));
        put("input", json!(line.text));
        put("response_format", json!("pcm"));
        if let Some(model) = &upstream.model {
            put("model", json!(model));
        }
        let voice = upstream.voice.as_deref().unwrap_or(line.voice);
        if !voice.is_empty() {
            put("voice", json!(voice));
        }
        body.extend(upstream.extra.clone());
        let body = Value::Object(body).to_string().into_bytes();
        let mut job = upstream.post(WHO, PATH, "application/json", body);
        (job.is_stream, job.is_sound) = (true, true);
        let reader = Reader {
            rate_hz: upstream.rate_hz,
            head: Some(Vec::new()),
            odd: None,
            has_sound: false,
        };
        Speech::Stream(Job::Http(job), Box::new(reader))
    }
}

/// Reads PCM16, or a WAV file of it from servers that give nothing else.
#[derive(Debug)]
struct Reader {
    rate_hz: u32,
    /// What came, until it is known what it is.
    head: Option<Vec<u8>>,
    /// The first half of a sample.
    odd: Option<u8>,
    has_sound: bool,
}

/// What the first bytes are.
enum Head {
    /// Not known yet.
    Short,
    /// Samples, from here on.
    Samples(usize, Option<u32>),
}

impl SoundReader for Reader {
    fn rate_hz(&self) -> u32 {
        self.rate_hz
    }

    fn read(&mut self, output: &[u8]) -> Result<Vec<i16>, String> {
        let Some(head) = &mut self.head else {
            return Ok(self.samples(output));
        };
        head.extend_from_slice(output);
        match head_of(head)? {
            Head::Short => Ok(Vec::new()),
            Head::Samples(from, rate_hz) => {
                self.rate_hz = rate_hz.unwrap_or(self.rate_hz);
                let head = self.head.take().unwrap_or_default();
                Ok(self.samples(&head[from..]))
            }
        }
    }

    fn end(&mut self) -> Result<Vec<i16>, String> {
        let head = self.head.take().unwrap_or_default();
        if head.starts_with(b"RIFF") {
            return Err(failed("its WAV file breaks off before the sound"));
        }
        let samples = self.samples(&head);
        if !self.has_sound {
            return Err(failed("it answered without sound"));
        }
        Ok(samples)
    }
}

impl Reader {
    fn samples(&mut self, bytes: &[u8]) -> Vec<i16> {
        let odd = self.odd.take();
        let all: Vec<u8> = odd.into_iter().chain(bytes.iter().copied()).collect();
        let pairs = all.chunks_exact(2);
        self.odd = pairs.remainder().first().copied();
        let samples: Vec<i16> = pairs.map(|p| i16::from_le_bytes([p[0], p[1]])).collect();
        self.has_sound |= !samples.is_empty();
        samples
    }
}

fn failed(why: &str) -> String {
    format!("the {WHO} failed: {why}")
}

fn head_of(bytes: &[u8]) -> Result<Head, String> {
    let mark = b"RIFF";
    let seen = bytes.len().min(mark.len());
    if bytes[..seen] != mark[..seen] {
        return Ok(Head::Samples(0, None));
    }
    let number = |at: usize| {
        let bytes = bytes.get(at..at + 4)?;
        Some(u32::from_le_bytes(bytes.try_into().expect("four bytes")))
    };
    let (mut at, mut rate_hz) = (12, None);
    while let Some(size) = number(at + 4) {
        match &bytes[at..at + 4] {
            b"data" => return Ok(Head::Samples(at + 8, rate_hz)),
            b"fmt " => {
                let (Some(kind), Some(rate)) = (number(at + 8), number(at + 12)) else {
                    break;
                };
                let Some(depth) = number(at + 20) else {
                    break;
                };
                // PCM of one channel, 16 bits a sample.
                if kind != 0x0001_0001 || depth >> 16 != 16 {
                    return Err(failed("its WAV file is not PCM16 mono"));
                }
                rate_hz = Some(rate);
            }
            _ => {}
        }
        at = at
            .saturating_add(8)
            .saturating_add(size as usize + size as usize % 2);
        if at > MAX_HEAD_BYTES {
            return Err(failed("its WAV file holds no sound"));
        }
    }
    Ok(Head::Short)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ears::wav_bytes;

    fn read(bytes: &[u8], size: usize) -> Result<(u32, Vec<i16>), String> {
        let mut reader = Reader {
            rate_hz: 24_000,
            head: Some(Vec::new()),
            odd: None,
            has_sound: false,
        };
        let mut samples = Vec::new();
        for output in bytes.chunks(size) {
            samples.extend(reader.read(output)?);
        }
        samples.extend(reader.end()?);
        Ok((reader.rate_hz, samples))
    }

    #[test]
    fn samples_are_read_however_their_bytes_come_and_a_wav_says_its_rate() {
        let samples = [1, -2, 300, 4];
        let raw: Vec<u8> = samples.iter().flat_map(|s: &i16| s.to_le_bytes()).collect();
        let wav = wav_bytes(16_000, &samples);
        for size in [1, 3, 100] {
            assert_eq!(read(&raw, size), Ok((24_000, samples.to_vec())));
            assert_eq!(read(&wav, size), Ok((16_000, samples.to_vec())));
        }
    }

    #[test]
    fn what_is_no_sound_is_an_error() {
        let wav = wav_bytes(16_000, &[1]);
        let mut stereo = wav.clone();
        stereo[22] = 2;
        for (bytes, part) in [
            (&b""[..], "without sound"),
            (&wav[..30], "breaks off"),
            (&wav[..44], "without sound"),
            (&stereo, "mono"),
        ] {
            let error = read(bytes, 7).expect_err(part);
            assert!(error.contains("voice") && error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_text_becomes_a_request_for_its_sound() {
        let client = talkwire_core::net::http::Client::usual().expect("fine");
        let mut upstream = Upstream::new("http://h/v1", client).expect("a URL");
        upstream.extra.insert("speed".to_owned(), json!(2));
        let body = |upstream: &Upstream, voice: &str| {
            let line = Line {
                text: "Hi \"you\"",
                clip: None,
                rate_hz: 8_000,
                voice,
            };
            let speech = HttpVoice::new(upstream.clone()).speak(&line);
            let Speech::Stream(Job::Http(job), _) = speech else {
                panic!("{speech:?}")
            };
            assert_eq!(job.request.url(), "http://h/v1/audio/speech");
            serde_json::from_slice::<Value>(job.request.body()).expect("JSON")
        };
        let expected = json!({"input": "Hi \"you\"", "response_format": "pcm", "voice": "marina",
            "speed": 2});
        assert_eq!(body(&upstream, "marina"), expected);
        upstream.voice = Some("anna".to_owned());
        assert_eq!(body(&upstream, "marina")["voice"], "anna");
        upstream.voice = Some(String::new());
        assert_eq!(body(&upstream, "marina").get("voice"), None);
    }
}
