//! Every kind of bucket does the same.

use std::io::{BufRead, BufReader, Write};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};

use super::calls::*;
use super::creation::Creation;
use crate::error::ErrorKind;
use crate::replica::bucket::faulty_test::{Faulty, run};
use crate::replica::objects::name::{BaseName, Folder, ObjectName, ReplicaSlot, Term};

fn log(term: u32, index: u64) -> ObjectName {
    ObjectName::Log(ReplicaSlot { term: Term(term), index })
}

#[test]
fn an_object_is_created_once_read_listed_in_order_and_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let directory = Bucket::begin(&folder.path().join("a/b").to_str().unwrap().parse().unwrap()).unwrap();
    for bucket in [directory, Bucket::of(Arc::new(InMemory::new())), Bucket::of(Arc::new(Faulty::unreliable(3)))] {
        run(async {
            assert_eq!(bucket.get(&log(1, 0)).await.unwrap(), None);
            assert_eq!(bucket.list(Folder::Log(Term(1)), None).await.unwrap(), []);
            for index in [10, 2, 300] {
                while !matches!(
                    bucket.create(&log(1, index), Bytes::from(format!("{index}"))).await.unwrap(),
                    Creation::Created
                ) {
                    if bucket.get(&log(1, index)).await.unwrap().is_some() {
                        break;
                    }
                }
            }
            let again = bucket.create(&log(1, 2), Bytes::from_static(b"x")).await.unwrap();
            assert!(matches!(again, Creation::Exists | Creation::Unknown(_)));
            let base = BaseName { slot: ReplicaSlot::first(Term(1)), attempt: 0 };
            for name in [log(2, 0), ObjectName::Store, ObjectName::Part(base, 1), ObjectName::Manifest(base)] {
                while bucket.get(&name).await.unwrap().is_none() {
                    bucket.create(&name, Bytes::new()).await.unwrap();
                }
            }
            assert_eq!(bucket.get(&log(1, 300)).await.unwrap().unwrap(), "300");
            assert_eq!(bucket.get(&log(1, 2)).await.unwrap().unwrap(), "2");
            let all = [log(1, 2), log(1, 10), log(1, 300)];
            assert_eq!(bucket.list(Folder::Log(Term(1)), None).await.unwrap(), all);
            assert_eq!(bucket.list(Folder::Log(Term(1)), Some(&log(1, 2))).await.unwrap(), all[1..]);
            let bases = [ObjectName::Manifest(base), ObjectName::Part(base, 1)];
            assert_eq!(bucket.list(Folder::Bases, None).await.unwrap(), bases);
            assert_eq!(bucket.list(Folder::Bases, Some(&bases[0])).await.unwrap(), bases[1..]);
            for _ in 0..2 {
                bucket.delete(&log(1, 10)).await.unwrap();
            }
            assert_eq!(bucket.list(Folder::Log(Term(1)), None).await.unwrap(), [all[0], all[2]]);
        });
    }
}

#[test]
fn files_of_others_are_not_listed_and_a_longer_object_than_any_is_damage() {
    let store = Arc::new(InMemory::new());
    let bucket = Bucket::of(store.clone());
    run(async {
        for path in ["p/term/note.txt", "p/term/00000001", "p/term/00000002/x", "q/term/00000003"] {
            store.put(&path.into(), "x".into()).await.unwrap();
        }
        assert_eq!(bucket.list(Folder::Terms, None).await.unwrap(), [ObjectName::Term(Term(1))]);
        let long = vec![0_u8; crate::replica::objects::layout::OBJECT_MAX + 1];
        store.put(&"p/store".into(), long.into()).await.unwrap();
        assert_eq!(bucket.get(&ObjectName::Store).await.unwrap_err().kind(), ErrorKind::Damaged);
    });
}

