//! Feeds the target that the environment's SLIPWAY_FUZZ names; lists all where it names none.
#![no_main]

use std::sync::LazyLock;

use slipway::fuzzing::{TARGETS, Target};

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("SLIPWAY_FUZZ").unwrap_or_default();
    TARGETS.iter().find(|target| target.name == name).unwrap_or_else(|| {
        TARGETS.iter().for_each(|target| println!("{}\t{}", target.name, target.about));
        std::process::exit(i32::from(!name.is_empty()));
    })
});

libfuzzer_sys::fuzz_target!(
    init: LazyLock::force(&TARGET),
    |data: &[u8]| (TARGET.feed)(data)
);
