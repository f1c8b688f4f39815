use std::collections::VecDeque;
use std::f64::consts::TAU;

use proptest::prelude::*;

use super::*;
use crate::audio::codec;
use crate::audio::dtmf::{Detector, tones};
use crate::audio::level::rms_dbfs;
use crate::audio::numbers::cases;
use crate::audio::resample::resample;

const PCM_8K: Format = Format::Pcm16 { rate_hz: 8_000 };
const HOSTS: [Format; 15] = [
    PCM_8K,
    Format::Pcm16 { rate_hz: 16_000 },
    Format::PCM16_24K,
    Format::Pcm16 { rate_hz: 44_100 },
    Format::Pcm16 { rate_hz: 48_000 },
    Format::Alaw,
    Format::WideAlaw { rate_hz: 16_000 },
    Format::WideAlaw { rate_hz: 24_000 },
    Format::WideAlaw { rate_hz: 44_100 },
    Format::WideAlaw { rate_hz: 48_000 },
    Format::Mulaw,
    Format::WideMulaw { rate_hz: 16_000 },
    Format::WideMulaw { rate_hz: 24_000 },
    Format::WideMulaw { rate_hz: 44_100 },
    Format::WideMulaw { rate_hz: 48_000 },
];
const WIRES: [Format; 4] = [Format::PCM16_24K, PCM_8K, Format::Alaw, Format::Mulaw];

fn host(format: Format) -> Options {
    Options::default().with_format(format)
}

fn ports(options: Options) -> (Port, Media) {
    open(options).expect("options that make sense")
}

fn encode(format: Format, samples: &[i16]) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec::encode_into(format, samples, &mut bytes);
    bytes
}

fn decode(format: Format, bytes: &[u8]) -> Vec<i16> {
    let mut samples = Vec::new();
    codec::decode_into(format, bytes, &mut samples);
    samples
}

