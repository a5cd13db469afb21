//! Encrypted archives.

use hivekeep::{ErrorKind, ExportOptions, ImportOptions, Store};

use crate::hive::{Hive, digests};

/// A key made for this test.
const SECRET: &str = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";
const PUBLIC: &str = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";

#[test]
fn only_who_has_the_key_can_read_it() {
    let hive = Hive::full();
    let options = ExportOptions::new().recipient(PUBLIC).unwrap();
    let file = hive.path("a.tar.zst.age");
    let report = hive.store.export(&file, &options).unwrap();
    assert!(report.encrypted);
    let (kind, message) = hive.refused(&file);
    assert_eq!((kind, message.ends_with("give its identity")), (ErrorKind::Invalid, true), "{message}");
    let wrong = ImportOptions::new().passphrase("wrong").unwrap();
    assert_eq!(Store::verify_archive(&file, &wrong).unwrap_err().kind(), ErrorKind::Invalid);
    let right = ImportOptions::new().identities(&format!("# mine\n{SECRET}\n")).unwrap();
    Store::import_new(&file, hive.path("new.redb"), &right).unwrap();
    assert_eq!(digests(&Store::open(hive.path("new.redb")).unwrap()), digests(&hive.store));
    let bytes = std::fs::read(&file).unwrap();
    for at in [bytes.len() / 3, bytes.len() - 1] {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        std::fs::write(&file, bytes).unwrap();
        assert_eq!(Store::verify_archive(&file, &right).unwrap_err().kind(), ErrorKind::Damaged);
    }
    std::fs::write(&file, &bytes[..bytes.len() - 20]).unwrap();
    assert_eq!(Store::verify_archive(&file, &right).unwrap_err().kind(), ErrorKind::Damaged);
}

#[test]
fn a_passphrase_opens_it_and_another_does_not() {
    let hive = Hive::full();
    let options = ExportOptions::new().passphrase("correct horse\n").unwrap();
    let file = hive.path("a.tar.gz.age");
    hive.store.export(&file, &options).unwrap();
    let right = ImportOptions::new().passphrase("correct horse").unwrap();
    let report = hive.store.import(&file, &right).unwrap();
    assert_eq!(report.claims_returned, 1);
    let wrong = ImportOptions::new().passphrase("battery staple").unwrap();
    assert_eq!(hive.store.import(&file, &wrong).unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn the_work_of_a_passphrase_does_not_depend_on_the_load_of_the_machine() {
    let hive = Hive::full();
    let file = hive.path("a.tar.gz.age");
    hive.store.export(&file, &ExportOptions::new().passphrase("correct horse").unwrap()).unwrap();
    let bytes = std::fs::read(&file).unwrap();
    let header = String::from_utf8_lossy(&bytes[..200]).into_owned();
    let line = header.lines().find(|line| line.starts_with("-> scrypt ")).unwrap();
    assert!(line.ends_with(" 18"), "{line}");
}

#[test]
fn what_cannot_work_is_refused_before_anything_is_written() {
    let hive = Hive::empty();
    assert!(ExportOptions::new().recipient("age1wrong").is_err());
    assert!(ExportOptions::new().passphrase("\n").is_err());
    assert!(ImportOptions::new().identities("# nothing").is_err());
    let both = ExportOptions::new().recipient(PUBLIC).unwrap().passphrase("x");
    assert_eq!(both.unwrap_err().kind(), ErrorKind::Invalid);
    let sealed = ExportOptions::new().passphrase("x").unwrap();
    let plain = hive.store.export(hive.path("a.tar.gz"), &sealed).unwrap_err();
    assert!(plain.to_string().contains("a.tar.gz.age"), "{plain}");
    let open = hive.store.export(hive.path("a.tar.gz.age"), &ExportOptions::new()).unwrap_err();
    assert_eq!(open.kind(), ErrorKind::Invalid);
}
