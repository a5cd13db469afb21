//! One object under one name, whoever wins.

use super::remote::Remote;
use crate::error::{Error, ErrorKind, Result};
use crate::replica::bucket::Creation;
use crate::replica::objects::object::StoredObject;

/// The object that has the name.
#[derive(Debug)]
pub(crate) enum Settled {
    Own,
    /// That of another process.
    Other(Box<StoredObject>),
}

/// Creates an object, and says whose the name is. `AlreadyExists` is a question: it also comes of a conflict in which
/// nothing was stored, and of one's own earlier try whose answer was lost. So the object is read back, and its nonce
/// compared. After an unknown answer, the same bytes are sent to the same name again.
///
/// # Errors
///
/// The errors of the bucket. Then the object may still come into being, so the caller may only try the same again.
pub(crate) async fn settle(remote: &impl Remote, object: &StoredObject) -> Result<Settled> {
    let since = remote.boot_time();
    for tries in 0.. {
        let why = match remote.create(object).await? {
            Creation::Created => return Ok(Settled::Own),
            Creation::Exists if broken!(ExistsIsSuccess) => return Ok(Settled::Own),
            Creation::Exists => match remote.get(object.name).await? {
                // O4: the name alone does not say who won it.
                Some(found) if found.is(object) => return own(object, &found),
                Some(found) => return Ok(Settled::Other(Box::new(found))),
                None => Error::new(ErrorKind::Io, format!("the bucket answers with conflicts: object={}", object.name)),
            },
            Creation::Unknown(why) => why,
        };
        remote.wait(tries, since, why).await?;
    }
    // The range has no end.
    Err(Error::new(ErrorKind::Io, format!("the bucket does not answer: object={}", object.name)))
}

fn own(object: &StoredObject, found: &StoredObject) -> Result<Settled> {
    if found.hash != object.hash && !broken!(NonceOfTheProcess) {
        let name = object.name;
        return Err(Error::damaged(format!("the bucket has other bytes than were written: object={name}")));
    }
    Ok(Settled::Own)
}
