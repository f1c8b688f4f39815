//! Identifiers from a seed: the same seed and the same calls give the same bytes.

/// A source of identifiers. Not for secrets.
#[derive(Clone, Debug)]
pub struct Ids {
    state: u64,
}

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

impl Ids {
    /// A source that repeats itself for the same `seed`.
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// A new identifier: `prefix`, an underscore and 20 characters (100 bits of the sequence).
    pub fn next(&mut self, prefix: &str) -> String {
        let mut id = String::with_capacity(prefix.len() + 21);
        id.push_str(prefix);
        id.push('_');
        for _ in 0..2 {
            let mut word = self.next_u64();
            for _ in 0..10 {
                id.push(char::from(ALPHABET[(word & 31) as usize]));
                word >>= 5;
            }
        }
        id
    }

    /// The next number of the sequence (SplitMix64: full period, passes the usual tests).
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_ids_and_no_two_alike() {
        let (mut a, mut b) = (Ids::new(7), Ids::new(7));
        let ids: Vec<_> = (0..1000).map(|_| a.next("item")).collect();
        assert!(ids.iter().all(|id| *id == b.next("item")));
        assert_eq!(
            ids.iter().collect::<std::collections::HashSet<_>>().len(),
            1000
        );
        assert!(ids[0].starts_with("item_") && ids[0].len() == 25);
    }
}
