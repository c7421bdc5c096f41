#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    gm_fuzz::package_listing(data);
});
