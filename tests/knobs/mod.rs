//! How much a test is to do, from the environment.

/// How many times as much as usual a test is to do.
pub fn scale() -> usize {
    std::env::var("HIVEKEEP_TEST_SCALE").ok().and_then(|scale| scale.parse().ok()).unwrap_or(1)
}