/// Bytes of one format as those of another: what a chain must make of them.
fn converted(bytes: &[u8], from: Format, to: Format) -> Vec<u8> {
    let samples = decode(from, bytes);
    encode(
        to,
        &resample(&samples, from.rate_hz(), to.rate_hz()).expect("rates"),
    )
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// All that the port has to send.
fn captured(port: &mut Port, now: Instant, wire: Format) -> Vec<u8> {
    port.listen(now, true);
    std::iter::from_fn(|| port.captured(now, wire))
        .flatten()
        .collect()
}

fn pull(media: &Media, samples: usize) -> (Vec<u8>, usize) {
    let mut out = vec![0x11; samples * media.downlink().sample_bytes()];
    let given = media.pull(&mut out).expect("an open port");
    (out, given)
}

/// Pulls the real samples until there are none, topping up before each pull.
fn pull_all(port: &mut Port, media: &Media, sizes: &[usize]) -> Vec<u8> {
    let mut all = Vec::new();
    for size in sizes.iter().cycle() {
        port.top_up();
        let (out, given) = pull(media, *size);
        all.extend(&out[..given * media.downlink().sample_bytes()]);
        if given == 0 {
            return all;
        }
    }
    unreachable!("a cycle has no end")
}

fn noise(samples: usize, mut seed: u32) -> Vec<i16> {
    (0..samples)
        .map(|_| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 17) as i16 / 2
        })
        .collect()
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn what_is_pushed_is_sent_to_the_bit_however_it_is_cut(
        host_format in prop::sample::select(HOSTS.to_vec()),
        wire in prop::sample::select(WIRES.to_vec()),
        chunks in prop::collection::vec(1..2_000_usize, 1..30),
        seed in any::<u32>(),
    ) {
        let (mut port, media) = ports(host(host_format));
        let start = Instant::now();
        let bytes = encode(host_format, &noise(chunks.iter().sum(), seed));
        let (mut sent, mut rest) = (Vec::new(), &bytes[..]);
        for samples in &chunks {
            let (chunk, after) = rest.split_at(samples * host_format.sample_bytes());
            rest = after;
            prop_assert_eq!(media.push(Track::Customer, chunk), Ok(*samples));
            let frame = wire.bytes_of_ms(20) as usize;
            port.listen(start, true);
            while let Some(bytes) = port.captured(start, wire) {
                prop_assert_eq!(bytes.len() % frame, 0, "whole frames");
                prop_assert!(bytes.len() <= 10 * frame);
                sent.extend(&bytes);
            }
        }
        sent.extend(port.finish(start, wire).into_iter().flatten());
        prop_assert_eq!(sent, converted(&bytes, host_format, wire));
        prop_assert_eq!(media.stats().overrun, 0);
    }

    #[test]
    fn what_is_played_is_heard_to_the_bit_and_told_to_the_sample(
        host_format in prop::sample::select(HOSTS.to_vec()),
        wire in prop::sample::select(WIRES.to_vec()),
        parts in prop::collection::vec(prop::collection::vec(1..3_000_usize, 1..6), 1..4),
        sizes in prop::collection::vec(1..900_usize, 1..8),
    ) {
        let (mut port, media) = ports(host(host_format));
        let (mut expected, mut lengths) = (Vec::new(), Vec::new());
        for (part, chunks) in (1..).zip(&parts) {
            let samples: usize = chunks.iter().sum();
            let bytes = encode(wire, &noise(samples, part as u32));
            let mut rest = &bytes[..];
            for chunk in chunks {
                let (chunk, after) = rest.split_at(chunk * wire.sample_bytes());
                port.play(part, Bytes::copy_from_slice(chunk), wire);
                rest = after;
            }
            port.play_end(part);
            expected.extend(converted(&bytes, wire, host_format));
            lengths.push((part, samples as u64));
        }
        let all = pull_all(&mut port, &media, &sizes);
        prop_assert_eq!(all, expected);
        prop_assert_eq!(port.heard(), lengths, "each part whole");
        prop_assert_eq!(media.stats().underruns, 0);
        prop_assert_eq!(port.flush(), vec![], "nothing left to cut");
    }

    #[test]
    fn a_flush_tells_the_pulled_samples_and_nothing_of_the_rest_is_heard(
        host_format in prop::sample::select(HOSTS.to_vec()),
        wire in prop::sample::select(WIRES.to_vec()),
        first in 2_000..9_000_usize,
        second in 2_000..20_000_usize,
        sizes in prop::collection::vec(1..700_usize, 1..12),
    ) {
        let options = Options { prebuffer_ms: 0, ..host(host_format) };
        let (mut port, media) = ports(options);
        for (part, samples) in [(1, first), (2, second)] {
            port.play(part, encode(wire, &noise(samples, 9)).into(), wire);
            port.play_end(part);
        }
        let (mut real, mut told) = (0, [0, 0]);
        for size in &sizes {
            port.top_up();
            real += pull(&media, *size).1 as u64;
            for (part, samples) in port.heard() {
                prop_assert!(samples > told[part as usize - 1], "only what changed");
                told[part as usize - 1] = samples;
            }
        }
        let (from, to) = (u64::from(host_format.rate_hz()), u64::from(wire.rate_hz()));
        let length = |samples: usize| (samples as u64 * from + to / 2) / to;
        let wire_of = |host: u64, samples: usize| {
            if host >= length(samples) { samples as u64 } else { (host * to / from).min(samples as u64) }
        };
        let heard = [
            wire_of(real.min(length(first)), first),
            wire_of(real.saturating_sub(length(first)), second),
        ];
        prop_assert_eq!(told, heard);
        let cut = port.flush();
        for (part, samples) in &cut {
            prop_assert_eq!(*samples, heard[*part as usize - 1]);
        }
        prop_assert_eq!(cut.iter().any(|(part, _)| *part == 1), heard[0] < first as u64);
        prop_assert_eq!(cut.iter().any(|(part, _)| *part == 2), heard[1] < second as u64);
        port.top_up();
        prop_assert_eq!(pull(&media, 300).1, 0);
        port.play(3, encode(wire, &noise(3_000, 4)).into(), wire);
        port.play_end(3);
        prop_assert_eq!(
            pull_all(&mut port, &media, &sizes),
            converted(&encode(wire, &noise(3_000, 4)), wire, host_format)
        );
        prop_assert_eq!(port.heard(), vec![(3, 3_000)]);
    }
}

/// A tone pushed in chunks by a host with a clock of 20 ms, sent back by a server as it came,
/// pulled in chunks of the same size.
fn loop_back(options: Options, wire: Format, pushed: &[u8], chunk: usize) -> Vec<u8> {
    let (mut port, media) = ports(options);
    let sample = media.uplink().sample_bytes();
    let (mut now, mut heard) = (Instant::now(), Vec::new());
    let mut pulls = 0_usize;
    let mut rest = pushed;
    while !rest.is_empty() || media.stats().depth + media.stats().queued_ms > 0 {
        if !rest.is_empty() {
            let (piece, after) = rest.split_at((chunk * sample).min(rest.len()));
            rest = after;
            media.push(Track::Customer, piece).expect("an open port");
            now += ms(chunk as u64 * 1000 / 8_000);
            let mut sent = captured(&mut port, now, wire);
            if rest.is_empty() {
                sent.extend(port.finish(now, wire).into_iter().flatten());
            }
            port.play(1, sent.into(), wire);
            if rest.is_empty() {
                port.play_end(1);
            }
        }
        port.top_up();
        let (out, given) = pull(&media, chunk);
        heard.extend(&out[..given * sample]);
        pulls += 1;
        assert!(pulls < 100_000, "it comes to an end");
    }
    assert_eq!(media.stats().underruns, 0);
    heard
}

