//! Unusual paths: pipes and folders in place of files, names that are not UTF-8, folders without write permission; and
//! the owners of files that the program makes.
#![cfg(unix)]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::util::{Hive, Running};

/// The timeout of a run. Nothing below takes a quarter of it; a run that hangs takes forever.
const LONGEST: Duration = Duration::from_secs(60);

/// Runs a program that must end by itself.
fn ends(command: &mut Command) -> Output {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let begun = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begun.elapsed() > LONGEST {
            child.kill().unwrap();
            panic!("it hangs: {command:?}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().unwrap()
}

fn fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

fn beside(hive: &Hive, ending: &str) -> PathBuf {
    let mut path = hive.path().into_os_string();
    path.push(ending);
    path.into()
}

/// Mode, owner and group of every path below a folder.
fn all_below(folder: &Path) -> Vec<(PathBuf, u32, u32, u32)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let metadata = fs::symlink_metadata(&path).unwrap();
        if metadata.is_dir() {
            found.extend(all_below(&path));
        }
        found.push((path, metadata.mode() & 0o7777, metadata.uid(), metadata.gid()));
    }
    found
}

fn folder(hive: &Hive) -> PathBuf {
    hive.path().parent().unwrap().to_path_buf()
}

/// The program with another umask.
fn under(umask: &str, hive: &Hive, arguments: &[&str]) -> Command {
    let direct = hive.command(arguments);
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("umask {umask}; exec \"$@\"")).arg("sh").arg(direct.get_program());
    command.args(direct.get_args()).current_dir(folder(hive)).env("HIVEKEEP_STORE", hive.path()).stdin(Stdio::null());
    command
}

/// Runs the verbs that leave files behind.
fn make_all(umask: &str, hive: &Hive) {
    let serve = [
        "serve",
        "--json",
        "--listen",
        "127.0.0.1:0",
        "--event-log",
        "events.jsonl",
        "--archive-dir",
        "some/archives",
        "--archive-every",
        "1s",
    ];
    let mut running = Running::spawn(&mut under(umask, hive, &serve));
    running.line();
    let run = |arguments: &[&str]| {
        let output = ends(&mut under(umask, hive, arguments));
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    };
    run(&["put", "config", "limit", "5"]);
    let archives = folder(hive).join("some/archives");
    let begun = Instant::now();
    let is_made = || fs::read_dir(&archives).is_ok_and(|files| files.flatten().any(|file| is_archive(&file.path())));
    while !is_made() {
        assert!(begun.elapsed() < LONGEST, "no archive was made");
        std::thread::sleep(Duration::from_millis(20));
    }
    running.stop("-TERM");
    run(&["export", "hive.tar.gz"]);
    run(&["export", "hive.tar.gz", "--force"]);
    run(&["check"]);
    run(&["check", "--sample", "10%"]);
    run(&["repair", "--to", "repaired.redb"]);
    run(&["--store", "imported.redb", "import", "hive.tar.gz"]);
    run(&["--store", "imported.redb", "put", "config", "limit", "6"]);
}

fn is_archive(path: &Path) -> bool {
    path.to_string_lossy().ends_with(".tar.gz")
}

#[test]
fn only_the_owner_can_read_new_files_whatever_the_umask() {
    for umask in ["000", "077"] {
        let hive = Hive::empty();
        make_all(umask, &hive);
        let made = all_below(&folder(&hive));
        for (path, mode, ..) in &made {
            let wanted = if path.is_dir() { 0o700 } else { 0o600 };
            assert_eq!(*mode, wanted, "umask={umask} {} has mode {mode:o}", path.display());
        }
        let names = ["h.redb", ".sessions", ".reserve", ".checked", ".check", "events.jsonl", "archives"];
        for name in names {
            let is_made = made.iter().any(|(path, ..)| path.to_string_lossy().ends_with(name));
            assert!(is_made, "no {name} was made: {made:?}");
        }
    }
}

