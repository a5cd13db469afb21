//! Reading the past while the present goes on, and going back to it: points, differences, restore and undo, and the
//! history of every commit.
//!
//!     cargo run --example time_travel

use std::error::Error;
use std::time::Duration;

use hivekeep::{Clock, ManualClock, RestoreOptions, Selector, Store};
use serde_json::json;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    // A clock that is moved by hand, so that this shows the same every time.
    let clock = ManualClock::new("2026-01-02T12:00:00Z".parse()?);
    let hour = Duration::from_secs(3600);
    let store = Store::options().clock(clock.clone()).history(hour).open(folder.path().join("hive.redb"))?;
    let set = |name: &str, value: serde_json::Value| store.write(|tx| tx.config().put(name, &value));

    set("limit", json!(5))?;
    set("model", json!({"name": "small", "temperature": 0.2}))?;
    let morning = store.restore_point("all is well")?;

    clock.advance(Duration::from_secs(600));
    set("model", json!({"name": "large", "temperature": 0.2}))?;
    let before_the_mistake = clock.now();

    clock.advance(Duration::from_secs(5));
    store.write(|tx| {
        tx.config().remove("limit")?;
        tx.config().put("surprise", &json!(true))
    })?;

    println!("what has changed since {}:", morning.description);
    let diff = store.diff(&morning, Selector::Now)?;
    print!("{diff}");
    assert_eq!(
        diff.to_string(),
        "- config/limit 5\n~ config/model name: \"small\" -> \"large\"\n+ config/surprise true\n"
    );

    println!("\nthe past can be read while the present goes on:");
    let then = store.at(&morning)?;
    set("limit", json!(9))?;
    let (was, is) = (then.config().get("limit")?, store.view()?.config().get("limit")?);
    println!("  the limit was {}, and is {}", was.clone().unwrap_or_default(), is.unwrap_or_default());
    assert_eq!(was, Some(json!(5)));

    println!("\nevery commit of the last hour can be read by its time, so only the mistake need go:");
    let plan = store.plan_restore(Selector::At(before_the_mistake), RestoreOptions::new())?;
    print!("{plan}");
    let report = store.apply(&plan)?;
    assert_eq!((report.total(), report.collections["config"].removed), (2, 1));
    let model = store.view()?.config().get("model")?;
    assert_eq!(model, Some(json!({"name": "large", "temperature": 0.2})), "what came before it has stayed");

    println!("\na single record comes back alone:");
    let one = RestoreOptions::new().only(["config"]).key("model");
    let report = store.restore(&morning, one)?;
    let undo = report.undo.as_ref().ok_or("nothing has changed")?;
    println!("  {} record, undone by {undo}", report.total());
    assert_eq!(store.view()?.config().get("model")?, Some(json!({"name": "small", "temperature": 0.2})));

    println!("\nundo gives back what was, but not over later work:");
    set("model", json!({"name": "huge"}))?;
    let refused = store.undo().err().ok_or("the later work was overwritten")?;
    println!("  {refused}");
    store.undo_discarding()?;
    assert_eq!(store.view()?.config().get("model")?, model);

    let report = store.check()?;
    println!("\n{} points verified, {} findings", report.points, report.found);
    assert!(report.is_sound());
    store.close()?;
    Ok(())
}
