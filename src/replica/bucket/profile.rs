//! Credentials of a profile, from the two files that Amazon's own programs read: `~/.aws/credentials` and
//! `~/.aws/config`.

use std::path::{Path, PathBuf};

use super::variables::{Variable, of};
use crate::error::{Error, Result};
use crate::files;

/// The settings of a profile, and the variables that say the same. The environment goes before it.
const SAID: [(&str, &str, &[&str]); 2] = [
    ("region", "AWS_REGION", &["AWS_REGION", "AWS_DEFAULT_REGION"]),
    ("endpoint_url", "AWS_ENDPOINT_URL", &["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"]),
];
const KEY: &str = "aws_access_key_id";
const SECRET: &str = "aws_secret_access_key";
const TOKEN: &str = "aws_session_token";
/// Other ways to credentials, which a program of Amazon has to go.
const WAYS: [&str; 5] = ["role_arn", "credential_process", "sso_session", "sso_start_url", "login_session"];

/// A setting of a section, as it is written in a file.
type Setting = (String, String);

/// The environment with the settings of the chosen profile, as variables behind it: its keys only if the environment
/// has no credentials.
///
/// # Errors
///
/// `Invalid` for a profile that is named and not there, and for one without keys that names another way to them; the
/// errors of its files, except that the usual ones may be absent, and unreadable unless a profile is named.
pub(super) fn with_profile(environment: &[Variable], has_credentials: bool) -> Result<Vec<Variable>> {
    let named = profile(environment);
    let name = named.unwrap_or("default");
    let credentials = section(environment, "AWS_SHARED_CREDENTIALS_FILE", "credentials", &[name])?;
    let in_config = format!("profile {name}");
    let names = [in_config.as_str(), "default"];
    let names = if name == "default" { &names[..] } else { &names[..1] };
    let config = section(environment, "AWS_CONFIG_FILE", "config", names)?;
    if let (Some(named), None, None) = (named, &credentials, &config) {
        let profile = named.escape_debug();
        return Err(Error::invalid(format!(
            "AWS_PROFILE names a profile that is neither in the file of credentials nor in that of settings: \
             profile={profile}"
        )));
    }
    let said: Vec<Setting> = credentials.into_iter().chain(config).flatten().collect();
    let mut all = environment.to_vec();
    for (setting, variable, others) in SAID {
        if let (Some(value), None) = (of(&said, &[setting]), of(environment, others)) {
            all.push((variable.into(), value.into()));
        }
    }
    if !has_credentials {
        match keys(&said, name) {
            // Nobody chose it, and the machine may have an identity.
            Err(_) if named.is_none() => {}
            keys => all.extend(keys?),
        }
    }
    Ok(all)
}

/// The profile that somebody chose.
fn profile(environment: &[Variable]) -> Option<&str> {
    of(environment, &["AWS_PROFILE"]).filter(|name| !name.is_empty())
}

/// The keys of a profile, as variables; none if it says nothing of credentials.
fn keys(said: &[Setting], name: &str) -> Result<Vec<Variable>> {
    let profile = name.escape_debug();
    match (of(said, &[KEY]), of(said, &[SECRET])) {
        (Some(key), Some(secret)) => {
            let token = of(said, &[TOKEN]).map(|token| ("AWS_SESSION_TOKEN", token));
            let keys = [("AWS_ACCESS_KEY_ID", key), ("AWS_SECRET_ACCESS_KEY", secret)];
            Ok(keys.into_iter().chain(token).map(|(name, value)| (name.into(), value.into())).collect())
        }
        (None, None) => match WAYS.iter().find(|way| of(said, &[way]).is_some()) {
            None => Ok(Vec::new()),
            Some(way) => Err(Error::invalid(format!(
                "this profile has no keys, and {way} is not followed; set the variables that Amazon's program exports: \
                 profile={profile}"
            ))),
        },
        (key, _) => {
            let missing = if key.is_some() { SECRET } else { KEY };
            Err(Error::invalid(format!("a profile lacks one of its two keys: missing={missing} profile={profile}")))
        }
    }
}

/// The settings of the first of these sections in the file that a variable names, or else in the usual one.
fn section(environment: &[Variable], variable: &str, usual: &str, names: &[&str]) -> Result<Option<Vec<Setting>>> {
    let named = of(environment, &[variable]).map(PathBuf::from);
    let home = || of(environment, &["HOME", "USERPROFILE"]).map(|home| Path::new(home).join(".aws").join(usual));
    let Some(file) = named.clone().or_else(home) else { return Ok(None) };
    if named.is_none() && !file.exists() {
        return Ok(None);
    }
    let text = match files::read_text(&file, files::SETTINGS_MAX) {
        // Nobody chose it, and it may be another user's.
        Err(error) if named.is_none() && profile(environment).is_none() => {
            tracing::warn!(%error, "a file of Amazon's programs cannot be read and is left out");
            return Ok(None);
        }
        text => text?,
    };
    Ok(names.iter().find_map(|name| settings_of(&text, name)))
}