#[test]
fn a_bucket_that_never_answers_is_given_up_and_its_answer_is_named() {
    #[derive(Debug)]
    struct Silent;
    impl std::fmt::Display for Silent {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("Silent")
        }
    }
    fn silent() -> object_store::Error {
        object_store::Error::Generic { store: "silent", source: "503 no answer".into() }
    }
    #[async_trait::async_trait]
    impl ObjectStore for Silent {
        async fn put_opts(
            &self,
            _: &object_store::path::Path,
            _: object_store::PutPayload,
            _: object_store::PutOptions,
        ) -> object_store::Result<object_store::PutResult> {
            Err(silent())
        }
        async fn put_multipart_opts(
            &self,
            _: &object_store::path::Path,
            _: object_store::PutMultipartOptions,
        ) -> object_store::Result<Box<dyn object_store::MultipartUpload>> {
            Err(silent())
        }
        async fn get_opts(
            &self,
            _: &object_store::path::Path,
            _: object_store::GetOptions,
        ) -> object_store::Result<object_store::GetResult> {
            Err(silent())
        }
        fn delete_stream(
            &self,
            _: futures_util::stream::BoxStream<'static, object_store::Result<object_store::path::Path>>,
        ) -> futures_util::stream::BoxStream<'static, object_store::Result<object_store::path::Path>> {
            Box::pin(futures_util::stream::once(async { Err(silent()) }))
        }
        fn list(
            &self,
            _: Option<&object_store::path::Path>,
        ) -> futures_util::stream::BoxStream<'static, object_store::Result<object_store::ObjectMeta>> {
            Box::pin(futures_util::stream::once(async { Err(silent()) }))
        }
        async fn list_with_delimiter(
            &self,
            _: Option<&object_store::path::Path>,
        ) -> object_store::Result<object_store::ListResult> {
            Err(silent())
        }
        async fn copy_opts(
            &self,
            _: &object_store::path::Path,
            _: &object_store::path::Path,
            _: object_store::CopyOptions,
        ) -> object_store::Result<()> {
            Err(silent())
        }
    }
    let bucket = Bucket::of(Arc::new(Silent)).with_patience(Duration::from_millis(100));
    run(async {
        assert!(matches!(bucket.create(&ObjectName::Store, Bytes::new()).await, Ok(Creation::Unknown(_))));
        for error in [
            bucket.get(&ObjectName::Store).await.unwrap_err(),
            bucket.list(Folder::Terms, None).await.unwrap_err(),
            bucket.delete(&ObjectName::Store).await.unwrap_err(),
        ] {
            assert!(error.kind() == ErrorKind::Io && error.to_string().contains("503 no answer"), "{error}");
        }
    });
}

#[test]
fn a_folder_that_is_gone_or_another_one_is_an_error_and_no_absence() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r");
    let bucket = Bucket::begin(&path.to_str().unwrap().parse().unwrap()).unwrap();
    run(async {
        bucket.create(&ObjectName::Store, Bytes::new()).await.unwrap();
        std::fs::rename(&path, folder.path().join("away")).unwrap();
        for _ in 0..2 {
            assert_eq!(bucket.get(&ObjectName::Store).await.unwrap_err().kind(), ErrorKind::Io);
            assert_eq!(bucket.list(Folder::Terms, None).await.unwrap_err().kind(), ErrorKind::Io);
            assert_eq!(bucket.create(&log(1, 1), Bytes::new()).await.unwrap_err().kind(), ErrorKind::Io);
            std::fs::create_dir_all(&path).unwrap();
        }
        assert!(std::fs::read_dir(&path).unwrap().next().is_none());
    });
}

#[cfg(unix)]
#[test]
fn a_folder_that_refuses_writes_is_no_bucket_that_does_not_answer() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r");
    let bucket = Bucket::begin(&path.to_str().unwrap().parse().unwrap()).unwrap();
    run(async { bucket.create(&log(1, 1), Bytes::new()).await.unwrap() });
    let rights = |below: &str, mode| {
        std::fs::set_permissions(path.join(below), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    rights("log/00000001", 0o500);
    rights("", 0o500);
    // Root may write everywhere.
    if std::fs::write(path.join("x"), "").is_err() {
        for name in [log(1, 2), ObjectName::Hold(1)] {
            let refused = run(bucket.create(&name, Bytes::new())).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Forbidden, "{refused}");
        }
        assert!(run(bucket.get(&log(1, 1))).unwrap().is_some());
    }
    rights("", 0o700);
}

