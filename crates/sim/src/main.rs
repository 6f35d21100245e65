//! `rookeeper-sim`: runs seeds, replays one, or looks for deliberate mistakes.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "an edge crate, and a program that tells people what it found"
)]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use rookeeper_sim::run;

/// From so many seeds on, all of [`rookeeper_sim::coverage::NEEDED`] must have been met.
const MANY: u64 = 300;

/// Simulates ensembles with faults, from seeds.
#[derive(Debug, Parser)]
#[command(name = "rookeeper-sim")]
struct Arguments {
    /// How many seeds to run.
    #[arg(long, default_value_t = 500)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Begin no seed after so many minutes.
    #[arg(long)]
    minutes: Option<u64>,
    /// Replay this seed alone, and print its history.
    #[arg(long)]
    seed: Option<u64>,
    /// Look for every deliberate mistake; fails when one is not found.
    #[arg(long)]
    mutations: bool,
    /// Make this mistake in the seed that is replayed, or look for it alone.
    #[arg(long)]
    mutation: Option<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let well = if arguments.mutations {
        hunt(arguments.mutation.as_deref())
    } else if let Some(seed) = arguments.seed {
        replay(seed, arguments.mutation.as_deref())
    } else {
        many(&arguments)
    };
    if well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn replay(seed: u64, mutation: Option<&str>) -> bool {
    if mutation.is_some_and(|name| !make(name)) {
        println!("no such mistake, or this program was built without the feature `mutations`");
        return false;
    }
    let report = run::one(seed, true);
    report.trace.iter().for_each(|line| println!("{line}"));
    println!("{}", report.coverage);
    match &report.violation {
        Some(violation) => println!("seed {seed} FAILED: {violation}"),
        None => println!("seed {seed} is sound"),
    }
    report.violation.is_none()
}

fn many(arguments: &Arguments) -> bool {
    let begun = Instant::now();
    let limit = arguments
        .minutes
        .map(|minutes| Duration::from_secs(60 * minutes));
    let summary = run::many(arguments.from, arguments.seeds, limit);
    print!("{}", summary.coverage);
    for (seed, violation) in &summary.failures {
        println!("FAIL seed {seed}: {violation}");
        println!("     cargo run --release -p rookeeper-sim -- --seed {seed}");
    }
    let failed = summary.failures.len() as u64;
    println!("{} s", begun.elapsed().as_secs());
    println!("{} passed, {failed} failed", summary.seeds - failed);
    failed == 0 && summary.seeds > 0 && meets_enough(&summary)
}

/// So many seeds meet everything that matters, or they prove less than they seem to.
fn meets_enough(summary: &run::Summary) -> bool {
    let missing = summary.coverage.missing();
    if summary.seeds < MANY || missing.is_empty() {
        return true;
    }
    println!("never met: {missing:?}");
    false
}

#[cfg(feature = "mutations")]
fn make(name: &str) -> bool {
    let all = rookeeper_sim::mutation::ALL.iter();
    let found = all.map(|it| it.mutation).find(|it| it.to_string() == name);
    rookeeper_sim::mutation::set(found);
    found.is_some()
}

#[cfg(not(feature = "mutations"))]
const fn make(_: &str) -> bool {
    false
}

#[cfg(feature = "mutations")]
fn hunt(only: Option<&str>) -> bool {
    let begun = Instant::now();
    let all = rookeeper_sim::mutation::ALL.iter();
    let chosen: Vec<_> = all
        .filter(|it| only.is_none_or(|name| it.mutation.to_string() == name))
        .copied()
        .collect();
    let hunts = run::hunt(&chosen);
    let mut missed = 0;
    for hunt in &hunts {
        let (mutation, within) = (hunt.wanted.mutation.to_string(), hunt.wanted.within);
        match &hunt.found {
            Some((seed, by)) => println!("ok   {mutation:<28} seed {seed:>3} of {within}: {by}"),
            None => {
                missed += 1;
                println!("FAIL {mutation:<28} not found in {within} seeds");
            }
        }
    }
    println!("{} s", begun.elapsed().as_secs());
    println!("{} passed, {missed} failed", hunts.len() - missed);
    missed == 0 && !hunts.is_empty()
}

#[cfg(not(feature = "mutations"))]
fn hunt(_: Option<&str>) -> bool {
    println!("build with --features mutations to look for deliberate mistakes");
    false
}
