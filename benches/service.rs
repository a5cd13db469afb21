//! Benchmarks of the service's promises: `cargo bench --bench service [-- NAME] [--seconds N] [--rounds N]`. Each
//! figure is printed beside its aim; `docs/PERFORMANCE.md` has a run of it.
//!
//! Names are `area/operation/variant`, and a run may be of those that begin so. The sizes are the constants below.
//! Writers beside backups and archives run for 30 seconds in each way, five times; `--seconds` and `--rounds` say
//! otherwise. The replaced service's handling of a document is measured in the same run, where there is a `python3`.
#![expect(clippy::unwrap_used, reason = "a benchmark stops at what it does not expect")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hivekeep::{
    ArchivePolicy, ArchiveSchedule, BackupRequest, BotId, ClaimOptions, ExportOptions, Kind, NewTask, PointRequest,
    Policy, RestoreOptions, Scheduler, SchedulerOptions, Store, TaskId,
};
use serde_json::Value;
use tempfile::TempDir;

/// Tasks of the original's own figures, and those at which live backups must still keep them.
const FEW: usize = 100;
const MANY: usize = 1_000_000;
/// Tasks of the document that is backed up, and how many of them change between two backups.
const TASKS: usize = 100_000;
const CHANGED: usize = TASKS / 100;
/// How often each is measured.
const ROUNDS: usize = 9;
/// Threads that write beside backups and archives.
const WRITERS: usize = 4;
/// Backups of the store whose status is asked, and how often.
const BACKUPS: usize = 1_000;
const ASKED: usize = 20_000;
/// Set, this process opens the store and ends without closing it.
const VICTIM: &str = "HIVEKEEP_BENCH_VICTIM";

/// The replaced service's handling of a document: prints how many seconds it took each time, and the checksum. It comes
/// after the store's rounds, since its files on their way to the disk would hold up their syncs.
const REPLACED: &str = "
import hashlib, json, sys, time
with open(sys.argv[1]) as file:
    data = json.load(file)
for _ in range(int(sys.argv[2])):
    started = time.perf_counter()
    text = json.dumps(data, indent=2)
    checksum = hashlib.sha256(text.encode()).hexdigest()
    with open(sys.argv[1] + '.backup', 'w') as file:
        file.write(text)
    print(time.perf_counter() - started, checksum)
";

/// The figures that are wanted, and the table of what they are.
struct Bench {
    filter: String,
    /// How long writers run in each way, and how often.
    length: Duration,
    rounds: usize,
}

impl Bench {
    fn of_arguments() -> Self {
        let mut bench = Self { filter: String::new(), length: Duration::from_secs(30), rounds: 5 };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut number = || arguments.next().and_then(|number| number.parse().ok()).unwrap();
            match argument.as_str() {
                "--seconds" => bench.length = Duration::from_secs(number()),
                "--rounds" => bench.rounds = number() as usize,
                other if other.starts_with('-') => {}
                _ => bench.filter = argument,
            }
        }
        bench
    }

    fn wants(&self, area: &str) -> bool {
        area.starts_with(&self.filter) || self.filter.starts_with(area)
    }

    /// Prints a time beside the longest that it may be.
    fn time(&self, name: &str, measured: Duration, aim: Duration) {
        let ok = if measured <= aim { "ok" } else { "MISSED" };
        println!("{name:<44} {measured:>12.1?}   at most {aim:?}   {ok}");
    }

    /// Prints a number beside the least that it may be.
    fn at_least(&self, name: &str, measured: f64, aim: f64) {
        let ok = if measured >= aim { "ok" } else { "MISSED" };
        println!("{name:<44} {measured:>12.3}   at least {aim}   {ok}");
    }

    /// Prints a number beside the most that it may be.
    fn at_most(&self, name: &str, measured: f64, aim: f64) {
        let ok = if measured <= aim { "ok" } else { "MISSED" };
        println!("{name:<44} {measured:>12.3}   at most {aim}   {ok}");
    }
}

fn median<T: PartialOrd + Copy>(mut of: Vec<T>) -> T {
    of.sort_by(|one, other| one.partial_cmp(other).unwrap());
    of[of.len() / 2]
}

