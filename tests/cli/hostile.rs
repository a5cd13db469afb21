//! Strings written to deceive the reader: no verb prints control characters, or a line that was forged.
//! `tests/fixtures/earlier.tar.zst` is an archive of an earlier version, which accepted everything: ids with direction
//! marks, keys and kinds with line breaks, strings of any length.

use std::path::{Path, PathBuf};

use hivekeep::{
    BackupRequest, Bot, BotId, ClaimOptions, ErrorKind, EventKind, Kind, NewMessage, NewTask, PointRequest, TaskId,
};
use serde_json::{Value, json};

use crate::util::{Hive, Ran};

/// The string in the archive.
const HOSTILE: &str =
    "x\u{1b}[2J\u{1b}]52;c;Zg==\u{7}\u{9b}31m\r\nforged  line\u{202e}\u{2066}\u{200b}\u{2028}\u{7f}\u{feff}y";
const ODD: &str = "odd\u{202e}\u{200b}\u{2028}e\u{301}";

fn archive() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/earlier.tar.zst")
}

/// A store with this string in every field that can hold one.
pub fn filled() -> Hive {
    let hive = Hive::empty();
    let folder =
        hive.path().with_file_name("a-folder-whose-name-is-longer-than-the-room-that-any-row-of-a-terminal-has");
    std::fs::create_dir(&folder).unwrap();
    let copy = folder.join("earlier.tar.zst");
    std::fs::copy(archive(), &copy).unwrap();
    hive.run(&["import", copy.to_str().unwrap()]).with(0).shows_nothing_hidden();
    let store = hive.open();
    store.backup(BackupRequest::new(Kind::Registry).source(HOSTILE).tag(HOSTILE, HOSTILE)).unwrap();
    store.backup(BackupRequest::new(Kind::Registry).source(ODD).data(json!({HOSTILE: HOSTILE}))).unwrap();
    store.make_point(PointRequest::new(HOSTILE).tag(HOSTILE, HOSTILE)).unwrap();
    let details = json!({HOSTILE: HOSTILE, "error": HOSTILE});
    store
        .write(|tx| {
            tx.config().put("changed", &json!(HOSTILE))?;
            tx.events().append(EventKind::BackupFailed, details.clone())?;
            tx.events().append(EventKind::Other("whatever".into()), details.clone())
        })
        .unwrap();
    store.close().unwrap();
    hive
}

pub fn is_hidden(c: char) -> bool {
    let unseen = "\u{ad}\u{61c}\u{200b}\u{200c}\u{200d}\u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2060}\u{2066}\u{2067}\u{2068}\u{2069}\u{feff}";
    c != '\n' && c.is_control() || unseen.contains(c)
}

impl Ran {
    /// The same, after checking that neither output contains hidden characters or a forged line.
    fn shows_nothing_hidden(self) -> Self {
        let said = format!("{}{}", self.out, self.err);
        assert!(!said.contains(is_hidden), "{:?}", self);
        assert!(!said.lines().any(|line| line.starts_with("forged")), "{:?}", self);
        self
    }
}