#[cfg(unix)]
#[test]
fn only_the_owner_of_a_folder_reads_what_is_in_it() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r");
    let bucket = Bucket::begin(&path.to_str().unwrap().parse().unwrap()).unwrap();
    run(async { bucket.create(&log(1, 1), Bytes::from_static(b"x")).await.unwrap() });
    let mode = |below: &str| std::fs::metadata(path.join(below)).unwrap().permissions().mode() & 0o777;
    assert_eq!([mode(""), mode("log"), mode("log/00000001")], [0o700; 3]);
    assert_eq!(mode("log/00000001/000000000001"), 0o600);
}

#[test]
fn a_folder_that_is_not_there_is_refused_by_name_and_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("typo/replica");
    let refused = Bucket::open(&path.to_str().unwrap().parse().unwrap()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotFound);
    assert!(refused.to_string().contains("typo/replica"), "{refused}");
    assert!(!folder.path().join("typo").exists());
}

#[test]
fn a_list_tells_the_lengths_of_objects_if_it_is_asked_for_them() {
    let folder = tempfile::tempdir().unwrap();
    let directory = Bucket::begin(&folder.path().to_str().unwrap().parse().unwrap()).unwrap();
    for bucket in [directory, Bucket::of(Arc::new(InMemory::new()))] {
        run(async {
            for index in [2, 10] {
                bucket.create(&log(1, index), Bytes::from("x".repeat(index as usize))).await.unwrap();
            }
            assert_eq!(bucket.lengths(Folder::Log(Term(1))).await.unwrap(), [(log(1, 2), 2), (log(1, 10), 10)]);
        });
    }
}

/// A server that gives each request the same answer.
fn answers(answer: &'static str) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let head = BufReader::new(stream.try_clone().unwrap()).lines();
            head.map_while(Result::ok).find(|line| line.is_empty());
            let _gone = write!(stream, "HTTP/1.1 {answer}");
        }
    });
    format!("http://{address}")
}

#[test]
fn credentials_in_a_file_are_read_again_once_they_are_refused() {
    let refuses = answers("403 Forbidden\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    let gives = answers(
        "200 OK\r\nConnection: close\r\nContent-Length: 1\r\nETag: \"e\"\r\n\
         Last-Modified: Fri, 02 Jan 2026 03:04:05 GMT\r\n\r\nx",
    );
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("account.json");
    let write = |server: &str| {
        let account = serde_json::json!({
            "gcs_base_url": server, "disable_oauth": true, "client_email": "", "private_key": "", "private_key_id": ""
        });
        std::fs::write(&file, account.to_string()).unwrap();
    };
    write(&refuses);
    let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let environment =
        [variable("GOOGLE_SERVICE_ACCOUNT", file.to_str().unwrap()), variable("GOOGLE_ALLOW_HTTP", "true")];
    let bucket = Bucket::open_with(&"gs://b/p".parse().unwrap(), &environment).unwrap();
    run(async {
        for _ in 0..2 {
            assert_eq!(bucket.get(&ObjectName::Store).await.unwrap_err().kind(), ErrorKind::Forbidden);
        }
        write(&gives);
        // This request has the old ones still.
        assert_eq!(bucket.get(&ObjectName::Store).await.unwrap_err().kind(), ErrorKind::Forbidden);
        assert_eq!(bucket.get(&ObjectName::Store).await.unwrap().unwrap(), "x");
    });
}

#[test]
fn a_long_list_is_refused_as_a_whole_and_comes_page_by_page_in_any_order() {
    let folder = tempfile::tempdir().unwrap();
    let directory = Bucket::begin(&folder.path().to_str().unwrap().parse().unwrap()).unwrap();
    for bucket in [directory, Bucket::of(Arc::new(InMemory::new())), Bucket::of(Arc::new(Faulty::unreliable(5)))] {
        let bucket = bucket.with_names_max(3);
        run(async {
            let all: Vec<_> = (0..8).map(|index| log(1 + index / 4, u64::from(index * 7))).collect();
            for name in all.iter().rev() {
                while bucket.get(name).await.unwrap().is_none() {
                    bucket.create(name, Bytes::from_static(b"four")).await.unwrap();
                }
            }
            let refused = bucket.list(Folder::Logs, None).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Invalid);
            assert!(refused.to_string().contains("more than 3 objects: folder=log"), "{refused}");
            let (mut after, mut pages) = (None, Vec::new());
            loop {
                let page = bucket.page(Folder::Logs, after, Some(all[7])).await.unwrap();
                pages.push(page.names);
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(pages, [&all[..3], &all[3..6], &all[6..7]]);
            let page = bucket.page_of_lengths(Folder::Log(Term(2)), Some(all[4]), None).await.unwrap();
            assert_eq!(page.names, [(all[5], 4), (all[6], 4), (all[7], 4)]);
            assert_eq!(page.next, None);
            assert!(bucket.has_any(Folder::Log(Term(2)), all[6]).await.unwrap());
            assert!(!bucket.has_any(Folder::Log(Term(2)), all[7]).await.unwrap());
        });
    }
}