fn store() -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("h.redb")).unwrap();
    (folder, store)
}

fn task(number: usize) -> TaskId {
    TaskId::new(format!("task-{number:07}")).unwrap()
}

/// A store with a number of tasks of about 272 bytes.
fn store_of_tasks(count: usize) -> (TempDir, Store) {
    let (folder, store) = store();
    let payload = serde_json::json!({"title": "Inspect the greenhouse sensors", "notes": "x".repeat(150)});
    for start in (0..count).step_by(50_000) {
        store
            .load(|tx| {
                (start..count.min(start + 50_000))
                    .try_for_each(|number| tx.queue().enqueue(NewTask::new(payload.clone()).id(task(number))).map(drop))
            })
            .unwrap();
    }
    (folder, store)
}

fn timed<R>(work: impl FnOnce() -> R) -> (Duration, R) {
    let started = Instant::now();
    let done = work();
    (started.elapsed(), done)
}

/// The operations of the original with its own figures, a tenth of them at its own size.
fn live(bench: &Bench, tasks: usize, part: u32) {
    let (folder, store) = store_of_tasks(tasks);
    let mut times: [Vec<Duration>; 4] = Default::default();
    let change = |number: usize| store.write(|tx| tx.queue().cancel(&task(number % tasks)).map(drop)).unwrap();
    for round in 0..ROUNDS {
        change(2 * round);
        let (time, backup) = timed(|| store.backup(BackupRequest::new(Kind::Queue)).unwrap());
        times[0].push(time);
        change(2 * round + 1);
        let point = store.find_point(hivekeep::Selector::Id(backup.backup_id.clone())).unwrap().unwrap();
        times[2].push(timed(|| store.plan_restore(&point, RestoreOptions::new()).unwrap()).0);
        let (time, report) = timed(|| store.restore(&point, RestoreOptions::new()).unwrap());
        assert!(report.total() >= 1);
        times[1].push(time);
        let keep_few = Policy { cap: Some(1), floor: Duration::ZERO, thinning: Vec::new(), ..Policy::default() };
        let (time, forgotten) = timed(|| store.retain(&keep_few).unwrap());
        assert!(round < 2 || !forgotten.is_empty());
        times[3].push(time);
    }
    let [backup, restore, verify, cleanup] = times.map(median);
    let aim = |millis: u64| Duration::from_millis(millis) / part;
    bench.time(&format!("live/backup/{tasks}"), backup, aim(50));
    bench.time(&format!("live/restore/{tasks}"), restore, aim(10));
    bench.time(&format!("live/verify/{tasks}"), verify, aim(5));
    bench.time(&format!("live/cleanup/{tasks}"), cleanup, aim(100));
    let path = store.path().to_owned();
    store.close().unwrap();
    crash(bench, &path, tasks, Duration::from_millis(2) / part);
    drop(folder);
}

/// A process that ends without closing the store, then how long it takes to tell once the store is open.
fn crash(bench: &Bench, path: &Path, tasks: usize, aim: Duration) {
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let own = std::env::current_exe().unwrap();
        assert!(!Command::new(own).env(VICTIM, path).stderr(Stdio::null()).status().unwrap().success());
        let store = Store::open(path).unwrap();
        let (time, crash) = timed(|| {
            store.notice_crashes().unwrap();
            store.crash().unwrap()
        });
        assert!(crash.is_some());
        times.push(time);
        store.close().unwrap();
    }
    bench.time(&format!("crash/detect/{tasks}"), median(times), aim);
}

