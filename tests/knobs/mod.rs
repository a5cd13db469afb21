//! How much a test does, from the environment.

/// How many times as much as usual a test does.
pub fn scale() -> usize {
    std::env::var("HIVEKEEP_TEST_SCALE").ok().and_then(|scale| scale.parse().ok()).unwrap_or(1)
}
