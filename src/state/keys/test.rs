//! Keys through a store: what is kept, what is shown, and what nothing brings back.

use std::time::Duration;

use super::key::{KeyName, KeyState, NewKey, Role, StoredKey, StoredSecret};
use super::ring::NoHolder;
use super::secret::{KeySecret, name_in};
use crate::engine::codec;
use crate::engine::write::WriteTx;
use crate::error::{ErrorKind, Result};
use crate::state::ids::BotId;
use crate::testkit::checked_store::{Fixture, time};

fn name(text: &str) -> KeyName {
    text.parse().unwrap()
}

fn add(hive: &Fixture, key: &str, role: Role) -> KeySecret {
    hive.write(|tx| tx.keys().add(NewKey::new(name(key), role)))
}

/// The role that a text proves.
fn proves(hive: &Fixture, secret: &str) -> Result<Role, NoHolder> {
    let view = hive.view();
    view.keys().ring().unwrap().holder(secret, hive.store.clock().now()).map(|holder| holder.role)
}

#[test]
fn a_secret_proves_the_name_the_role_and_the_bot_of_its_key_and_nothing_else_does() {
    let hive = Fixture::new();
    let secret = add(&hive, "BOT_2.x", Role::Bot);
    let ring = hive.view().keys().ring().unwrap();
    let holder = ring.holder(secret.as_str(), time(0)).unwrap();
    assert_eq!((holder.name.as_str(), holder.role), ("BOT_2.x", Role::Bot));
    assert_eq!(holder.bot, Some(BotId::new("BOT_2.x").unwrap()));
    let text = secret.as_str();
    let other = add(&hive, "other", Role::Admin);
    let with_its_secret = format!("hk_BOT_2.x_{}", other.as_str().rsplit('_').next().unwrap());
    let wrong =
        [&text[..text.len() - 1], &format!("{text}0"), &text.to_uppercase(), &with_its_secret, "hk_", "hk__", ""];
    for wrong in wrong {
        assert_eq!(proves(&hive, wrong), Err(NoHolder::Unknown), "{wrong}");
    }
    assert_ne!(add(&hive, "a", Role::Reader).as_str(), add(&hive, "b", Role::Reader).as_str());
}

#[test]
fn the_secret_is_nowhere_in_the_store_and_not_printed() {
    let hive = Fixture::new();
    let secret = add(&hive, "a", Role::Admin);
    let random = secret.as_str().rsplit('_').next().unwrap().to_owned();
    assert_eq!(format!("{secret:?}"), "KeySecret(..)");
    assert!(!serde_json::to_string(&hive.view().keys().list().unwrap()).unwrap().contains(&random));
    let file = std::fs::read(hive.store.path()).unwrap();
    assert!(!file.windows(random.len()).any(|bytes| bytes == random.as_bytes()));
}

#[test]
fn the_bytes_of_a_key_are_fixed() {
    let key = StoredKey {
        role: Role::Bot,
        bot: Some(BotId::new("b").unwrap()),
        created_at: jiff::Timestamp::from_microsecond(5).unwrap(),
        expires_at: None,
        revoked_at: Some(jiff::Timestamp::from_microsecond(6).unwrap()),
        secrets: vec![StoredSecret {
            hash: [7; 32],
            created_at: jiff::Timestamp::from_microsecond(5).unwrap(),
            expires_at: None,
        }],
    };
    let bytes = codec::encode(&key).unwrap();
    assert_eq!(bytes, [&b"\x01\x01\x01\x01b\x0a\x00\x01\x0c\x01"[..], &[7; 32], b"\x0a\x00"].concat());
    assert_eq!(codec::decode::<StoredKey>(&bytes).unwrap(), key);
}

#[test]
fn after_a_rotation_both_secrets_are_valid_until_the_old_one_ends_and_a_third_ends_the_first() {
    let hive = Fixture::new();
    let day = Duration::from_secs(86_400);
    let rotate = || hive.write(|tx| tx.keys().rotate(&name("a"), day));
    let (first, second) = (add(&hive, "a", Role::Reader), rotate());
    assert_eq!((proves(&hive, first.as_str()), proves(&hive, second.as_str())), (Ok(Role::Reader), Ok(Role::Reader)));
    hive.pass(86_399);
    assert_eq!(proves(&hive, first.as_str()), Ok(Role::Reader));
    hive.pass(1);
    assert_eq!(
        (proves(&hive, first.as_str()), proves(&hive, second.as_str())),
        (Err(NoHolder::Expired), Ok(Role::Reader))
    );
    let third = rotate();
    assert_eq!(proves(&hive, first.as_str()), Err(NoHolder::Unknown));
    assert_eq!((proves(&hive, second.as_str()), proves(&hive, third.as_str())), (Ok(Role::Reader), Ok(Role::Reader)));
    let at_once = hive.write(|tx| tx.keys().rotate(&name("a"), Duration::ZERO));
    assert_eq!(
        (proves(&hive, third.as_str()), proves(&hive, at_once.as_str())),
        (Err(NoHolder::Unknown), Ok(Role::Reader))
    );
}

