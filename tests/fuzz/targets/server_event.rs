#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (talkwire_tests::fuzz::named("server_event").run)(data));