/// Signal to all else in dB over whole periods, by projection on the tone.
fn sinad_db(samples: &[i16], hz: f64, rate_hz: f64) -> f64 {
    let n = samples.len() as f64;
    let angle = |i: usize| TAU * hz * i as f64 / rate_hz;
    let project = |f: fn(f64) -> f64| {
        let sum: f64 = samples
            .iter()
            .enumerate()
            .map(|(i, s)| f64::from(*s) * f(angle(i)))
            .sum();
        2.0 / n * sum
    };
    let (c, s) = (project(f64::cos), project(f64::sin));
    let tone = |i: usize| c * angle(i).cos() + s * angle(i).sin();
    let rest: f64 = samples
        .iter()
        .enumerate()
        .map(|(i, x)| (f64::from(*x) - tone(i)).powi(2))
        .sum();
    let power: f64 = (0..samples.len()).map(|i| tone(i).powi(2)).sum();
    10.0 * (power / rest).log10()
}

#[test]
fn a_tone_over_a_law_comes_back_whole_and_clean_for_every_packet_size() {
    // 8 s at 1 kHz: 5 ms are 5 periods.
    let tone: Vec<i16> = (0..64_000)
        .map(|i| (8_000.0 * (TAU * 1_000.0 * f64::from(i) / 8_000.0 + 0.3).sin()) as i16)
        .collect();
    let pushed = encode(Format::Alaw, &tone);
    for wire in [Format::PCM16_24K, Format::Alaw] {
        for chunk in [80, 160, 240, 37, 163] {
            let heard = loop_back(host(Format::Alaw), wire, &pushed, chunk);
            assert_eq!(heard.len(), pushed.len(), "{chunk}: no sample is missing");
            let back = decode(Format::Alaw, &heard);
            // The filters need their length to settle at the edges.
            let middle = &back[800..back.len() - 800];
            let sinad = sinad_db(middle, 1_000.0, 8_000.0);
            assert!(sinad >= 33.0, "{wire:?}, {chunk}: {sinad:.1} dB");
            let level = rms_dbfs(&tone);
            for (i, window) in middle.chunks_exact(40).enumerate() {
                let off = (rms_dbfs(window) - level).abs();
                assert!(
                    off <= 1.0,
                    "{wire:?}, {chunk}: window {i} is {off:.2} dB off"
                );
            }
        }
    }
}

#[test]
fn digits_pass_once_and_in_order_through_every_pair_of_formats() {
    const DIGITS: &str = "159D1122*0#";
    for host_format in HOSTS {
        for wire in WIRES {
            let tones = tones(DIGITS, host_format.rate_hz()).expect("digits");
            let heard = loop_back(host(host_format), wire, &encode(host_format, &tones), 163);
            let mut detector = Detector::new(host_format.rate_hz()).expect("a rate");
            let mut digits = Vec::new();
            detector.push(&decode(host_format, &heard), &mut digits);
            let digits: String = digits.into_iter().collect();
            assert_eq!(digits, DIGITS, "{host_format:?} over {wire:?}");
        }
    }
}

#[test]
fn the_newest_sound_from_before_the_opening_is_kept() {
    let options = Options {
        preroll_ms: 1_000,
        ..host(PCM_8K)
    };
    let (mut port, media) = ports(options);
    let sound = encode(PCM_8K, &noise(8_000 * 3, 1));
    let mut now = Instant::now();
    for chunk in sound.chunks(320) {
        media.push(Track::Customer, chunk).expect("open");
        now += ms(20);
        port.listen(now, false);
    }
    media.push(Track::Customer, &[0; 160]).expect("open");
    assert_eq!(port.unsent_ms(), 1_010, "what waits in the ring as well");
    port.listen(now, false);
    let kept = captured(&mut port, now, PCM_8K);
    assert_eq!(kept[..15_840], sound[sound.len() - 15_840..]);
    assert_eq!(kept[15_840..], [0; 160]);
    assert_eq!(media.stats().preroll_dropped, 16_080);
    assert_eq!(port.unsent_ms(), 0);
}

