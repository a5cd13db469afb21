//! The files beside the store are removed or replaced while processes live, and one of them dies or closes.


use super::shared::ONLY;
use super::test::open;
use crate::engine::wal::folder::{FindSharedPage, LogFolder};
use crate::engine::wal::test::C;
use crate::testkit::proof::disk::Disk;

#[test]
fn a_store_is_closed_in_all_processes_whatever_came_to_its_shared_page_or_its_log() {
    for (harm, drops) in (0..3).flat_map(|harm| [(harm, false), (harm, true)]) {
        let disk = Disk::default();
        let hives = [(); 3].map(|()| open(&disk));
        hives.iter().for_each(|hive| hive.store.at_close(Box::new(|tx| tx.put(C, b"end", b"1"))));
        (0..4).for_each(|number| hives[0].put("a", number).unwrap());
        assert_eq!(hives[1].get("a"), Some(3));
        let page = disk.file().folder().shared_page(FindSharedPage::Existing).unwrap().unwrap();
        match harm {
            0 => page.file.set_len(0).unwrap(),
            1 => page.file.write(0, &[7; 256]).unwrap(),
            _ => disk.file().folder().remove(ONLY).unwrap(),
        }
        // The last one has not looked at the log.
        for hive in hives.into_iter().rev() {
            match drops {
                true => drop(hive),
                false => hive.store.close_file().unwrap_or_else(|error| panic!("{harm} {error}")),
            }
        }
        let again = open(&disk);
        assert_eq!(again.get("a"), Some(3), "{harm}");
        again.put("a", 4).unwrap();
        assert!(again.is_sound());
    }
}