/// A command line and its exit code.
fn typed(hive: &Hive) -> Vec<(Vec<String>, i32)> {
    let path = |name: &str| hive.path().with_file_name(name).to_str().unwrap().to_owned();
    let (archive, other) = (path("h.tar.gz"), path("other.tar.gz"));
    let odd_file = path("odd\u{202e}\n.json");
    std::fs::write(&odd_file, format!("{{\"{ODD}\": 1}}")).unwrap();
    let lines = [
        ("status --sizes", 0),
        ("get registry", 0),
        ("get registry ODD", 0),
        ("get queue", 0),
        ("get queue ODD", 0),
        ("get assignments", 0),
        ("get assignments ODD", 0),
        ("get chat", 0),
        ("get chat 1", 0),
        ("get config", 0),
        ("get config ODD", 0),
        ("get config HOSTILE", 13),
        ("get audit", 0),
        ("get audit 1", 0),
        ("get documents", 0),
        ("get rooms", 0),
        ("get rooms HOSTILE", 0),
        ("get HOSTILE", 13),
        ("put config ODD HOSTILE", 2),
        ("put HOSTILE key 1", 2),
        ("put documents HOSTILE 1", 2),
        ("put registry HOSTILE {}", 2),
        ("remove config HOSTILE", 13),
        ("point create HOSTILE --tag a=HOSTILE", 0),
        ("point create HOSTILE --tag ODD", 2),
        ("point list --all --sizes", 0),
        ("point show latest~1", 0),
        ("point show HOSTILE", 2),
        ("point diff latest~1 now", 0),
        ("point diff latest now", 0),
        ("point hold latest", 0),
        ("point release latest", 0),
        ("point forget --policy --dry-run", 0),
        ("restore latest~1 --dry-run", 0),
        ("restore latest~1", 0),
        ("undo --dry-run", 0),
        ("undo", 0),
        ("guard -- false HOSTILE", 1),
        ("guard --label HOSTILE -- true", 2),
        ("backup --kind registry --source HOSTILE --tag a=HOSTILE", 0),
        ("history", 0),
        ("queue list", 0),
        ("queue push HOSTILE", 2),
        ("queue push 1 --id HOSTILE", 2),
        ("queue claim HOSTILE", 2),
        ("queue cancel odd\u{202e}ready", 0),
        ("queue cancel HOSTILE", 2),
        ("schedule add HOSTILE --every 1h 1", 2),
        ("schedule show HOSTILE", 2),
        ("schedule list", 0),
        ("mcp --as HOSTILE", 2),
        ("key add HOSTILE --role reader", 2),
        ("key list", 0),
        ("key revoke HOSTILE", 2),
        ("doctor", 3),
        ("doctor --full", 3),
        ("check", 0),
        ("check --sample HOSTILE", 2),
        ("check --heal s3://HOSTILE", 2),
        ("replica init s3://HOSTILE", 2),
        ("replica drill s3://HOSTILE", 2),
        ("replica orphans s3://HOSTILE --of HOSTILE", 2),
        ("repair --from s3://HOSTILE", 2),
        ("repair --dry-run", 0),
        ("log --limit 500", 0),
        ("compact", 0),
        ("crash ack", 0),
        ("adopt ODDFILE --dry-run", 3),
        ("adopt ODDFILE", 3),
        ("export ARCHIVE", 0),
        ("export HOSTILE", 2),
        ("import ARCHIVE --dry-run", 0),
        ("import ARCHIVE", 0),
        ("import OTHER", 13),
        ("HOSTILE", 2),
        ("status --HOSTILE", 2),
        ("serve --print-config --archive-dir HOSTILE", 0),
        ("serve --listen HOSTILE", 2),
        ("drill --only HOSTILE", 2),
        ("completions HOSTILE", 2),
        ("man --HOSTILE", 2),
    ];
    let word = |word: &str| match word {
        "ODD" => ODD.to_owned(),
        "ARCHIVE" => archive.clone(),
        "OTHER" => other.clone(),
        "ODDFILE" => odd_file.clone(),
        word => word.replace("HOSTILE", HOSTILE),
    };
    lines.into_iter().map(|(line, code)| (line.split(' ').map(word).collect(), code)).collect()
}