#[test]
fn what_is_pushed_while_a_session_works_waits_for_its_next_look() {
    let (mut port, media) = ports(host(PCM_8K));
    let now = Instant::now();
    media.push(Track::Customer, &[0; 640]).expect("open");
    port.listen(now, true);
    assert_eq!(port.captured(now, PCM_8K).map(|b| b.len()), Some(640));
    media.push(Track::Customer, &[0; 640]).expect("open");
    assert_eq!(port.captured(now, PCM_8K), None);
    port.listen(now, true);
    assert_eq!(port.captured(now, PCM_8K).map(|b| b.len()), Some(640));
}

#[test]
fn a_host_that_stops_pushing_is_continued_with_silence_by_the_clock() {
    let options = Options {
        silence_max_ms: 500,
        ..host(PCM_8K)
    };
    let (mut port, media) = ports(options);
    let start = Instant::now();
    let mut sent = Vec::new();
    let mut until = |port: &mut Port, from: u64, to: u64| {
        for at in (from..to).step_by(20) {
            sent.extend(captured(port, start + ms(at), PCM_8K));
        }
        sent.len() as u64
    };
    assert_eq!(
        until(&mut port, 0, 1_000),
        0,
        "nothing before the first push"
    );
    let tone = encode(PCM_8K, &[4_000; 100]);
    media.push(Track::Customer, &tone).expect("open");
    assert_eq!(
        until(&mut port, 1_000, 1_080),
        0,
        "a pause that jitter may make"
    );
    let bytes = until(&mut port, 1_080, 3_000);
    assert_eq!(
        PCM_8K.ms_of_bytes(bytes),
        500,
        "100 samples and 500 ms in whole frames"
    );
    assert_eq!(media.stats().inserted, 4_000);
    media.push(Track::Customer, &tone).expect("open");
    let again = until(&mut port, 3_000, 4_000);
    assert!(
        again > bytes + 8_000 - 640,
        "the next stop has its own silence"
    );
    assert_eq!(&sent[..200], tone);
    assert!(sent[200..bytes as usize].iter().all(|b| *b == 0));
}

#[test]
fn a_format_that_is_acknowledged_late_loses_no_sample() {
    let (mut port, media) = ports(host(PCM_8K));
    let now = Instant::now();
    media
        .push(Track::Customer, &encode(PCM_8K, &[1_000; 250]))
        .expect("open");
    assert_eq!(captured(&mut port, now, Format::PCM16_24K).len(), 960);
    media
        .push(Track::Customer, &encode(PCM_8K, &[1_000; 250]))
        .expect("open");
    let mut rest = captured(&mut port, now, Format::Alaw);
    rest.extend(port.finish(now, Format::Alaw).into_iter().flatten());
    assert_eq!(rest.len(), 500 - 160);
}

#[test]
fn tracks_are_told_apart_and_the_chosen_one_is_sent() {
    let (customer, agent) = (noise(800, 1), noise(800, 2));
    let mixed: Vec<i16> = customer
        .iter()
        .zip(&agent)
        .map(|(a, b)| a.saturating_add(*b))
        .collect();
    let now = Instant::now();
    for tracks in [Tracks::Stereo, Tracks::Two] {
        for (send, expected) in [
            (Sent::Customer, &customer),
            (Sent::Agent, &agent),
            (Sent::Mix, &mixed),
        ] {
            let (mut port, media) = ports(Options {
                tracks,
                send,
                ..host(PCM_8K)
            });
            if tracks == Tracks::Stereo {
                let both = crate::audio::mix::stereo(&customer, &agent);
                assert_eq!(media.push(Track::Customer, &encode(PCM_8K, &both)), Ok(800));
                assert_eq!(media.push(Track::Agent, &[]), Err(Kind::Argument));
            } else {
                assert_eq!(
                    media.push(Track::Customer, &encode(PCM_8K, &customer)),
                    Ok(800)
                );
                assert_eq!(
                    media.push(Track::Agent, &encode(PCM_8K, &agent[..300])),
                    Ok(300)
                );
                assert_eq!(
                    media.push(Track::Agent, &encode(PCM_8K, &agent[300..])),
                    Ok(500)
                );
            }
            let mut sent = captured(&mut port, now, PCM_8K);
            sent.extend(port.finish(now, PCM_8K).into_iter().flatten());
            assert_eq!(decode(PCM_8K, &sent), *expected, "{tracks:?} {send:?}");
        }
    }
}