/// The tasks of a queue as bots hand it over, 272 bytes each as compact JSON; every hundredth differs by round.
fn queue(round: usize) -> String {
    let task = |number: usize| {
        let attempt = 1_000 + if number % (TASKS / CHANGED) == 7 { round } else { 0 };
        format!(
            r#"{{"id":"TASK-{number:08}","title":"Inspect the greenhouse sensors of row {number:08}","priority":"P{}","status":"pending","assigned_to":null,"created_at":"2026-01-02T03:04:05.678901","metadata":{{"attempt":{attempt},"repo":"org/greenhouse","tags":["sensors","weekly","row"],"score":0.25}}}}"#,
            number % 4,
        )
    };
    let tasks: Vec<_> = (0..TASKS).map(task).collect();
    format!(r#"{{"tasks":[{}],"version":"1.0"}}"#, tasks.join(","))
}

/// How long the replaced service takes for a backup of a document, which has that checksum;
/// nothing where there is no Python.
fn replaced(folder: &Path, document: &str, checksum: &str) -> Option<Duration> {
    let path = folder.join("document.json");
    std::fs::write(&path, document).unwrap();
    let mut command = Command::new("python3");
    let said = command.arg("-c").arg(REPLACED).arg(path).arg(ROUNDS.to_string()).output().ok()?;
    let lines = String::from_utf8(said.stdout).unwrap();
    let times = lines.lines().map(|line| {
        let (seconds, theirs) = line.split_once(' ').unwrap();
        assert_eq!(theirs, checksum);
        Duration::from_secs_f64(seconds.parse().unwrap())
    });
    Some(median(times.collect()))
}

fn document(bench: &Bench) {
    let (folder, store) = store();
    let texts: Vec<_> = (0..2).map(queue).collect();
    let values: Vec<_> = texts.iter().map(|text| hivekeep::json::parse(text.as_bytes()).unwrap()).collect();
    let request = || BackupRequest::new(Kind::Queue).source("bench");
    store.backup(request().data(&values[1])).unwrap();
    let (mut parsed, mut bytes, mut records, mut pages) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut checksum = String::new();
    for _ in 0..2 * ROUNDS {
        let written = written_bytes();
        let of_value = timed(|| store.backup(request().data(&values[0])).unwrap());
        pages.push((written_bytes() - written) as f64 / texts[0].len() as f64);
        checksum = of_value.1.checksum;
        let point = store.find_point(hivekeep::Selector::Id(of_value.1.backup_id)).unwrap().unwrap();
        bytes.push(timed(|| store.backup(request().json(texts[1].as_bytes())).unwrap()).0);
        assert_eq!(store.diff(&point, hivekeep::Selector::Now).unwrap().changes.len(), CHANGED);
        records.push(store.point_size(&point).unwrap().bytes as f64 / texts[0].len() as f64);
        parsed.push(of_value.0);
    }
    let (parsed, bytes) = (median(parsed), median(bytes));
    bench.time("document/backup/parsed", parsed, Duration::from_millis(626) / 3);
    bench.time("document/backup/bytes", bytes, Duration::from_millis(626) / 2);
    match replaced(folder.path(), &texts[0], &checksum) {
        Some(theirs) => {
            println!("{:<44} {theirs:>12.1?}", "document/backup/the replaced service");
            let times = |ours: Duration| theirs.as_secs_f64() / ours.as_secs_f64();
            bench.at_least("document/backup/replaced : parsed", times(parsed), 3.0);
            bench.at_least("document/backup/replaced : bytes", times(bytes), 2.0);
        }
        None => println!("{:<44} python3 not found", "document/backup/the replaced service"),
    }
    bench.at_most("document/backup/bytes in records", median(records), 0.03);
    bench.at_most("document/backup/bytes in pages", median(pages), 0.25);
}

/// The bytes that this process has given the system to write so far.
fn written_bytes() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    let line = io.lines().find_map(|line| line.strip_prefix("wchar: "));
    line.and_then(|bytes| bytes.parse().ok()).unwrap_or_default()
}

/// The writes of a thread in the foreground: over and over, from a number of its own.
type Foreground = fn(&Store, u64);

/// A record of 100,000, each time another one, so that after a backup nearly every write is the first of its key.
fn overwrite(store: &Store, number: u64) {
    let number = number.wrapping_mul(6_364_136_223_846_793_005) >> 40;
    store.write(|tx| tx.collection("bench")?.put(&format!("{:06}", number % 100_000), &number)).unwrap();
}

/// The work of a bot: a task is enqueued, claimed and completed, each in a commit of its own.
fn work(store: &Store, number: u64) {
    let bot = BotId::new(format!("BOT-{}", number % WRITERS as u64)).unwrap();
    store.write(|tx| tx.queue().enqueue(NewTask::new(number))).unwrap();
    for claim in store.write(|tx| tx.queue().claim(&bot, &ClaimOptions::default())).unwrap() {
        store.write(|tx| tx.queue().complete(&claim.id, claim.token, Value::Null)).unwrap();
    }
}

