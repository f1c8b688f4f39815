use std::thread;

use proptest::prelude::*;
use rtrb::RingBuffer;

use super::*;
use crate::audio::format::Format;
use crate::audio::numbers::cases;

const CAPACITY: usize = 64;

/// A downlink of PCM with no prebuffer.
fn downlink(prebuffer: u64) -> (Play, Pull) {
    let (producer, consumer) = RingBuffer::new(2 * CAPACITY);
    let words = Arc::new(Words::new());
    let play = Play {
        ring: producer,
        sample_bytes: 2,
        written: 0,
        skipped: 0,
        words: words.clone(),
    };
    let pull = Pull {
        ring: consumer,
        words,
        sample_bytes: 2,
        quiet: Quiet::new(Format::PCM16_24K, None),
        level: Level::new(Format::PCM16_24K, Some(6.0), 0),
        prebuffer,
        rebuffer: prebuffer,
        front: 0,
        state: State::Waits { until: prebuffer },
        is_sounding: false,
        tap: Tap {
            arrivals: RingBuffer::new(1).1,
            is_sound_only: false,
            ring: None,
        },
    };
    (play, pull)
}

/// Samples that tell their own place and are never 0.
fn numbered(place: u64) -> i16 {
    (place % 30_000) as i16 + 1
}

fn bytes(places: std::ops::Range<u64>) -> Vec<u8> {
    places.flat_map(|i| numbered(i).to_le_bytes()).collect()
}

fn pulled(pull: &mut Pull, samples: usize) -> Vec<i16> {
    let mut out = vec![0xEE; 2 * samples];
    let given = pull.pull(&mut out);
    let all: Vec<i16> = out
        .chunks(2)
        .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
        .collect();
    assert!(all[given..].iter().all(|s| *s == 0), "silence to the end");
    all[..given].to_vec()
}

#[test]
fn a_part_begins_with_the_prebuffer_or_when_it_is_complete() {
    let (mut play, mut pull) = downlink(8);
    play.write(&bytes(0..7));
    assert!(pulled(&mut pull, 4).is_empty());
    play.write(&bytes(7..8));
    assert_eq!(pulled(&mut pull, 4), [1, 2, 3, 4]);
    assert_eq!(pulled(&mut pull, 6), [5, 6, 7, 8], "and then runs dry");
    assert_eq!(pull.words.underruns.get(), 1);
    play.write(&bytes(8..10));
    assert!(
        pulled(&mut pull, 4).is_empty(),
        "below the second threshold"
    );
    play.complete();
    assert_eq!(pulled(&mut pull, 4), [9, 10]);
    assert_eq!(pull.words.underruns.get(), 1, "an end is no underrun");
    assert_eq!(pull.words.silence.get(), 4 + 2 + 4 + 2);
    assert_eq!(pull.words.pulled.get(), 10);
}

#[test]
fn a_part_that_ends_with_the_pull_makes_the_next_one_wait() {
    let (mut play, mut pull) = downlink(4);
    play.write(&bytes(0..4));
    play.complete();
    assert_eq!(pulled(&mut pull, 4).len(), 4);
    play.write(&bytes(4..6));
    assert!(pulled(&mut pull, 2).is_empty());
    assert_eq!(pull.words.underruns.get(), 0);
}

#[test]
fn what_is_held_is_quieter_or_stands_still() {
    let (mut play, mut pull) = downlink(1);
    play.write(&bytes(99..103));
    play.words.held.set(1);
    assert_eq!(pulled(&mut pull, 2), [50, 50]);
    pull.level = Level::new(Format::PCM16_24K, None, 0);
    assert!(pulled(&mut pull, 2).is_empty());
    play.words.held.set(0);
    assert_eq!(pulled(&mut pull, 2), [102, 103]);
}

#[test]
fn what_does_not_fit_is_dropped_and_counted() {
    let (producer, mut consumer) = RingBuffer::new(10);
    let counts = Arc::new(Pushed::default());
    let mut push = Push {
        ring: producer,
        frame_bytes: 4,
        counts: counts.clone(),
    };
    assert_eq!(push.push(&[1; 4]), 1);
    assert_eq!(push.push(&[2; 11]), 1, "two whole frames, room for one");
    let told = [&counts.samples, &counts.overrun, &counts.overruns].map(Counter::get);
    assert_eq!(told, [2, 1, 1]);
    let mut out = [0; 8];
    consumer.pop_entire_slice(&mut out).expect("two frames");
    assert_eq!(out, [1, 1, 1, 1, 2, 2, 2, 2]);
}

#[derive(Clone, Debug)]
enum Step {
    Write(u64),
    Pull(usize),
    Complete,
    Cut,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..40_u64).prop_map(Step::Write),
        4 => (0..40_usize).prop_map(Step::Pull),
        1 => Just(Step::Complete),
        1 => Just(Step::Cut),
    ]
}

proptest! {
    #![proptest_config(cases(256))]
    #[test]
    fn what_is_heard_is_written_and_not_cut_once_and_in_order(
        steps in prop::collection::vec(step(), 1..80),
        prebuffer in 0..30_u64,
    ) {
        let (mut play, mut pull) = downlink(prebuffer);
        // The places that may still be heard, and those that were.
        let (mut expected, mut heard) = (0..0, Vec::new());
        for step in steps {
            match step {
                Step::Write(samples) => {
                    let from = play.written;
                    play.write(&bytes(from..from + samples));
                    prop_assert!(play.written - from <= samples);
                    expected.end = play.written;
                }
                Step::Pull(samples) => {
                    let out = pulled(&mut pull, samples);
                    for sample in &out {
                        prop_assert!(!expected.is_empty(), "heard what was cut");
                        prop_assert_eq!(*sample, numbered(expected.start));
                        expected.start += 1;
                    }
                    heard.extend(out);
                    prop_assert_eq!(pull.words.cursor.place(), expected.start);
                }
                Step::Complete => play.complete(),
                Step::Cut => {
                    prop_assert_eq!(play.cut(Device::Behind(0)), expected.start);
                    expected.start = play.written;
                }
            }
        }
        play.complete();
        let left = pulled(&mut pull, CAPACITY);
        prop_assert_eq!(left.len() as u64, expected.end - expected.start, "all of it comes");
        prop_assert_eq!(pull.words.pulled.get() as usize, heard.len() + left.len());
    }
}

#[test]
fn two_threads_agree_to_the_sample_on_what_was_heard() {
    let (mut play, mut pull) = downlink(3);
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let puller = thread::spawn(move || {
        let mut heard = Vec::new();
        for size in (1..30).cycle() {
            let is_last = stopped.try_recv().is_ok();
            heard.extend(pulled(&mut pull, size));
            if is_last {
                heard.extend(pulled(&mut pull, CAPACITY));
                return heard;
            }
            thread::yield_now();
        }
        unreachable!("a cycle has no end")
    });
    let mut expected = Vec::new();
    for round in 0..3_000_u64 {
        let start = play.words.cursor.place().max(play.written);
        let mut wrote = start;
        for _ in 0..round % 5 {
            wrote += play.write(&bytes(wrote..wrote + 20)) as u64 / 2;
        }
        if round % 3 == 0 {
            thread::yield_now();
        }
        let place = play.cut(Device::Behind(0));
        expected.extend((start..place).map(numbered));
    }
    stop.send(()).expect("the puller lives");
    assert_eq!(puller.join().expect("no panic"), expected);
}