#[test]
fn files_beside_a_store_share_its_group_and_mode_but_copies_of_it_do_not() {
    let hive = Hive::new();
    for ending in [".sessions", ".reserve"] {
        fs::remove_file(beside(&hive, ending)).unwrap();
    }
    fs::set_permissions(hive.path(), fs::Permissions::from_mode(0o660)).unwrap();
    make_all("077", &hive);
    let mode = |path: PathBuf| fs::metadata(path).unwrap().mode() & 0o777;
    for ending in ["", ".sessions", ".reserve", ".checked", ".check"] {
        assert_eq!(mode(beside(&hive, ending)), 0o660, "{ending}");
    }
    assert_eq!(mode(folder(&hive).join("repaired.redb")), 0o660, "a repaired store takes the place of the damaged one");
    for name in ["hive.tar.gz", "events.jsonl", "imported.redb"] {
        assert_eq!(mode(folder(&hive).join(name)), 0o600, "{name}");
    }
}

#[test]
fn files_that_root_makes_belong_to_the_owner_of_the_folder_and_of_the_store() {
    let hive = Hive::empty();
    if fs::metadata(folder(&hive)).unwrap().uid() != 0 {
        return;
    }
    chown(folder(&hive), Some(12345), Some(23456)).unwrap();
    make_all("022", &hive);
    for (path, _, user, group) in all_below(&folder(&hive)) {
        assert_eq!((user, group), (12345, 23456), "{}", path.display());
    }
    let elsewhere = tempfile::tempdir().unwrap();
    let archive = elsewhere.path().join("hive.tar.gz");
    hive.ok(&["export", archive.to_str().unwrap()]);
    assert_eq!(fs::metadata(&archive).unwrap().uid(), 12345, "an archive belongs to the user of the store");
}

#[test]
fn a_pipe_in_place_of_any_file_is_reported_and_nothing_hangs() {
    let hive = Hive::new();
    hive.fill();
    let here = folder(&hive);
    let pipes = ["pipe", "pipe.tar.gz", "h.redb.check", "h.redb.checked"].map(|name| here.join(name));
    pipes.iter().for_each(|pipe| fifo(pipe));
    let (a, b) = ("it is a FIFO", "it is a FIFO to which nobody writes");
    let table: [(&[&str], &str, &str); 30] = [
        (&["--store", "pipe", "status"], "pipe", a),
        (&["--store", "pipe", "put", "config", "a", "1"], "pipe", a),
        (&["--store", "pipe", "check"], "pipe", a),
        (&["--store", "pipe", "check", "--sample", "10%"], "pipe", a),
        (&["--store", "pipe", "doctor"], "pipe", a),
        (&["--store", "pipe", "repair", "--to", "new.redb"], "pipe", a),
        (&["--store", "pipe", "repair", "--dry-run"], "pipe", a),
        (&["--store", "pipe", "drill"], "pipe", a),
        (&["--store", "pipe", "export", "e.tar.gz"], "pipe", a),
        (&["--store", "pipe", "import", "e.tar.gz"], "pipe", a),
        (&["--store", "pipe", "serve", "--listen", "127.0.0.1:0"], "pipe", a),
        (&["--store", "pipe", "backup"], "pipe", a),
        (&["--store", "pipe", "compact"], "pipe", a),
        (&["--store", "pipe", "log"], "pipe", a),
        (&["--store", "pipe", "queue", "push", "1"], "pipe", a),
        (&["--store", "pipe", "guard", "--", "true"], "pipe", a),
        (&["--store", "pipe", "adopt", "."], "pipe", a),
        (&["repair", "--to", "pipe"], "pipe", "the file exists already"),
        (&["export", "pipe.tar.gz"], "pipe.tar.gz", "the target is not a regular file"),
        (&["export", "pipe.tar.gz", "--force"], "pipe.tar.gz", "the target is not a regular file"),
        (&["import", "pipe.tar.gz"], "pipe.tar.gz", a),
        (&["serve", "--listen", "127.0.0.1:0", "--event-log", "pipe"], "pipe", a),
        (&["check", "--sample", "10%"], "h.redb.check", a),
        (&["check"], "h.redb.checked", a),
        (&["serve", "--listen", "127.0.0.1:0", "--token-file", "pipe"], "pipe", b),
        (&["serve", "--listen", "127.0.0.1:0", "--config", "pipe"], "pipe", b),
        (&["export", "e.tar.gz.age", "--passphrase-file", "pipe"], "pipe", b),
        (&["import", "e.tar.gz.age", "--identity", "pipe"], "pipe", b),
        (&["drill", "--targets", "pipe"], "pipe", b),
        (&["backup", "--kind", "registry", "pipe"], "pipe", b),
    ];
    std::thread::scope(|scope| {
        for (arguments, path, why) in table {
            let hive = &hive;
            scope.spawn(move || {
                let output = ends(&mut hive.command(arguments));
                let said = String::from_utf8(output.stderr).unwrap();
                assert!(said.contains(path) && said.contains(why), "{arguments:?}: {said}");
                assert_eq!(output.status.success(), arguments == ["check"], "{arguments:?}: {said}");
            });
        }
    });
    let said = ends(&mut hive.command(&["adopt", "pipe"]));
    assert!(String::from_utf8_lossy(&said.stdout).contains("pipe"), "{said:?}");
    assert!(pipes.iter().all(|pipe| fs::symlink_metadata(pipe).is_ok()), "a pipe was replaced");
}