#[test]
fn an_expired_key_proves_nobody_but_the_store_stays_closed() {
    let hive = Fixture::new();
    let new = NewKey::new(name("a"), Role::Admin).expires_in(Duration::from_secs(60));
    let secret = hive.write(|tx| tx.keys().add(new));
    hive.pass(59);
    assert_eq!(proves(&hive, secret.as_str()), Ok(Role::Admin));
    hive.pass(1);
    assert_eq!(proves(&hive, secret.as_str()), Err(NoHolder::Expired));
    assert_eq!(hive.view().keys().list().unwrap()[0].state, KeyState::Expired);
    assert!(hive.view().keys().are_used().unwrap());
}

#[test]
fn a_name_is_given_again_only_after_its_key_was_revoked() {
    let hive = Fixture::new();
    let first = add(&hive, "a", Role::Reader);
    let refused = |work: &dyn Fn(&mut WriteTx<'_>) -> Result<()>| hive.store.write(work).unwrap_err().kind();
    let again = |tx: &mut WriteTx<'_>| tx.keys().add(NewKey::new(name("a"), Role::Admin)).map(drop);
    assert_eq!(refused(&again), ErrorKind::Conflict);
    assert_eq!(refused(&|tx| tx.keys().remove(&name("a"))), ErrorKind::Conflict);
    hive.write(|tx| tx.keys().revoke(&name("a")));
    assert_eq!(refused(&|tx| tx.keys().rotate(&name("a"), Duration::ZERO).map(drop)), ErrorKind::Conflict);
    let second = add(&hive, "a", Role::Admin);
    assert_eq!(
        (proves(&hive, first.as_str()), proves(&hive, second.as_str())),
        (Err(NoHolder::Unknown), Ok(Role::Admin))
    );
    for work in [
        |tx: &mut WriteTx<'_>| tx.keys().revoke(&name("b")),
        |tx: &mut WriteTx<'_>| tx.keys().remove(&name("b")),
        |tx: &mut WriteTx<'_>| tx.keys().rotate(&name("b"), Duration::ZERO).map(drop),
    ] {
        assert_eq!(refused(&work), ErrorKind::NotFound);
    }
}

#[test]
fn only_a_key_of_the_role_bot_acts_as_a_bot() {
    let hive = Fixture::new();
    let bot = BotId::new("B").unwrap();
    let new = NewKey::new(name("ops"), Role::Operator).bot_id(bot.clone());
    assert_eq!(hive.store.write(|tx| tx.keys().add(new)).unwrap_err().kind(), ErrorKind::Invalid);
    hive.write(|tx| tx.keys().add(NewKey::new(name("night"), Role::Bot).bot_id(bot.clone())));
    for reserved in ["token", "http", "unknown", "others"] {
        let new = NewKey::new(name(reserved), Role::Reader);
        assert_eq!(hive.store.write(|tx| tx.keys().add(new)).unwrap_err().kind(), ErrorKind::Invalid);
    }
    assert_eq!(hive.view().keys().get(&name("night")).unwrap().unwrap().bot, Some(bot));
}

#[test]
fn no_text_makes_the_name_of_a_key_that_a_key_cannot_have() {
    let random = "0".repeat(48);
    assert_eq!(name_in(&format!("hk_a_b_{random}")), Some(name("a_b")));
    for wrong in [
        format!("hk__{random}"),
        format!("hk_a b_{random}"),
        format!("hk_a\u{e9}_{random}"),
        format!("hk_a_{}", &random[1..]),
        format!("hk_a_{}G", &random[1..]),
        format!("HK_a_{random}"),
        format!("hk_{}_{random}", "a".repeat(65)),
        "hk_\u{1f41d}".repeat(40),
    ] {
        assert_eq!(name_in(&wrong), None, "{wrong}");
    }
}
