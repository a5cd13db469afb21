//! The last object of a term is damaged: the moments before it come back, and are taken over.

use object_store::ObjectStoreExt;
use object_store::path::Path;

use super::moment::ReplicaMoment;
use crate::engine::store::Store;
use crate::error::{ErrorKind, Result};
use crate::replica::connection::runtime::block_on;
use crate::replica::following::take_over::TakeOverOptions;
use crate::replica::gated_test::{Fleet, numbers, put};
use crate::replica::objects::name::Folder;
use crate::replica::shipping::outgoing::ShipOutcome;
use crate::replica::terms::remote::Remote as _;

#[test]
fn behind_a_damaged_last_object_an_earlier_moment_is_taken_over_and_shipped_with_one_claim() {
    block_on(earlier_moment()).unwrap();
}

async fn earlier_moment() -> Result<()> {
    let (fleet, store) = Fleet::begin().await?;
    let door = fleet.world.door();
    let mut writer = fleet.shipper(&door, &store).await?;
    let mut last = None;
    let mut before = 0;
    for number in 0..4 {
        before = store.feed_status()?.unwrap().sequence;
        put(&store, number)?;
        assert_eq!(writer.step().await?, ShipOutcome::Done);
        last = writer.last_object();
    }
    // It is killed, and its last object rots.
    drop((writer, store));
    let path = Path::from(format!("p/{}", last.unwrap()));
    let mut bytes = door.get(&path).await.unwrap().bytes().await.unwrap().to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    door.delete(&path).await.unwrap();
    door.put(&path, bytes.into()).await.unwrap();

    let copier = fleet.copier(&door).await?;
    let copy = fleet.path("copy.redb");
    let refused = copier.restore(&copy, &ReplicaMoment::Newest).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Damaged, "{refused}");
    copier.restore(&copy, &ReplicaMoment::Sequence(before)).await?;
    Store::take_over_replica(&copy, &TakeOverOptions::default())?;
    let taken = fleet.open(&copy)?;
    assert_eq!(numbers(&taken), [0, 1, 2]);
    let claims = copier.remote.list(Folder::Terms).await?.len();
    let mut shipper = fleet.shipper(&door, &taken).await?;
    put(&taken, 9)?;
    assert_eq!(shipper.step().await?, ShipOutcome::Done);
    assert_eq!(copier.remote.list(Folder::Terms).await?.len(), claims + 1);
    shipper.release().await?;
    let again = fleet.path("again.redb");
    fleet.copier(&door).await?.restore(&again, &ReplicaMoment::Newest).await?;
    assert_eq!(numbers(&fleet.options().open(&again)?), [0, 1, 2, 9]);
    Ok(())
}