#[test]
fn no_verb_prints_control_characters_or_a_forged_line() {
    let hive = filled();
    let all = typed(&hive);
    let help = hive.ok(&["--help"]);
    let verbs = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    for verb in verbs.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next()) {
        let tried = verb.is_empty() || verb == "help" || all.iter().any(|(line, _)| line[0] == verb);
        assert!(tried, "{verb} is not tried here");
    }
    let mut wrong = Vec::new();
    for (line, code) in &all {
        let line: Vec<_> = line.iter().map(String::as_str).collect();
        for json in [&[][..], &["--json"]] {
            let ran = hive.run(&[json, &line].concat());
            if ran.code != Some(*code) && json.is_empty() {
                wrong.push(format!("{line:?} ended with {:?}: {}", ran.code, ran.err));
            }
            ran.shows_nothing_hidden();
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_earlier_id_with_hidden_characters_still_works_and_a_new_one_is_refused() {
    let hive = filled();
    let store = hive.open();
    let odd = BotId::new(ODD).unwrap();
    let task = TaskId::new(ODD).unwrap();
    let said = |bot: Option<&BotId>, conversation: &str| NewMessage {
        bot: bot.cloned(),
        ..NewMessage::new(conversation, "user", "hello")
    };
    store
        .write(|tx| {
            let bot = tx.registry().get(&odd)?.unwrap();
            tx.registry().put(&Bot { port: Some(1), ..bot })?;
            tx.registry().heartbeat(&odd, "2026-01-02T03:04:05Z".parse().unwrap())?;
            let token = tx.queue().get(&task)?.unwrap().holder.unwrap().token;
            tx.queue().complete(&task, token, "done")?;
            assert_eq!(tx.queue().claim(&odd, &ClaimOptions::default())?.len(), 1);
            tx.config().put(ODD, &json!(1))?;
            tx.chat().append(said(Some(&odd), ODD))?;
            tx.documents().put(HOSTILE, HOSTILE, &json!([2]))?;
            tx.documents().put("registry", ODD, &json!([2]))
        })
        .unwrap();
    let unfit = ["odd\u{202e}new", "zero\u{200b}width", "e\u{301}", "line\u{2028}", ".", ".."];
    for (number, name) in unfit.into_iter().enumerate() {
        let refused = |what: &str, written: hivekeep::Result<()>| {
            let error = written.expect_err(what);
            assert_eq!(error.kind(), ErrorKind::Invalid, "{what}: {error}");
            assert!(error.to_string().contains(" must ") && !error.to_string().contains(is_hidden), "{what}: {error}");
        };
        // Two of these names are bots already.
        let name = &format!("{name}{}", if number == 2 { "\u{301}" } else { "" });
        let bot = BotId::new(name.as_str()).unwrap();
        if name != ".." {
            refused("bot", store.write(|tx| tx.registry().put(&Bot::new(bot.clone()))));
            refused("claim", store.write(|tx| tx.queue().claim(&bot, &ClaimOptions::default())).map(drop));
            refused("speaker", store.write(|tx| tx.chat().append(said(Some(&bot), "c"))).map(drop));
            let new = NewTask::new(1).assign_to(bot.clone());
            refused("assignee", store.write(|tx| tx.queue().enqueue(new)).map(drop));
        }
        let new = NewTask::new(1).id(TaskId::new(name.as_str()).unwrap());
        refused("task", store.write(|tx| tx.queue().enqueue(new)).map(drop));
        refused("config", store.write(|tx| tx.config().put(name, &json!(1))));
        refused("conversation", store.write(|tx| tx.chat().append(said(None, name))).map(drop));
        refused("kind", store.write(|tx| tx.documents().put(name, "s", &json!(1))).map(drop));
        refused("source", store.write(|tx| tx.documents().put("k", name, &json!(1))).map(drop));
        refused("backup", store.backup(BackupRequest::new(Kind::Queue).source(name.as_str()).data(json!(1))).map(drop));
    }
    assert!(store.write(|tx| tx.collection("..")?.put("k", &1)).is_err());
    let removed = |tx: &mut hivekeep::WriteTx<'_>| {
        Ok([
            tx.registry().remove(&odd)?,
            tx.config().remove(ODD)?,
            tx.documents().remove(HOSTILE, HOSTILE)?,
            tx.documents().remove("registry", ODD)?,
            tx.collection::<Value>("rooms")?.remove(HOSTILE)?,
        ])
    };
    assert_eq!(store.write(removed).unwrap(), [true; 5]);
    assert!(store.check().unwrap().is_sound());
}