#[test]
fn a_track_that_stays_away_is_silent_in_the_mix_after_a_while() {
    let (mut port, media) = ports(Options {
        tracks: Tracks::Two,
        send: Sent::Mix,
        ..host(PCM_8K)
    });
    let customer = noise(1_600, 1);
    media
        .push(Track::Customer, &encode(PCM_8K, &customer))
        .expect("open");
    let sent = decode(PCM_8K, &captured(&mut port, Instant::now(), PCM_8K));
    assert_eq!(
        sent,
        customer[..1_600 - 480],
        "all but what may still be met"
    );
}

#[test]
fn what_is_held_is_quiet_from_the_next_pull_on() {
    for (format, hold_db, expected) in [
        (PCM_8K, Some(18.0), 1_007),
        (Format::Alaw, Some(18.0), 1_008),
        (Format::Mulaw, None, 0),
    ] {
        let (mut port, media) = ports(Options {
            hold_db,
            fade_ms: 0,
            ..host(format)
        });
        port.play(1, encode(format, &[8_000; 1_600]).into(), format);
        port.top_up();
        let loud = decode(format, &pull(&media, 1).0)[0];
        assert!((i32::from(loud) - 8_000).abs() < 200);
        port.hold(true);
        let (out, given) = pull(&media, 10);
        let quiet = i32::from(decode(format, &out)[0]);
        assert!((quiet - expected).abs() <= 30, "{format:?}: {quiet}");
        assert_eq!(given, if hold_db.is_some() { 10 } else { 0 });
        port.hold(false);
        assert_eq!(decode(format, &pull(&media, 1).0)[0], loud);
    }
}

/// A port that plays one level from its first pull on.
fn level(options: Options) -> (Port, Media) {
    let format = options.downlink;
    let (mut port, media) = ports(options);
    port.play(1, encode(format, &[8_000; 1_600]).into(), format);
    port.play_end(1);
    port.top_up();
    (port, media)
}

/// The samples of a pull, and how many are sound.
fn samples(media: &Media, wanted: usize) -> (Vec<i16>, usize) {
    let (bytes, given) = pull(media, wanted);
    (decode(media.downlink(), &bytes), given)
}

/// The largest step from one sample to the next.
fn largest_step(samples: &[i16]) -> i32 {
    let steps = samples
        .windows(2)
        .map(|pair| (i32::from(pair[0]) - i32::from(pair[1])).abs());
    steps.max().unwrap_or(0)
}

#[test]
fn a_cut_fades_within_the_next_pull_and_the_fade_counts_for_nothing() {
    for format in [PCM_8K, Format::Alaw, Format::Mulaw] {
        for (is_held, size) in [(false, 160), (true, 160), (false, 20)] {
            let (mut port, media) = level(host(format));
            port.hold(is_held);
            let (mut all, given) = samples(&media, 100);
            assert_eq!(given, 100);
            assert_eq!(port.flush(), [(1, 100)]);
            port.hold(false);
            for _ in 0..2 {
                let (more, given) = samples(&media, size);
                all.extend(more);
                assert_eq!(given, 0, "no sound");
            }
            // 5 ms are 40 samples; the codes of G.711 are 256 apart here.
            let fade = 40.min(size);
            let step = largest_step(&all[99..]);
            assert!(step <= 8_000 / fade as i32 + 260, "{format:?}: {step}");
            assert!(all[100] != 0 && all[100 + fade / 2] != 0, "it fades");
            let quiet = decode(format, &[silence(format)].repeat(format.sample_bytes()))[0];
            assert!(all[100 + size..].iter().all(|s| *s == quiet), "one pull");
            assert_eq!((media.stats().pulled, media.stats().depth), (100, 0));
            assert_eq!(port.heard(), []);
        }
    }
}

#[test]
fn what_was_silent_does_not_sound_when_it_is_cut() {
    let (mut port, media) = ports(host(PCM_8K));
    port.play(1, encode(PCM_8K, &[8_000; 300]).into(), PCM_8K);
    port.top_up();
    assert_eq!(samples(&media, 100).1, 0, "less than the prebuffer");
    port.flush();
    assert_eq!(samples(&media, 100), (vec![0; 100], 0));
}

#[test]
fn what_is_held_fades_and_comes_back_without_losing_a_sample() {
    for format in [PCM_8K, Format::Alaw, Format::Mulaw] {
        for (hold_db, given_held) in [(Some(18.0), 200), (None, 40)] {
            let (mut port, media) = level(Options {
                hold_db,
                ..host(format)
            });
            let mut all = samples(&media, 100).0;
            let mut real = 100;
            for (is_held, expected) in [(true, given_held), (false, 200)] {
                port.hold(is_held);
                let (more, given) = samples(&media, 200);
                all.extend(more);
                assert_eq!(given, expected);
                real += given as u64;
            }
            let step = largest_step(&all);
            assert!(step <= 200 + 260, "{format:?} {hold_db:?}: {step}");
            assert!(all[290] < 1_100 && all[499] == all[0], "quiet, then loud");
            assert_eq!(port.heard(), [(1, real)]);
            assert_eq!(media.stats().pulled, real);
        }
    }
}