#[test]
fn a_socket_a_device_and_a_directory_are_reported_by_their_type() {
    let hive = Hive::new();
    let socket = folder(&hive).join("socket");
    let _listening = UnixListener::bind(&socket).unwrap();
    fs::create_dir(folder(&hive).join("folder.tar.gz")).unwrap();
    let cases = [("socket", "it is a socket"), ("folder.tar.gz", "it is a directory"), ("/dev/null", "it is a device")];
    for (path, why) in cases {
        for arguments in [
            &["--store", path, "status"][..],
            &["--store", path, "put", "config", "a", "1"],
            &["import", path],
            &["backup", "--kind", "registry", path],
            &["serve", "--listen", "127.0.0.1:0", "--token-file", path],
            &["serve", "--listen", "127.0.0.1:0", "--event-log", path],
        ] {
            let said = String::from_utf8(ends(&mut hive.command(arguments)).stderr).unwrap();
            assert!(said.contains(path) && said.contains(why), "{arguments:?}: {said}");
        }
    }
}

#[test]
fn a_pipe_with_a_writer_is_read_for_settings_secrets_and_documents() {
    let hive = Hive::new();
    let script = r#"
        "$0" export hive.tar.gz.age --passphrase-file <(sleep 0.1; echo a long passphrase) &&
        "$0" import hive.tar.gz.age --dry-run --passphrase-file <(echo a long passphrase) &&
        "$0" backup --kind registry <(sleep 0.1; echo '{"bots": {}}')"#;
    let Ok(output) = Command::new("bash")
        .args(["-c", script, env!("CARGO_BIN_EXE_hivekeep")])
        .current_dir(folder(&hive))
        .env("HIVEKEEP_STORE", hive.path())
        .output()
    else {
        return;
    };
    assert!(output.status.success(), "{output:?}");
}