/// The restore points that are made while threads write.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Points {
    /// None at all, so that nothing is kept of what was.
    None,
    /// One from before. Every store has that which has made its first automatic backup.
    Before,
    /// An automatic backup every second.
    EverySecond,
}

/// Writes of several threads with a backup every second, against the same with a point from before and without any.
fn foreground(bench: &Bench) {
    for (name, what) in [("overwriting", overwrite as Foreground), ("working", work)] {
        if !bench.wants(&format!("foreground/{name}")) {
            continue;
        }
        let (mut to_before, mut to_none) = (Vec::new(), Vec::new());
        for round in 0..bench.rounds {
            let mut ways = [Points::EverySecond, Points::Before, Points::None];
            let mut done = [0; 3];
            ways.rotate_left(round % 3);
            for way in ways {
                done[way as usize] = done_beside_points(what, way, bench.length);
            }
            let [none, before, every_second] = done;
            println!(
                "{:<44} {every_second} with one every second, {before} with one from before, {none} with none",
                format!("foreground/{name}/round")
            );
            to_before.push(every_second as f64 / before as f64);
            to_none.push(every_second as f64 / none as f64);
        }
        bench.at_least(&format!("foreground/{name}/every second : before"), median(to_before), 0.97);
        bench.at_least(&format!("foreground/{name}/every second : none"), median(to_none), 0.97);
    }
}

/// How often the threads did it.
fn done_beside_points(what: Foreground, points: Points, length: Duration) -> u64 {
    let (_folder, store) = store();
    store.load(|tx| (0..100_000u64).try_for_each(|n| tx.collection("bench")?.put(&format!("{n:06}"), &n))).unwrap();
    if points == Points::Before {
        store.make_point(PointRequest::new("before")).unwrap();
    }
    let options = SchedulerOptions { backup_interval: Some(Duration::from_secs(1)), ..SchedulerOptions::default() };
    let scheduler = (points == Points::EverySecond).then(|| Scheduler::start(store.clone(), options).unwrap());
    let done = done_beside(&store, what, |_| std::thread::sleep(length));
    drop(scheduler);
    let made = store.points().unwrap().len() as u64;
    let expected = match points {
        Points::None => 0..=0,
        Points::Before => 1..=1,
        Points::EverySecond => length.as_secs().min(100) - 2..=u64::MAX,
    };
    assert!(expected.contains(&made), "{made} points");
    done
}

/// Bots at work while one archive is made after the other, each written, synced, and read back, against the same
/// without: what one archive every ten minutes takes from them.
fn archives(bench: &Bench) {
    let mut shares = Vec::new();
    for _ in 0..bench.rounds {
        let without = done_beside_archives(false, bench.length);
        let with = done_beside_archives(true, bench.length);
        let [rate, slower] = [&without, &with].map(|run| run.done as f64 / run.time.as_secs_f64());
        let each = with.time / with.archives;
        println!(
            "{:<44} {slower:.0}/s with, {rate:.0}/s without, an archive takes {each:.1?}",
            "archives/working/pair"
        );
        shares.push((1.0 - slower / rate) * each.as_secs_f64() / 600.0);
    }
    bench.at_most("archives/working/% lost to one in 10 minutes", 100.0 * median(shares), 3.0);
}

/// The work of the bots in a run, and the number of archives made meanwhile.
struct Run {
    done: u64,
    time: Duration,
    archives: u32,
}

fn done_beside_archives(with_archives: bool, length: Duration) -> Run {
    let (folder, store) = store_of_tasks(TASKS);
    let schedule = ArchiveSchedule {
        every: Duration::ZERO,
        folder: folder.path().join("archives"),
        keep: ArchivePolicy::default(),
        must_exist: false,
        sealed: ExportOptions::new(),
    };
    let (started, mut archives) = (Instant::now(), 0);
    let done = done_beside(&store, work, |bots| {
        if !with_archives {
            return std::thread::sleep(length);
        }
        while started.elapsed() < length {
            let before = bots.load(Ordering::Relaxed);
            while bots.load(Ordering::Relaxed) == before {
                std::thread::sleep(Duration::from_millis(1));
            }
            assert!(store.auto_archive(&schedule).unwrap().unwrap().verified);
            archives += 1;
        }
    });
    Run { done, time: started.elapsed(), archives }
}