#[test]
fn the_latency_of_a_device_is_taken_off_and_comes_back_with_time() {
    let options = Options {
        latency_ms: 100,
        ..host(PCM_8K)
    };
    let (mut port, media) = ports(options);
    port.play(7, encode(PCM_8K, &[5; 1_600]).into(), PCM_8K);
    port.top_up();
    pull(&media, 1_000);
    assert_eq!(port.heard(), [(7, 200)]);
    assert_eq!(media.position(), Some(Position { part: 7, ms: 25 }));
    media.set_latency_ms(200);
    assert_eq!(port.heard(), [], "it takes nothing back");
    pull(&media, 600);
    port.play_end(7);
    port.top_up();
    assert_eq!(port.heard(), []);
    pull(&media, 400);
    assert_eq!(port.heard(), [(7, 400)]);
    pull(&media, 5_000);
    assert_eq!(port.heard(), [(7, 1_600)]);
    assert_eq!(port.heard(), []);
}

#[test]
fn a_host_that_queues_tells_what_arrived_and_nothing_else_counts() {
    let (mut port, media) = ports(Options {
        confirm: true,
        // The second part follows in the very pull that the cut fades in.
        fade_ms: 0,
        ..host(PCM_8K)
    });
    for part in [1, 2] {
        port.play(part, encode(PCM_8K, &[5; 1_600]).into(), PCM_8K);
        port.play_end(part);
        port.top_up();
        pull(&media, 1_000);
        assert_eq!(port.heard(), []);
        let before = 1_000 * (part - 1);
        assert_eq!(media.played(before + 300), Ok(()));
        assert_eq!(media.played(before), Ok(()), "an old mark");
        assert_eq!(port.heard(), [(part, 300)]);
        media.played(before + 400).expect("confirmed");
        assert_eq!(port.flush(), [(part, 400)]);
        assert_eq!(port.heard(), []);
    }
    let (_port, media) = ports(host(PCM_8K));
    assert_eq!(media.played(1), Err(Kind::Argument));
}

#[test]
fn a_part_that_came_to_its_end_but_was_not_ended_is_cut_where_it_is() {
    let (mut port, media) = ports(host(PCM_8K));
    port.play(1, encode(PCM_8K, &[5; 800]).into(), PCM_8K);
    port.top_up();
    pull(&media, 2_000);
    assert_eq!(port.flush(), [(1, 800)]);
    assert_eq!(port.flush(), []);
}

#[test]
fn too_much_that_waits_is_dropped_and_counted() {
    let (mut port, media) = ports(Options {
        queue_max_ms: 1_000,
        ..host(PCM_8K)
    });
    for _ in 0..15 {
        port.play(1, encode(PCM_8K, &[5; 800]).into(), PCM_8K);
    }
    port.play_end(1);
    assert_eq!(media.stats().play_dropped_ms, 500);
    assert_eq!(pull_all(&mut port, &media, &[160]).len(), 16_000);
    assert_eq!(port.heard(), [(1, 8_000)]);
}

#[test]
fn wrong_calls_are_errors_and_fill_the_output() {
    let (port, media) = ports(host(Format::Alaw));
    assert_eq!(media.push(Track::Agent, &[0xD5]), Err(Kind::Argument));
    assert_eq!(
        media.push_samples(Track::Customer, &[1]),
        Err(Kind::Argument)
    );
    let mut out = [1; 4];
    assert_eq!(media.pull_samples(&mut out), Err(Kind::Argument));
    assert_eq!(out, [0; 4]);
    let mut bytes = [1; 4];
    assert_eq!(media.pull(&mut bytes), Ok(0));
    assert_eq!(bytes, [0xD5; 4]);
    drop(port);
    assert_eq!(media.push(Track::Customer, &[0xD5]), Err(Kind::Closed));
    bytes.fill(1);
    assert_eq!(media.pull(&mut bytes), Err(Kind::Closed));
    assert_eq!(bytes, [0xD5; 4]);
    let (_port, media) = ports(host(PCM_8K));
    assert_eq!(media.push(Track::Customer, &[0; 3]), Err(Kind::Argument));
    assert_eq!(media.pull(&mut [0; 3]), Err(Kind::Argument));
}

