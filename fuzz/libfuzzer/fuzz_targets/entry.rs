#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| showrunner_fuzz::run("entry", input));
