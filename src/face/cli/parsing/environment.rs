//! Variables of the environment that no setting reads, such as misspelt ones.

use std::collections::BTreeSet;

use clap::Command;

/// Variables that no option reads.
const OTHER_VARIABLES: [&str; 3] = ["HIVEKEEP_LOG", "HIVEKEEP_TOKEN", "HIVEKEEP_GUARD_POINT"];
/// Kubernetes sets variables with these beginnings for a service of the name hivekeep.
const OF_A_CLUSTER: [&str; 2] = ["HIVEKEEP_SERVICE_", "HIVEKEEP_PORT"];

/// The variables of the environment that are named as settings are, and are none.
pub(in crate::face::cli) fn unknown_variables(program: &Command) -> Vec<String> {
    let mut known = BTreeSet::new();
    let mut commands = vec![program];
    while let Some(command) = commands.pop() {
        known.extend(command.get_arguments().filter_map(|argument| argument.get_env()));
        commands.extend(command.get_subcommands());
    }
    let names = std::env::vars_os().map(|(name, _)| name);
    let unknown = names.filter(|name| !known.contains(name.as_os_str())).filter_map(|name| name.into_string().ok());
    let is_ours = |name: &String| name.starts_with("HIVEKEEP_") && !OTHER_VARIABLES.contains(&name.as_str());
    unknown.filter(is_ours).filter(|name| !OF_A_CLUSTER.iter().any(|beginning| name.starts_with(beginning))).collect()
}
