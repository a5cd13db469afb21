//! The proof of a bucket: that of several writers of one object exactly one wins, also when they race, and
//! that what it says it has stored is there. The whole protocol stands on this, and some servers that speak
//! the protocol of S3 do not do it.

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures_util::future::join_all;

use crate::error::{Error, ErrorKind, Result};
use crate::replica::bucket::{Bucket, Creation, Pauses};
use crate::replica::objects::layout::Nonce;
use crate::replica::objects::name::{Folder, ObjectName};

/// How much a bucket has to prove.
struct Proof {
    races: u32,
    /// Races that may end without a winner, because the bucket answered each writer with a conflict.
    spare: u32,
    /// The writers in each race.
    writers: usize,
    /// Whether a list must show what was created.
    lists: bool,
}

/// Servers that are right one by one and wrong in a race let nearly all of 16 win.
const THOROUGH: Proof = Proof { races: 5, spare: 20, writers: 16, lists: true };
/// For a bucket that has proven itself before.
const BRIEF: Proof = Proof { races: 1, spare: 3, writers: 4, lists: false };

/// The lies of a bucket: each says what was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lie {
    /// Several writers of one object were told that theirs was created.
    SeveralCreated { created: usize, writers: usize },
    /// A name that existed was created again.
    CreatedAgain,
    /// The bucket has something else than it said that it had stored.
    OtherBytes,
    /// An object that was created is not there.
    Lost,
    /// An object that was created is in no list.
    NotListed,
}

/// Proves a bucket.
///
/// # Errors
///
/// `Invalid` when the bucket cannot keep two writers apart, naming the fault; the errors of the bucket.
pub(crate) async fn probe(bucket: &Bucket) -> Result<()> {
    prove(bucket, THOROUGH).await
}

/// The same with few requests, for a bucket that has proven itself before: another server may answer by now.
///
/// # Errors
///
/// As [`probe`].
pub(crate) async fn probe_briefly(bucket: &Bucket) -> Result<()> {
    prove(bucket, BRIEF).await
}

async fn prove(bucket: &Bucket, proof: Proof) -> Result<()> {
    let (id, mut tried) = (Nonce::new().0, 0);
    let lie = find_lie(bucket, proof, id, &mut tried).await;
    for number in 0..tried {
        // A bucket that locks its objects keeps these few as well.
        if bucket.delete(&ObjectName::Probe(id, number)).await.is_err() {
            break;
        }
    }
    lie?.map_or(Ok(()), |lie| Err(refused(lie, bucket)))
}

/// Lets the bucket prove itself with objects of that id, of which so many may be there.
async fn find_lie(bucket: &Bucket, proof: Proof, id: u128, tried: &mut u32) -> Result<Option<Lie>> {
    let Proof { races, spare, writers, lists } = proof;
    let mut created = Vec::new();
    let (mut lie, mut no_answer) = (None, None);
    while *tried < races + spare && created.len() < races as usize && lie.is_none() {
        let name = ObjectName::Probe(id, *tried);
        *tried += 1;
        match race(bucket, &name, writers, &mut no_answer).await? {
            Ok(true) => created.push(name),
            Ok(false) => {}
            Err(found) => lie = Some(found),
        }
    }
    if lie.is_none() && created.len() < races as usize {
        if let Some(error) = no_answer {
            return Err(error);
        }
        let why = "the bucket answers each of several writers with a conflict, so that none can write";
        return Err(Error::new(ErrorKind::Io, format!("{why}: bucket={}", bucket.shown())));
    }
    if lie.is_none() && lists {
        lie = not_listed(bucket, id, &created).await?;
    }
    Ok(lie)
}

/// Whether this process has seen that its bucket keeps two writers apart.
#[derive(Debug, Default)]
pub(in crate::replica) struct Proven(AtomicBool);