#[test]
fn samples_and_bytes_are_two_ways_to_the_same() {
    let (mut port, media) = ports(host(PCM_8K));
    let samples = noise(2_000, 3);
    assert_eq!(media.push_samples(Track::Customer, &samples), Ok(2_000));
    let sent = port.finish(Instant::now(), PCM_8K).expect("sound");
    assert_eq!(decode(PCM_8K, &sent), samples);
    port.play(1, sent, PCM_8K);
    port.play_end(1);
    port.top_up();
    let mut out = vec![1; 2_100];
    assert_eq!(media.pull_samples(&mut out), Ok(2_000));
    assert_eq!(out[..2_000], samples);
    assert_eq!(out[2_000..], [0; 100]);
}

#[test]
fn the_echo_of_the_agent_does_not_reach_the_server_and_a_louder_voice_does() {
    for mute in [true, false] {
        let gate = EchoGate {
            mute,
            ..EchoGate::default()
        };
        let (mut port, media) = ports(Options {
            echo_gate: Some(gate),
            ..host(Format::Alaw)
        });
        port.play(
            1,
            encode(Format::Alaw, &noise(16_000, 5)).into(),
            Format::Alaw,
        );
        port.play_end(1);
        let (start, mut echoes, mut told) = (Instant::now(), VecDeque::new(), Vec::new());
        // What is pulled comes back 100 ms later and 20 dB weaker; in the second second somebody speaks.
        for tick in 0..150 {
            port.top_up();
            echoes.push_back(decode(Format::Alaw, &pull(&media, 160).0));
            let is_voice = (50..60).contains(&tick);
            let scale = if is_voice { 2 } else { 10 };
            let echo = if tick < 5 {
                vec![0; 160]
            } else {
                echoes.pop_front().expect("pulled")
            };
            let said: Vec<i16> = echo.iter().map(|sample| sample / scale).collect();
            media
                .push(Track::Customer, &encode(Format::Alaw, &said))
                .expect("open");
            let sent = decode(PCM_8K, &captured(&mut port, start + ms(20 * tick), PCM_8K));
            told.extend(port.echo().map(|is_echo| (tick, is_echo)));
            let is_silent = rms_dbfs(&sent) <= -60.0;
            let hang = (60..70).contains(&tick);
            if (7..104).contains(&tick) && !hang {
                assert_eq!(is_silent, mute && !is_voice, "{tick}: {}", rms_dbfs(&sent));
            }
        }
        assert_eq!(told.first(), Some(&(0, true)));
        assert_eq!(told.get(1), Some(&(50, false)));
        assert!(matches!(told.get(2), Some((90, true))), "{told:?}");
    }
}

#[test]
fn noise_fills_every_gap_and_is_never_taken_for_sound() {
    for format in [PCM_8K, Format::Alaw, Format::Mulaw] {
        let (mut port, media) = ports(Options {
            comfort_noise_dbfs: Some(-45.0),
            hold_db: None,
            fade_ms: 0,
            ..host(format)
        });
        let is_noise = |bytes: &[u8]| (rms_dbfs(&decode(format, bytes)) + 45.0).abs() < 1.0;
        let said = encode(format, &noise(800, 3));
        let (before, given) = pull(&media, 800);
        assert!(given == 0 && is_noise(&before), "before the first sound");
        port.play(1, said.clone().into(), format);
        port.top_up();
        let (dry, given) = pull(&media, 1_600);
        let (sound, rest) = dry.split_at(said.len());
        assert_eq!((given, sound), (800, &said[..]));
        assert!(is_noise(rest), "after it ran dry");
        port.play(1, said.clone().into(), format);
        port.play_end(1);
        port.top_up();
        port.hold(true);
        let (paused, given) = pull(&media, 800);
        assert!(given == 0 && is_noise(&paused), "while it is paused");
        port.hold(false);
        assert_eq!(pull_all(&mut port, &media, &[160]), said);
        assert_eq!(port.heard(), [(1, 1_600)]);
        let stats = media.stats();
        assert_eq!(
            (stats.pulled, stats.silence),
            (1_600, 800 + 800 + 800 + 160)
        );
    }
}

#[test]
fn a_pull_of_samples_has_noise_to_its_end() {
    let (mut port, media) = ports(Options {
        comfort_noise_dbfs: Some(-45.0),
        ..host(PCM_8K)
    });
    port.play(1, encode(PCM_8K, &noise(100, 3)).into(), PCM_8K);
    port.play_end(1);
    port.top_up();
    let mut out = vec![0; 3_300];
    assert_eq!(media.pull_samples(&mut out), Ok(100));
    for part in out[100..].chunks(800) {
        assert!((rms_dbfs(part) + 45.0).abs() < 1.0);
    }
    assert_eq!(media.stats().silence, 3_200);
    drop(port);
    assert_eq!(media.pull_samples(&mut out), Err(Kind::Closed));
    assert_eq!(out, vec![0; 3_300]);
}