/// The settings of a section; none if the text has no such section. A setting of several lines, which begin with
/// spaces, has no value here.
fn settings_of(text: &str, name: &str) -> Option<Vec<Setting>> {
    let (mut is_in, mut found) = (false, None);
    for line in text.lines() {
        let head = line.trim().strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(head, _)| head);
        if let Some(head) = head {
            is_in = head.split_whitespace().eq(name.split_whitespace());
            found = found.or(is_in.then(Vec::new));
        } else if let (true, Some(found), Some((setting, value))) = (is_in, &mut found, line.split_once('='))
            && !line.starts_with([' ', '\t', '#', ';'])
        {
            found.push((setting.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    const CREDENTIALS: &str = "# of the team\n[default]\naws_access_key_id = one\nAWS_SECRET_ACCESS_KEY=a/b+c=\n\n\
        [other]\r\naws_access_key_id=two\r\naws_secret_access_key = three\r\naws_session_token = four==\r\n\
        [half]\naws_access_key_id = x\n[role]\nrole_arn = arn:x\nsource_profile = default\n";
    const CONFIG: &str = "[default]\nregion = eu-central-1\ns3 =\n  region = not-this\n  max_concurrent_requests = 20\n\
        [profile  other]\nregion=us-east-1\nendpoint_url = https://s3.example.org\n[profile only-settings]\noutput = json\n";

    fn environment(pairs: &[(&str, &str)]) -> (tempfile::TempDir, Vec<Variable>) {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join(".aws");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("credentials"), CREDENTIALS).unwrap();
        std::fs::write(folder.join("config"), CONFIG).unwrap();
        let mut all = vec![("HOME".to_owned(), home.path().to_str().unwrap().to_owned())];
        all.extend(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        (home, all)
    }

    fn added(pairs: &[(&str, &str)]) -> Result<Vec<(String, String)>> {
        let (_home, before) = environment(pairs);
        let has_own = of(&before, &["AWS_ACCESS_KEY_ID", "AWS_SKIP_SIGNATURE"]).is_some();
        let after = with_profile(&before, has_own)?;
        assert_eq!(after[..before.len()], before, "the environment goes first");
        Ok(after[before.len()..].to_vec())
    }

    fn variables(pairs: &[(&str, &str)]) -> Vec<Variable> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_profile_gives_what_the_environment_does_not_say() {
        let keys = [("AWS_ACCESS_KEY_ID", "one"), ("AWS_SECRET_ACCESS_KEY", "a/b+c=")];
        let region = ("AWS_REGION", "eu-central-1");
        assert_eq!(added(&[]).unwrap(), variables(&[region, keys[0], keys[1]]));
        assert_eq!(added(&[("AWS_DEFAULT_REGION", "r")]).unwrap(), variables(&keys));
        assert_eq!(added(&[("AWS_ACCESS_KEY_ID", "mine")]).unwrap(), variables(&[region]));
        assert_eq!(added(&[("AWS_SKIP_SIGNATURE", "true")]).unwrap(), variables(&[region]));
        let other = [
            ("AWS_REGION", "us-east-1"),
            ("AWS_ENDPOINT_URL", "https://s3.example.org"),
            ("AWS_ACCESS_KEY_ID", "two"),
            ("AWS_SECRET_ACCESS_KEY", "three"),
            ("AWS_SESSION_TOKEN", "four=="),
        ];
        assert_eq!(added(&[("AWS_PROFILE", "other")]).unwrap(), variables(&other));
        assert_eq!(added(&[("AWS_PROFILE", "only-settings")]).unwrap(), []);
    }

    #[test]
    fn a_profile_that_gives_no_keys_is_refused_with_the_reason() {
        for (name, why) in [
            ("absent", "AWS_PROFILE names a profile"),
            ("half", "missing=aws_secret_access_key profile=half"),
            ("role", "role_arn is not followed"),
        ] {
            let error = added(&[("AWS_PROFILE", name)]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
            assert!(error.to_string().contains(why), "{error}");
            assert!(!error.to_string().contains("arn:"), "{error}");
        }
    }

    #[test]
    fn a_profile_that_nobody_chose_keeps_nobody_from_the_identity_of_the_machine() {
        let (home, environment) = environment(&[("AWS_PROFILE", "")]);
        std::fs::write(home.path().join(".aws/credentials"), "[default]\nsso_session = team\n").unwrap();
        let region = variables(&[("AWS_REGION", "eu-central-1")]);
        assert_eq!(with_profile(&environment, false).unwrap()[environment.len()..], region);
    }

    #[test]
    fn files_may_be_absent_unless_they_are_named() {
        let (home, environment) = environment(&[]);
        std::fs::remove_dir_all(home.path().join(".aws")).unwrap();
        assert_eq!(with_profile(&environment, false).unwrap(), environment);
        assert_eq!(with_profile(&[], false).unwrap(), []);
        let file = home.path().join("mine");
        let mut named = environment.clone();
        named.push(("AWS_SHARED_CREDENTIALS_FILE".into(), file.to_str().unwrap().into()));
        assert_eq!(with_profile(&named, false).unwrap_err().kind(), ErrorKind::Io);
        std::fs::write(&file, "[default]\naws_access_key_id=k\naws_secret_access_key=s\n").unwrap();
        assert_eq!(with_profile(&named, false).unwrap().len(), named.len() + 2);
        std::fs::write(&file, [0xff]).unwrap();
        assert_eq!(with_profile(&named, false).unwrap_err().kind(), ErrorKind::Invalid);
        let usual = home.path().join(".aws");
        std::fs::create_dir(&usual).unwrap();
        for name in ["credentials", "config"] {
            std::fs::write(usual.join(name), [0xff]).unwrap();
        }
        assert_eq!(with_profile(&environment, false).unwrap(), environment);
        let mut chosen = environment;
        chosen.push(("AWS_PROFILE".into(), "default".into()));
        assert_eq!(with_profile(&chosen, true).unwrap_err().kind(), ErrorKind::Invalid);
    }

    #[test]
    fn any_text_is_read_without_a_panic() {
        for text in ["[", "]", "[]", "=\n[default]=x\n=", "[default", "[default]\n=\n==\n a=b"] {
            settings_of(text, "default");
        }
    }
}
