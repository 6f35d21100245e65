//! A few seeds in every test run: they are sound, they meet what a seed should meet, and they are the same each time. Many more run
//! in CI, by `cargo run --release -p rookeeper-sim`.

use rookeeper_sim::run;

const FIRST: u64 = 1;
const SEEDS: u64 = 60;

#[test]
fn seeds_are_sound_and_meet_what_they_should() {
    let summary = run::many(FIRST, SEEDS, None);
    assert_eq!(summary.seeds, SEEDS);
    assert!(summary.failures.is_empty(), "{:#?}", summary.failures);
    let missing = summary.coverage.missing();
    assert!(
        missing.is_empty(),
        "never met: {missing:?}\n{}",
        summary.coverage
    );
}

#[test]
fn a_seed_is_the_same_each_time() {
    let (one, other) = (run::one(FIRST, true), run::one(FIRST, true));
    assert!(one.trace.len() > 1000, "{} lines", one.trace.len());
    assert!(one.trace == other.trace, "the same seed, another history");
    assert!(
        run::one(FIRST + 1, true).trace != one.trace,
        "another seed, the same history"
    );
}