#[test]
fn what_waits_is_still_heard_when_the_session_is_gone() {
    let (mut port, media) = ports(host(PCM_8K));
    port.play(1, encode(PCM_8K, &[5; 800]).into(), PCM_8K);
    port.play_end(1);
    port.top_up();
    drop(port);
    assert_eq!(media.pull(&mut [0; 1_600]), Ok(800));
    assert_eq!(media.pull(&mut [0; 2]), Err(Kind::Closed));
}

#[test]
fn a_port_that_does_nothing_is_looked_at_less_often() {
    let (mut port, media) = ports(host(PCM_8K));
    let start = Instant::now();
    assert_eq!(port.pause(start), ms(20));
    assert_eq!(port.pause(start + ms(1_000)), ms(100));
    media.push(Track::Customer, &[0; 320]).expect("open");
    captured(&mut port, start + ms(1_100), PCM_8K);
    assert_eq!(port.pause(start + ms(1_100)), ms(20));
    // 3 s of silence are being sent, then a second passes.
    captured(&mut port, start + ms(4_000), PCM_8K);
    assert_eq!(port.pause(start + ms(4_000)), ms(20));
    captured(&mut port, start + ms(9_000), PCM_8K);
    assert_eq!(port.pause(start + ms(9_000)), ms(100));
    port.play(1, Bytes::from_static(&[0; 320]), PCM_8K);
    assert_eq!(port.pause(start + ms(9_000)), ms(20));
}

/// Samples that tell their own place and are never 0.
fn numbered(places: std::ops::Range<i16>) -> Bytes {
    let samples: Vec<i16> = places.map(|place| place + 1).collect();
    encode(PCM_8K, &samples).into()
}

#[test]
fn a_recording_gets_what_was_pushed_and_what_was_pulled_with_its_silence() {
    let (mut port, media) = ports(host(PCM_8K));
    let _ = pull(&media, 100);
    port.record(true);
    let said: Vec<i16> = (1..=300).collect();
    assert_eq!(media.push_samples(Track::Customer, &said), Ok(300));
    port.play(1, numbered(0..250), PCM_8K);
    port.play_end(1);
    port.top_up();
    let out: Vec<u8> = (0..4).flat_map(|_| pull(&media, 100).0).collect();
    port.listen(Instant::now(), false);
    let taken = port.taken();
    assert_eq!((taken.customer, taken.agent), (said, Vec::new()));
    assert_eq!(taken.heard, decode(PCM_8K, &out));
    assert_eq!(taken.heard[249..251], [250, 0]);
    // Longer than anybody ever takes to look.
    let _ = pull(&media, 8_100);
    let _ = media.push_samples(Track::Customer, &[1; 4_100]);
    port.listen(Instant::now(), false);
    let taken = port.taken();
    assert_eq!((taken.heard.len(), taken.customer.len()), (8_000, 4_000));
    assert_eq!(taken.lost, [100, 0, 100]);
    port.record(false);
    let _ = pull(&media, 100);
    assert_eq!(port.taken(), Taken::default());
}

#[test]
fn of_what_a_host_queues_a_recording_gets_what_arrived_and_nothing_that_was_cut() {
    let options = Options {
        confirm: true,
        ..host(PCM_8K)
    };
    let (mut port, media) = ports(options);
    port.record(true);
    let play = |port: &mut Port, part: u64, places: std::ops::Range<i16>| {
        let samples = places.len();
        port.play(part, numbered(places), PCM_8K);
        port.play_end(part);
        port.top_up();
        assert_eq!(pull(&media, samples + 50).1, samples);
    };
    let heard = |port: &mut Port| port.taken().heard;
    play(&mut port, 1, 0..800);
    assert!(heard(&mut port).is_empty());
    media.played(300).expect("confirmed");
    assert_eq!(heard(&mut port), (1..=300).collect::<Vec<_>>());
    media.played(350).expect("confirmed");
    port.flush();
    media.played(800).expect("what was dropped is gone");
    assert_eq!(heard(&mut port), (301..=350).collect::<Vec<_>>());
    play(&mut port, 2, 1_000..1_100);
    media.played(1_000).expect("more than there is");
    assert_eq!(heard(&mut port), (1_001..=1_100).collect::<Vec<_>>());
}