/// How often the threads did it while something goes on beside them, which is told how far they are.
fn done_beside(store: &Store, what: Foreground, beside: impl FnOnce(&AtomicU64)) -> u64 {
    let (over, count) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for writer in 0..WRITERS as u64 {
            let (over, count) = (&over, &count);
            scope.spawn(move || {
                for number in (writer..).step_by(WRITERS) {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    what(store, number);
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        beside(&count);
        over.store(true, Ordering::Relaxed);
    });
    count.into_inner()
}

/// The running service.
struct Service {
    child: Child,
    address: String,
}

impl Service {
    fn start(path: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hivekeep"));
        command.args(["--store", path.to_str().unwrap(), "--json", "serve", "--listen", "127.0.0.1:0"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap();
        let address = said["listening"].as_str().unwrap().trim_start_matches("http://").to_owned();
        Self { child, address }
    }

    /// Asks so often on one connection that is kept open.
    fn ask(&self, request: &[u8], times: usize) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut buffer = vec![0; 64 << 10];
        for _ in 0..times {
            stream.write_all(request).unwrap();
            let mut length = 0;
            while !is_whole(&buffer[..length]) {
                let read = stream.read(&mut buffer[length..]).unwrap();
                assert!(read > 0);
                length += read;
            }
            assert!(buffer.starts_with(b"HTTP/1.1 200"));
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether all of an answer is there.
fn is_whole(answer: &[u8]) -> bool {
    let Some(head) = answer.windows(4).position(|part| part == b"\r\n\r\n") else { return false };
    let text = String::from_utf8_lossy(&answer[..head]).to_lowercase();
    let length = text.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()?.parse().ok());
    answer.len() >= head + 4 + length.unwrap_or(0)
}

fn status(bench: &Bench) {
    let (folder, store) = store_of_tasks(FEW);
    for number in 0..BACKUPS {
        store.write(|tx| tx.config().put("n", &number.into())).unwrap();
        store.backup(BackupRequest::new(Kind::Queue)).unwrap();
    }
    store.close().unwrap();
    let service = Service::start(&folder.path().join("h.redb"));
    let request = b"GET /api/disaster-recovery/status HTTP/1.1\r\nHost: localhost\r\n\r\n";
    service.ask(request, 1_000);
    for connections in [1, 4] {
        let time = timed(|| {
            std::thread::scope(|scope| {
                for _ in 0..connections {
                    scope.spawn(|| service.ask(request, ASKED / connections));
                }
            });
        });
        let rate = ASKED as f64 / time.0.as_secs_f64();
        bench.at_least(&format!("status/get/{connections} connections"), rate, 5_000.0);
    }
    let body = format!(r#"{{"backup_type":"queue","source":"bench","data":{}}}"#, queue(0));
    let head = "POST /api/disaster-recovery/backup HTTP/1.1\r\nHost: localhost\r\nContent-Length: ";
    let request = format!("{head}{}\r\n\r\n{body}", body.len());
    service.ask(request.as_bytes(), 1);
    let times = (0..ROUNDS).map(|_| timed(|| service.ask(request.as_bytes(), 1)).0).collect();
    bench.time("document/backup/over http, unchanged", median(times), Duration::from_millis(626) / 2);
}

fn main() {
    if let Some(path) = std::env::var_os(VICTIM) {
        let _store = Store::open(path).unwrap();
        std::process::abort();
    }
    let bench = Bench::of_arguments();
    if bench.wants("live") || bench.wants("crash") {
        live(&bench, FEW, 10);
        live(&bench, MANY, 1);
    }
    if bench.wants("document") {
        document(&bench);
    }
    if bench.wants("status") {
        status(&bench);
    }
    if bench.wants("foreground") {
        foreground(&bench);
    }
    if bench.wants("archives") {
        archives(&bench);
    }
}
