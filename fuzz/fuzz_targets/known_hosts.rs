#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| slipway::fuzzing::known_hosts(data));
