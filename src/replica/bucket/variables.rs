//! The variables of the environment, from which a connection takes its settings.

/// A variable of the environment, and its value.
pub(crate) type Variable = (String, String);

/// The variables of the environment that are text.
pub(super) fn environment() -> Vec<Variable> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// The variables with this prefix, by the names that `object_store` knows.
pub(super) fn settings<'a>(environment: &'a [Variable], prefix: &'a str) -> impl Iterator<Item = (String, &'a String)> {
    environment
        .iter()
        .filter(move |(name, _)| name.starts_with(prefix))
        .map(|(name, value)| (name.to_ascii_lowercase(), value))
}

/// The first of these variables that is set.
pub(super) fn of<'a>(environment: &'a [Variable], names: &[&str]) -> Option<&'a str> {
    let value = |name: &&str| environment.iter().find(|(of, _)| of == name);
    names.iter().find_map(value).map(|(_, value)| value.as_str())
}