/// A folder with a description and one object of the log, and its bucket.
fn begun(folder: &std::path::Path) -> (std::path::PathBuf, Bucket) {
    let path = folder.join("replica");
    let bucket = Bucket::begin(&path.to_str().unwrap().parse().unwrap()).unwrap();
    run(async {
        for name in [ObjectName::Store, log(1, 1)] {
            assert!(matches!(bucket.create(&name, Bytes::from(name.to_string())).await, Ok(Creation::Created)));
        }
    });
    (path, bucket)
}

#[test]
fn a_folder_that_is_mounted_again_is_used_again_and_an_empty_one_another_one_or_an_older_copy_is_not() {
    use crate::replica::mending::repair_test::copy_all;
    let folder = tempfile::tempdir().unwrap();
    let (path, bucket) = begun(folder.path());
    let [older, newer, other] = ["older", "newer", "other"].map(|name| folder.path().join(name));
    copy_all(&path, &older);
    copy_all(&path, &other);
    std::fs::write(other.join("store"), "another replica").unwrap();
    let create = |index| run(bucket.create(&log(1, index), Bytes::from_static(b"x")));
    assert!(matches!(create(2), Ok(Creation::Created)));
    copy_all(&path, &newer);
    std::fs::rename(&path, folder.path().join("away")).unwrap();
    let is_refused = |what: &str| {
        let refused = run(bucket.get(&log(1, 9))).unwrap_err();
        assert!(refused.to_string().contains("mount it again"), "{what}: {refused}");
        assert!(create(3).is_err(), "{what}");
    };
    is_refused("gone");
    std::fs::create_dir(&path).unwrap();
    is_refused("empty");
    std::fs::remove_dir(&path).unwrap();
    for wrong in [other, older] {
        std::fs::rename(&wrong, &path).unwrap();
        is_refused(&wrong.display().to_string());
        std::fs::rename(&path, &wrong).unwrap();
    }
    std::fs::rename(&newer, &path).unwrap();
    assert_eq!(run(bucket.get(&log(1, 9))).unwrap(), None);
    assert!(matches!(create(3), Ok(Creation::Created)));
    assert_eq!(run(bucket.list(Folder::Log(Term(1)), None)).unwrap().len(), 3);
}

#[test]
fn files_that_were_begun_long_ago_are_removed_and_all_others_stay() {
    let folder = tempfile::tempdir().unwrap();
    let (path, bucket) = begun(folder.path());
    let id = "0123456789abcdef0123456789abcdef";
    let left = ["log/00000001/000000000002", "base/00000001-000000000001-000/part-00000"];
    let others = ["notes", "log/00000001/notes"];
    let [left, others] = [left, others].map(|names| names.map(|name| path.join(format!("{name}.{id}.unfinished"))));
    std::fs::create_dir_all(left[1].parent().unwrap()).unwrap();
    for file in left.iter().chain(&others) {
        std::fs::write(file, "x").unwrap();
    }
    let now = Timestamp::now();
    run(bucket.remove_left(now - Duration::from_secs(60))).unwrap();
    assert!(left.iter().all(|file| file.exists()));
    run(bucket.remove_left(now + Duration::from_secs(60))).unwrap();
    assert!(left.iter().all(|file| !file.exists()) && others.iter().all(|file| file.exists()));
    assert_eq!(run(bucket.list(Folder::Log(Term(1)), None)).unwrap(), [log(1, 1)]);
    assert!(run(bucket.get(&ObjectName::Store)).unwrap().is_some());
}
