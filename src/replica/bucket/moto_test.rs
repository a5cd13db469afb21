//! A bucket of a server that speaks the protocol of S3: moto, a program in Python. Without it these tests do nothing.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};

use super::Creation;
use super::calls::Bucket;
use crate::error::ErrorKind;
use crate::replica::bucket::faulty_test::run;
use crate::replica::connection::probe::probe;
use crate::replica::objects::name::{Folder, ObjectName, ReplicaSlot, Term};

/// A server, which ends with the test.
pub(crate) struct Moto {
    child: Child,
    port: u16,
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

impl Moto {
    /// A server with a bucket; none on a machine without moto.
    pub(crate) fn start(bucket: &str) -> Option<Self> {
        let look =
            Command::new("python3").args(["-c", "import flask_cors, moto.server"]).stderr(Stdio::null()).status();
        if !look.is_ok_and(|status| status.success()) {
            println!("skipped: this needs Python with moto[s3], flask and flask-cors");
            return None;
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new("python3");
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/buckets/one_at_a_time.py"));
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]).stdout(Stdio::null()).stderr(Stdio::null());
        let moto = Self { child: command.spawn().unwrap(), port };
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(60), "moto does not start");
            std::thread::sleep(Duration::from_millis(50));
        }
        let created = run(reqwest_put(&format!("http://127.0.0.1:{port}/{bucket}")));
        assert!(created, "moto does not create a bucket");
        Some(moto)
    }

    /// A location on the server.
    pub(crate) fn location(&self, bucket: &str) -> String {
        format!("s3://{bucket}?endpoint=http://127.0.0.1:{}&region=us-east-1", self.port)
    }

    /// Credentials, which this server takes whatever they are.
    pub(crate) fn environment() -> Vec<super::variables::Variable> {
        [("AWS_ACCESS_KEY_ID", "one"), ("AWS_SECRET_ACCESS_KEY", "two")]
            .map(|(name, value)| (name.into(), value.into()))
            .into()
    }

    fn bucket(&self, bucket: &str) -> Bucket {
        Bucket::open_with(&self.location(bucket).parse().unwrap(), &Self::environment()).unwrap()
    }
}

async fn reqwest_put(url: &str) -> bool {
    super::connect::plain_client().put(url).send().await.is_ok_and(|answer| answer.status().is_success())
}

fn log(index: u64) -> ObjectName {
    ObjectName::Log(ReplicaSlot { term: Term(1), index })
}

#[test]
fn a_server_that_speaks_s3_creates_once_lists_in_pages_and_deletes() {
    let Some(moto) = Moto::start("bucket") else { return };
    let bucket = moto.bucket("bucket/some/prefix");
    run(async {
        probe(&bucket).await.unwrap();
        assert_eq!(bucket.list(Folder::Probe(0), None).await.unwrap(), []);
        assert_eq!(bucket.get(&log(1)).await.unwrap(), None);
        let body = Bytes::from(vec![7; 3 << 20]);
        assert!(matches!(bucket.create(&log(1), body.clone()).await.unwrap(), Creation::Created));
        assert!(matches!(bucket.create(&log(1), Bytes::new()).await.unwrap(), Creation::Exists));
        assert_eq!(bucket.get(&log(1)).await.unwrap().unwrap(), body);
        // A page has a thousand names.
        let created = stream::iter(2..=1_205).map(|index| {
            let bucket = &bucket;
            async move { bucket.create(&log(index), Bytes::from_static(b"x")).await.unwrap() }
        });
        let created: Vec<_> = created.buffer_unordered(16).collect().await;
        assert!(created.iter().all(|creation| matches!(creation, Creation::Created)));
        let names = bucket.list(Folder::Log(Term(1)), None).await.unwrap();
        assert_eq!(names, (1..=1_205).map(log).collect::<Vec<_>>());
        let names = bucket.list(Folder::Log(Term(1)), Some(&log(1_203))).await.unwrap();
        assert_eq!(names, [log(1_204), log(1_205)]);
        for _ in 0..2 {
            bucket.delete(&log(1)).await.unwrap();
        }
        assert_eq!(bucket.get(&log(1)).await.unwrap(), None);
    });
}

#[test]
fn a_missing_bucket_and_a_server_that_is_away_are_named() {
    let Some(moto) = Moto::start("bucket") else { return };
    run(async {
        let missing = moto.bucket("missing");
        for error in [
            missing.get(&ObjectName::Store).await.unwrap_err(),
            missing.create(&ObjectName::Store, Bytes::new()).await.unwrap_err(),
            missing.list(Folder::Terms, None).await.unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
            let begins = "there is no such bucket: bucket=s3://missing?endpoint=http://127.0.0.1:";
            assert!(error.to_string().starts_with(begins), "{error}");
        }
        let away = moto.bucket("bucket").with_patience(Duration::from_millis(200));
        drop(moto);
        assert!(matches!(away.create(&ObjectName::Store, Bytes::new()).await.unwrap(), Creation::Unknown(_)));
        let error = away.get(&ObjectName::Store).await.unwrap_err();
        assert!(error.kind() == ErrorKind::Io && error.to_string().contains("bucket=s3://bucket?endpoint="), "{error}");
    });
}
