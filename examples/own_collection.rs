//! A type of your own in a collection of your own: with restore points, differences, restore and undo like all state.
//!
//!     cargo run --example own_collection

use std::error::Error;

use hivekeep::{RestoreOptions, Selector, Store};
use serde::{Deserialize, Serialize};

/// This program's record of a room. Any type that serde can write as JSON will do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Room {
    celsius: f64,
    windows: Vec<Window>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Window {
    Open,
    Shut,
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let store = Store::open(folder.path().join("hive.redb"))?;

    // The first put creates the collection. All changes of a closure are committed together, or none.
    store.write(|tx| {
        let mut rooms = tx.collection("rooms")?;
        rooms.put("attic", &Room { celsius: 31.0, windows: vec![Window::Shut] })?;
        rooms.put("cellar", &Room { celsius: 12.5, windows: vec![] })?;
        rooms.put("kitchen", &Room { celsius: 22.0, windows: vec![Window::Open, Window::Shut] })
    })?;
    let point = store.restore_point("before the airing")?;

    store.write(|tx| {
        let mut rooms = tx.collection::<Room>("rooms")?;
        let attic = rooms.get("attic")?;
        if let Some(attic) = attic {
            rooms.put("attic", &Room { windows: vec![Window::Open], ..attic })?;
        }
        rooms.remove("cellar").map(drop)
    })?;

    println!("the rooms now:");
    let view = store.view()?;
    let rooms = view.collection::<Room>("rooms")?;
    for room in rooms.list() {
        let (name, room) = room?;
        println!("  {name}: {} °C, windows {:?}", room.celsius, room.windows);
    }
    assert_eq!(rooms.count()?, 2);
    let from_k: Vec<_> = rooms.range("k"..).collect::<Result<_, _>>()?;
    assert_eq!(from_k.len(), 1);

    println!("since the restore point:");
    let diff = store.diff(&point, Selector::Now)?;
    print!("{diff}");
    assert_eq!(
        diff.to_string(),
        "~ rooms/attic windows: [\"Shut\"] -> [\"Open\"]\n- rooms/cellar {\"celsius\":12.5,\"windows\":[]}\n"
    );

    // Only this collection goes back; whatever else the store holds stays as it is.
    let report = store.restore(&point, RestoreOptions::new().only(["rooms"]))?;
    println!("restored {} records; undo with: hivekeep undo", report.total());
    let view = store.view()?;
    let cellar = view.collection::<Room>("rooms")?.get("cellar")?;
    assert_eq!(cellar, Some(Room { celsius: 12.5, windows: vec![] }));
    store.close()?;
    Ok(())
}
