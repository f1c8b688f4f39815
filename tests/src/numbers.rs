//! How much a test does in each tier.

/// A number of cases or rounds: itself in the quick tier, ten times as much where
/// `TALKWIRE_DEEP` is `1`.
pub fn scaled(quick: u32) -> u32 {
    times(
        quick,
        std::env::var_os("TALKWIRE_DEEP").is_some_and(|deep| deep == "1"),
    )
}

const fn times(quick: u32, is_deep: bool) -> u32 {
    if is_deep { quick * 10 } else { quick }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deep_tier_does_ten_times_as_much() {
        assert_eq!((times(7, false), times(7, true)), (7, 70));
    }
}