/// Other systems refuse such names.
#[cfg(target_os = "linux")]
#[test]
fn a_path_that_is_not_valid_utf_8_is_shown_as_well_as_possible() {
    let hive = Hive::new();
    hive.fill();
    let name = |text: &str| folder(&hive).join(OsStr::from_bytes(&[text.as_bytes(), b"\xff"].concat()));
    let (folder, store) = (name("folder"), name("folder").join(OsStr::from_bytes(b"h\xfe.redb")));
    fs::create_dir(&folder).unwrap();
    fs::rename(hive.path(), &store).unwrap();
    let run = |arguments: &[&OsStr]| {
        let mut command = hive.command(&["--json"]);
        let output = ends(command.env("HIVEKEEP_STORE", &store).args(arguments));
        let is_fine = matches!(output.status.code(), Some(0 | 3));
        assert!(is_fine && std::str::from_utf8(&output.stdout).is_ok(), "{arguments:?}: {output:?}");
        if !output.stdout.is_empty() {
            for line in String::from_utf8(output.stdout).unwrap().lines().take(1) {
                assert!(line.starts_with(['{', '[']), "{arguments:?}: {line}");
            }
        }
    };
    let os = OsStr::new;
    let archive = folder.join(OsStr::from_bytes(b"a\xfd.tar.gz"));
    let (repaired, imported) = (name("repaired"), name("imported"));
    run(&[os("status")]);
    run(&[os("doctor")]);
    run(&[os("doctor"), os("--full"), os("--archive-dir"), folder.as_os_str()]);
    run(&[os("point"), os("create"), os("one")]);
    run(&[os("check")]);
    run(&[os("check"), os("--sample"), os("10%")]);
    run(&[os("export"), archive.as_os_str()]);
    run(&[os("import"), archive.as_os_str(), os("--dry-run")]);
    run(&[os("import"), archive.as_os_str()]);
    run(&[os("--store"), imported.as_os_str(), os("import"), archive.as_os_str()]);
    run(&[os("repair"), os("--to"), repaired.as_os_str()]);
    run(&[os("--store"), repaired.as_os_str(), os("status")]);
    run(&[os("adopt"), folder.as_os_str()]);
    run(&[os("log")]);
    run(&[os("history")]);
    run(&[os("compact")]);
    run(&[os("drill"), os("--only"), os("deployment_undone")]);
    let events = folder.join(OsStr::from_bytes(b"log\xff"));
    let mut serve = hive.command(&["serve", "--json", "--listen", "127.0.0.1:0", "--event-log"]);
    let mut running = Running::spawn(serve.arg(&events).env("HIVEKEEP_STORE", &store));
    assert!(running.line().contains("127.0.0.1"));
    run(&[os("status")]);
    assert_eq!(running.stop("-TERM"), Some(0));
    assert!(fs::metadata(&events).unwrap().len() > 0);
}

/// Makes a folder read-only for a while: by a mount of its own if possible, else, for a user other than root, by its
/// mode. Returns the prefix of a command that runs another one there, which may be empty.
fn read_only(folder: &Path) -> Option<Command> {
    let mut probe = Command::new("unshare");
    let mount = r#"mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@""#;
    probe.args(["-m", "sh", "-c", mount]).arg(folder);
    let mut works = Command::new("unshare");
    works.args(["-m", "sh", "-c", mount]).arg(folder).arg("true");
    works.output().is_ok_and(|output| output.status.success()).then_some(probe)
}

#[test]
fn a_killed_store_on_a_read_only_mount_is_read_as_on_a_writable_one() {
    let hive = Hive::new();
    hive.fill();
    let mut running = Running::start(&hive, &["serve", "--json", "--listen", "127.0.0.1:0"]);
    running.line();
    running.stop("-KILL");
    let verbs: [&[&str]; 6] = [
        &["status", "--json"],
        &["doctor", "--json"],
        &["doctor", "--full", "--json"],
        &["check"],
        &["check", "--sample", "100%"],
        &["log", "--json"],
    ];
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(folder(&hive)).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    for arguments in verbs {
        let writable = ends(hive.command(arguments).env("HIVEKEEP_STORE", copy.path().join("h.redb")));
        let Some(mut command) = read_only(&folder(&hive)) else { return };
        let direct = hive.command(arguments);
        command.arg(direct.get_program()).args(direct.get_args()).env("HIVEKEEP_STORE", hive.path());
        let output = ends(&mut command);
        assert_eq!(output.status.code(), writable.status.code(), "{arguments:?}: {output:?}\n{writable:?}");
        let verdict =
            |output: &Output| serde_json::from_slice::<Value>(&output.stdout).ok().map(|v| v["verdict"].clone());
        assert_eq!(verdict(&output), verdict(&writable), "{arguments:?}");
    }
}