impl Proven {
    /// Lets the bucket prove itself once.
    ///
    /// # Errors
    ///
    /// As [`probe`]. The next call tries again.
    pub(in crate::replica) async fn prove(&self, bucket: &Bucket) -> Result<()> {
        if !self.0.load(Ordering::Relaxed) {
            probe_briefly(bucket).await?;
            self.0.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// Writes a small object, and removes it.
///
/// # Errors
///
/// `Forbidden` when the bucket refuses it; `Io` without an answer; the errors of the bucket.
pub(crate) async fn try_write(bucket: &Bucket) -> Result<()> {
    let name = ObjectName::Probe(Nonce::new().0, 0);
    let written = bucket.create(&name, Bytes::from_static(b"\n")).await?;
    // A bucket that locks its objects keeps it.
    let _gone = bucket.delete(&name).await;
    match written {
        Creation::Unknown(error) => Err(error),
        Creation::Created | Creation::Exists => Ok(()),
    }
}

/// Lets several writers create one object. True if one of them did, false if none could. Keeps the error of one if none
/// got an answer.
async fn race(
    bucket: &Bucket,
    name: &ObjectName,
    writers: usize,
    no_answer: &mut Option<Error>,
) -> Result<Result<bool, Lie>> {
    let texts: Vec<_> = (0..writers).map(|writer| Bytes::from(format!("{} {writer}\n", Nonce::new()))).collect();
    let answers = join_all(texts.iter().map(|text| bucket.create(name, text.clone()))).await;
    let answers = answers.into_iter().collect::<Result<Vec<_>>>()?;
    let winners = || texts.iter().zip(&answers).filter(|(_, answer)| matches!(answer, Creation::Created));
    if winners().count() > 1 {
        return Ok(Err(Lie::SeveralCreated { created: winners().count(), writers }));
    }
    let winner = winners().next().map(|(text, _)| text.clone());
    *no_answer = None;
    let Some(found) = bucket.get(name).await? else {
        let errors =
            answers.into_iter().map(|answer| if let Creation::Unknown(error) = answer { Some(error) } else { None });
        *no_answer = errors.collect::<Option<Vec<_>>>().and_then(|mut errors| errors.pop());
        return Ok(if winner.is_some() { Err(Lie::Lost) } else { Ok(false) });
    };
    let is_told = match &winner {
        Some(winner) => *winner == found,
        // The answer to the winner was lost, or was a conflict.
        None => texts.contains(&found),
    };
    if !is_told {
        return Ok(Err(Lie::OtherBytes));
    }
    again(bucket, name, found).await
}

/// Creates an object that is there once more.
async fn again(bucket: &Bucket, name: &ObjectName, found: Bytes) -> Result<Result<bool, Lie>> {
    let mut pauses = bucket.pauses();
    loop {
        match bucket.create(name, Bytes::from_static(b"again\n")).await? {
            Creation::Exists => break,
            Creation::Created => return Ok(Err(Lie::CreatedAgain)),
            Creation::Unknown(error) => pauses.pause(error).await?,
        }
    }
    Ok(match bucket.get(name).await? {
        Some(now) if now == found => Ok(true),
        Some(_) => Err(Lie::OtherBytes),
        None => Err(Lie::Lost),
    })
}

/// Waits until all of these are listed.
async fn not_listed(bucket: &Bucket, id: u128, created: &[ObjectName]) -> Result<Option<Lie>> {
    let mut pauses = Pauses::within(bucket.patience().min(std::time::Duration::from_secs(10)));
    loop {
        let listed = bucket.list(Folder::Probe(id), None).await?;
        if created.iter().all(|name| listed.contains(name)) {
            return Ok(None);
        }
        if pauses.pause(refused(Lie::NotListed, bucket)).await.is_err() {
            return Ok(Some(Lie::NotListed));
        }
    }
}

fn refused(lie: Lie, bucket: &Bucket) -> Error {
    let bucket = bucket.shown();
    let told = match lie {
        Lie::SeveralCreated { created, writers } => {
            format!("the bucket confirmed one object's creation to {created} of {writers} writers")
        }
        Lie::CreatedAgain => "the bucket creates an object again that exists".to_owned(),
        Lie::OtherBytes => "the bucket has other bytes than it said that it had stored".to_owned(),
        Lie::Lost => "the bucket lost an object that it said it had created".to_owned(),
        Lie::NotListed => "the bucket does not list an object that it created".to_owned(),
    };
    Error::invalid(format!("{told}, so it cannot keep two writers apart; use another bucket: bucket={bucket}"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::StreamExt;
    use object_store::memory::InMemory;

    use super::*;
    use crate::replica::bucket::faulty_test::{Faulty, Lies, run};
    use crate::replica::gated_test::World;

    #[test]
    fn a_folder_and_a_right_bucket_pass_and_nothing_of_the_proof_stays() {
        let folder = tempfile::tempdir().unwrap();
        let location = folder.path().join("replica").to_str().unwrap().parse().unwrap();
        for bucket in [Bucket::begin(&location).unwrap(), Bucket::of(Arc::new(InMemory::new()))] {
            run(async {
                probe(&bucket).await.unwrap();
                probe(&bucket).await.unwrap();
            });
        }
        let left = walk(folder.path());
        assert!(left.is_empty(), "{left:?}");
    }

    #[test]
    fn a_try_to_write_leaves_nothing_and_names_credentials_that_may_only_read() {
        let objects = Arc::new(InMemory::new());
        let refused = || object_store::Error::PermissionDenied { path: "p".into(), source: "403".into() };
        let door = World::default().door();
        door.away(Some(refused));
        run(async {
            try_write(&Bucket::of(objects.clone())).await.unwrap();
            assert_eq!(object_store::ObjectStore::list(&*objects, None).count().await, 0);
            let refused = try_write(&Bucket::of(Arc::new(door))).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Forbidden, "{refused}");
        });
    }

    fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
    }

    #[test]
    fn a_bucket_that_lies_is_refused_and_the_message_says_how_it_lies() {
        for (lies, told) in [
            (Lies { overwrites: true, ..Lies::default() }, "creation to 16 of 16 writers"),
            (Lies { loses_races: true, ..Lies::default() }, "confirmed one object's creation to"),
            (Lies { creates_again: true, ..Lies::default() }, "creates an object again"),
            (Lies { loses: true, ..Lies::default() }, "lost an object"),
            (Lies { flips: true, ..Lies::default() }, "other bytes"),
            (Lies { lists_nothing: true, ..Lies::default() }, "does not list"),
            (Lies { conflicts: true, ..Lies::default() }, "answers each of several writers with a conflict"),
            (Lies { takes_nothing: true, ..Lies::default() }, "503 SlowDown"),
        ] {
            let bucket = Bucket::of(Arc::new(Faulty::new(lies))).with_patience(std::time::Duration::from_millis(200));
            let error = run(probe(&bucket)).unwrap_err().to_string();
            assert!(error.contains(told) && error.ends_with("bucket=memory"), "{error}");
        }
    }

    #[test]
    fn a_brief_proof_finds_every_lie_that_lets_two_writers_win_with_few_requests() {
        for lies in [
            Lies { overwrites: true, ..Lies::default() },
            Lies { loses_races: true, ..Lies::default() },
            Lies { creates_again: true, ..Lies::default() },
            Lies { loses: true, ..Lies::default() },
            Lies { flips: true, ..Lies::default() },
        ] {
            let error = run(probe_briefly(&Bucket::of(Arc::new(Faulty::new(lies))))).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{lies:?}: {error}");
        }
        let world = World::default();
        world.count(None);
        run(probe_briefly(&Bucket::of(Arc::new(world.door().counting())))).unwrap();
        assert_eq!(world.requests(), 4 + 1 + 1 + 1 + 1, "creations, a look, one again, a look, a deletion");
    }

    #[test]
    fn a_bucket_with_lost_answers_and_failures_passes() {
        for seed in 0..20 {
            let bucket = Bucket::of(Arc::new(Faulty::unreliable(seed)));
            run(probe(&bucket)).unwrap();
        }
    }
}
