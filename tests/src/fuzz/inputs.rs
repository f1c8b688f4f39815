//! Inputs made from others: what a fuzzer does, without one, and the same at each run.

/// Words that readers look for.
const WORDS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"",
    "null",
    "true",
    "-1",
    "1e400",
    "0.5",
    "18446744073709551616",
    "\\u0000",
    "\\ud800",
    "\n",
    "  ",
    "\u{0}",
    "\u{fffd}",
    "é",
    "\"type\"",
    "\"error\"",
    "\"response\"",
    "\"item\"",
    "\"id\"",
    "\"delta\"",
    "\"session\"",
    "\"audio\"",
    "AAAA",
    "A=A=",
    "RIFF",
    "WAVE",
    "fmt ",
    "data",
    "- when:",
    "say:",
    "turns:",
    "&a",
    "*a",
    "<<:",
    "!!",
    "\"extends\"",
    "yandex",
];

/// Bytes at the edges of numbers.
const EDGES: &[u8] = &[0, 1, 0x7f, 0x80, 0xc0, 0xed, 0xfe, 0xff];

/// More would only be slower.
const LONGEST_BYTES: usize = 4096;

/// An endless stream of inputs.
#[derive(Debug)]
pub struct Inputs {
    corpus: Vec<Vec<u8>>,
    state: u64,
}

impl Inputs {
    /// Inputs made from these; the same seed makes the same ones.
    pub fn new(corpus: Vec<Vec<u8>>, seed: u64) -> Self {
        assert!(!corpus.is_empty(), "something to begin with");
        Self {
            corpus,
            state: seed.wrapping_mul(2).wrapping_add(1),
        }
    }

    /// The next one.
    pub fn make(&mut self) -> Vec<u8> {
        let which = self.below(self.corpus.len());
        let mut input = self.corpus[which].clone();
        for _ in 0..=self.below(6) {
            self.change(&mut input);
        }
        input.truncate(LONGEST_BYTES);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let at = self.below(input.len() + 1);
        let end = (at + 1 + self.below(16)).min(input.len());
        match self.below(8) {
            // Cut short, hardly anything is left to change.
            0 if self.below(4) == 0 => input.truncate(at),
            1 => drop(input.drain(at..end)),
            2 => insert(input, at, &[EDGES[self.below(EDGES.len())]]),
            3 if at < input.len() => input[at] ^= 1 << self.below(8),
            4 => {
                let again = input[at..end].to_vec();
                insert(input, at, &again);
            }
            5 => {
                let other = self.below(self.corpus.len());
                let other = self.corpus[other].clone();
                let start = self.below(other.len() + 1);
                input.truncate(at);
                input.extend_from_slice(&other[start..]);
            }
            6 if at < input.len() => input[at] = EDGES[self.below(EDGES.len())],
            _ => {
                let word = WORDS[self.below(WORDS.len())];
                insert(input, at, word.as_bytes());
            }
        }
    }

    /// A number below `end`, by the generator that Knuth and Lewis proposed, of which the high bits
    /// are good.
    fn below(&mut self, end: usize) -> usize {
        self.state = self
            .state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.state >> 33).expect("31 bits") % end
    }
}

fn insert(input: &mut Vec<u8>, at: usize, more: &[u8]) {
    input.splice(at..at, more.iter().copied());
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn made(seed: u64) -> Vec<Vec<u8>> {
        let corpus = vec![b"{\"type\":\"x\"}".to_vec(), b"second".to_vec()];
        let mut inputs = Inputs::new(corpus, seed);
        (0..1000).map(|_| inputs.make()).collect()
    }

    #[test]
    fn the_same_seed_makes_the_same_inputs_and_another_one_others() {
        assert_eq!(made(1), made(1));
        assert_ne!(made(1), made(2));
    }

    #[test]
    fn hardly_two_inputs_are_the_same_and_none_is_too_long() {
        let made = made(3);
        assert!(made.iter().all(|input| input.len() <= LONGEST_BYTES));
        let different = made.iter().collect::<HashSet<_>>().len();
        assert!(different > 900, "{different}");
    }
}
