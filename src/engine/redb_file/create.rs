//! Making a store's file, and telling a store from another file.

use std::fs;
use std::path::Path;

use redb::{Builder, ConcurrencyMode, Database, ReadTransaction, TransactionError, WriteTransaction};

use super::definition::definition;
use super::{Failure, Handle, OwnFile, not_a_store};
use crate::engine::format::codec;
use crate::engine::format::epoch::{Epoch, Epochs};
use crate::engine::format::frame::{self, State};
use crate::engine::format::schema::{FIRST_FORMAT, FORMAT_VERSION, Table};
use crate::engine::meta;
use crate::error::{Error, ErrorKind, Result};
use crate::files::{self, Rights};

/// Writes an empty store.
pub(crate) fn create_empty(path: &Path, rights: Rights) -> Result<(), Failure> {
    files::create_new(path, rights)?;
    let mut builder = Builder::new();
    builder.set_concurrency_mode(ConcurrencyMode::ExclusiveWriter);
    let database = builder.create_with_backend(OwnFile::write(path)?)?;
    fill(&database)?;
    Ok(database.close()?)
}

pub(super) fn fill(database: &Database) -> Result<(), Failure> {
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(true);
    for table in Table::ALL {
        transaction.open_table(definition(table))?;
    }
    let epochs = codec::encode(&Epochs::NEW)?;
    let rows: [(&[u8], &[u8]); 3] =
        [(meta::FORMAT, &FIRST_FORMAT.to_be_bytes()), (meta::EPOCHS, &epochs), (meta::HOST, &host())];
    put_meta(&transaction, &rows)?;
    Ok(transaction.commit()?)
}

/// Opens every table, compares the format version, and gives the host that wrote last.
pub(super) fn probe_store(path: &Path, transaction: &ReadTransaction) -> Result<Vec<u8>, Failure> {
    let meta = match transaction.open_table(definition(Table::Meta)) {
        Ok(meta) => meta,
        Err(redb::TableError::Storage(error)) => return Err(error.into()),
        Err(_) => return Err(not_a_store(path, "it is a redb file of another program").into()),
    };
    let row = |key| match meta.get(key)? {
        Some(bytes) => Ok::<_, Failure>(Some(meta::payload(Table::Meta, key, bytes.value())?)),
        None => Ok(None),
    };
    let Some(format) = row(meta::FORMAT)? else {
        return Err(not_a_store(path, "it is a redb file of another program").into());
    };
    let format = meta::number(&format)?;
    if format > FORMAT_VERSION {
        let path = path.display();
        let message =
            format!("{path} was written by a newer version; use that version: format={format} known={FORMAT_VERSION}");
        return Err(Error::new(ErrorKind::NewerFormat, message).into());
    }
    for table in Table::ALL {
        transaction.open_table(definition(table))?;
    }
    row(meta::HOST).map(Option::unwrap_or_default)
}

/// Looks whether an open file is a store, through its handle, which also contains what closing it may do.
/// Gives the host that wrote last.
pub(super) fn probe_handle(path: &Path, handle: &Handle) -> Result<Vec<u8>> {
    let transaction = handle.read_transaction()?;
    handle.guard().run(|| probe_store(path, &transaction))
}

/// Notes that the store, just verified, is this machine's from now on; a process that writes already does without.
pub(super) fn note_host(database: &Database) -> Result<(), Failure> {
    let mut transaction = match database.try_begin_write() {
        Err(TransactionError::WouldBlock) => return Ok(()),
        begun => begun?,
    };
    transaction.set_quick_repair(true);
    put_meta(&transaction, &[(meta::HOST, &host())])?;
    Ok(transaction.commit()?)
}

/// This machine, as far as it tells: a store that another machine wrote last is verified when it is opened.
pub(super) fn host() -> Vec<u8> {
    let id = fs::read("/etc/machine-id").unwrap_or_default();
    blake3::hash(id.trim_ascii()).as_bytes().to_vec()
}

fn put_meta(transaction: &WriteTransaction, rows: &[(&[u8], &[u8])]) -> Result<(), Failure> {
    let mut meta = transaction.open_table(definition(Table::Meta))?;
    for (key, payload) in rows {
        let mut bytes = Vec::new();
        frame::encode(&mut bytes, Table::Meta.place(key), Epoch(0), State::Present(payload));
        meta.insert(*key, bytes.as_slice())?;
    }
    Ok(())
}
