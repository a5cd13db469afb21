//! A service whose file is taken away tells of it everywhere, and its end is no clean one.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::service::Service;
use crate::util::Hive;

#[test]
fn a_service_whose_file_was_removed_refuses_writes_is_not_ready_notifies_the_operator_and_ends_with_an_error() {
    let hive = Hive::empty();
    let told = hive.path().with_extension("told");
    let command = format!("printf %s \"$HIVEKEEP_ERROR\" > '{}'", told.display());
    let service = Service::start(&hive, &["--on-failure", &command]);
    service.put("/api/config/a", 1).ok();
    assert_eq!(service.get("/readyz").status, 200);
    fs::remove_file(hive.path()).unwrap();

    let refused = service.put("/api/config/a", 2);
    assert_eq!(refused.status, 500, "{refused:?}");
    assert!(refused.body.contains("\"kind\":\"moved\""), "{refused:?}");
    assert_eq!(service.post("/api/queue", json!({"payload": 1})).status, 500);
    let ready = service.get("/readyz");
    assert_eq!(ready.status, 503);
    assert!(ready.body.contains("moved"), "{ready:?}");
    let began = Instant::now();
    while !fs::read_to_string(&told).is_ok_and(|error| error.starts_with("the file of the store was moved or removed"))
    {
        assert!(began.elapsed() < Duration::from_secs(30), "nobody was told");
        std::thread::sleep(Duration::from_millis(20));
    }
    let (code, said) = service.stop("-TERM");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("the file of the store was moved or removed") && !said.ends_with("closed\n"), "{said}");
}
