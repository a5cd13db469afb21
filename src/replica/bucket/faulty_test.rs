//! A bucket in memory that fails or lies on purpose.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// The lies of a bucket.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lies {
    /// Everybody creates everything, as `rclone serve s3` lets them.
    pub(crate) overwrites: bool,
    /// Looks and writes in two steps, as `s3s-fs` does.
    pub(crate) loses_races: bool,
    /// Forgets after a while that a name exists.
    pub(crate) creates_again: bool,
    pub(crate) loses: bool,
    pub(crate) flips: bool,
    pub(crate) lists_nothing: bool,
    /// Answers every creation with a conflict.
    pub(crate) conflicts: bool,
    /// Answers every creation with a failure.
    pub(crate) takes_nothing: bool,
}

/// A bucket in memory that lies, or one that is right and unreliable.
#[derive(Debug)]
pub(crate) struct Faulty {
    inner: InMemory,
    lies: Lies,
    /// The state of the faults of an unreliable bucket; zero if it is reliable.
    chance: AtomicU64,
    /// Each creation takes so long, in milliseconds.
    delay_ms: AtomicU64,
    /// Nothing can be created while it is away.
    is_away: AtomicBool,
}

impl Faulty {
    pub(crate) fn new(lies: Lies) -> Self {
        Self::with(InMemory::new(), lies)
    }

    /// One that has these objects.
    pub(crate) fn with(inner: InMemory, lies: Lies) -> Self {
        let (chance, delay_ms, is_away) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
        Self { inner, lies, chance, delay_ms, is_away }
    }

    /// A bucket that loses requests and answers, and answers with conflicts, by a seed.
    pub(crate) fn unreliable(seed: u64) -> Self {
        let faulty = Self::new(Lies::default());
        faulty.make_unreliable(seed);
        faulty
    }

    /// From now on it is unreliable.
    pub(crate) fn make_unreliable(&self, seed: u64) {
        self.chance.store(seed | 1 << 40, Ordering::Relaxed);
    }

    /// From now on each creation takes so long.
    pub(crate) fn delay(&self, time: Duration) {
        self.delay_ms.store(u64::try_from(time.as_millis()).unwrap(), Ordering::Relaxed);
    }

    /// It is away, or back.
    pub(crate) fn be_away(&self, is_away: bool) {
        self.is_away.store(is_away, Ordering::Relaxed);
    }

    /// A reliable copy of what it has now.
    pub(crate) fn image(&self) -> InMemory {
        self.inner.fork()
    }

    /// A number below 100; 99 in a reliable bucket.
    fn percent(&self) -> u64 {
        let old = self.chance.load(Ordering::Relaxed);
        if old == 0 {
            return 99;
        }
        let next = old.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407).max(1);
        self.chance.store(next, Ordering::Relaxed);
        (next >> 33) % 100
    }
}

fn failed() -> Error {
    Error::Generic { store: "faulty", source: "503 SlowDown".into() }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faulty")
    }
}

#[async_trait::async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, path: &Path, payload: PutPayload, mut options: PutOptions) -> Result<PutResult> {
        assert_eq!(options.mode, PutMode::Create, "nothing else is ever written");
        let exists = |path: &Path| Error::AlreadyExists { path: path.to_string(), source: "409".into() };
        tokio::time::sleep(Duration::from_millis(self.delay_ms.load(Ordering::Relaxed))).await;
        let chance = self.percent();
        match chance {
            _ if self.is_away.load(Ordering::Relaxed) => return Err(failed()),
            0..5 => return Err(failed()),
            5..10 => return Err(exists(path)),
            _ => {}
        }
        if self.lies.takes_nothing {
            return Err(failed());
        }
        if self.lies.conflicts {
            return Err(exists(path));
        }
        let is_there = self.inner.head(path).await.is_ok();
        let is_second = payload.content_length() < 10;
        if self.lies.overwrites || self.lies.creates_again && is_second {
            options.mode = PutMode::Overwrite;
        }
        if self.lies.loses_races && !is_there {
            tokio::time::sleep(Duration::from_millis(5)).await;
            options.mode = PutMode::Overwrite;
        }
        let payload = if self.lies.flips { PutPayload::from("flipped") } else { payload };
        let done = self.inner.put_opts(path, payload, options).await?;
        if (10..20).contains(&chance) { Err(failed()) } else { Ok(done) }
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(failed())
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        if self.percent() < 10 {
            return Err(failed());
        }
        if self.lies.loses {
            return Err(Error::NotFound { path: path.to_string(), source: "404".into() });
        }
        self.inner.get_opts(path, options).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        if self.percent() < 10 {
            return stream::once(async { Err(failed()) }).boxed();
        }
        if self.lies.lists_nothing { stream::empty().boxed() } else { self.inner.list(prefix) }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(failed())
    }
}

/// Runs to its end, as a caller of the library does.
pub(crate) fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}
