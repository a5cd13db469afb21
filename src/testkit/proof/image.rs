//! The bytes of a disk, as pages that are shared until they are written: copying an image costs next to nothing.

use std::io;
use std::sync::Arc;

const PAGE_SIZE: usize = 4096;

type Page = Arc<[u8; PAGE_SIZE]>;

/// A length, and the pages below it. A page that was never written has no place, and reads as zeroes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Image {
    len: usize,
    pages: Vec<Option<Page>>,
}

impl Image {
    /// No bytes.
    pub(crate) const EMPTY: &Self = &Self { len: 0, pages: Vec::new() };

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// So many pages take up space.
    pub(crate) fn pages(&self) -> usize {
        self.pages.iter().flatten().count()
    }

    /// Cuts off, or adds zeroes.
    pub(crate) fn set_len(&mut self, len: usize) {
        self.pages.resize(len.div_ceil(PAGE_SIZE), None);
        if len < self.len
            && let Some(Some(last)) = self.pages.get_mut(len / PAGE_SIZE)
        {
            Arc::make_mut(last)[len % PAGE_SIZE..].fill(0);
        }
        self.len = len;
    }

    /// Fills `out` from `offset` on.
    pub(crate) fn read(&self, offset: usize, out: &mut [u8]) -> io::Result<()> {
        if offset.checked_add(out.len()).is_none_or(|end| end > self.len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut done = 0;
        while done < out.len() {
            let (page, within) = ((offset + done) / PAGE_SIZE, (offset + done) % PAGE_SIZE);
            let part = (PAGE_SIZE - within).min(out.len() - done);
            match &self.pages[page] {
                Some(bytes) => out[done..done + part].copy_from_slice(&bytes[within..within + part]),
                None => out[done..done + part].fill(0),
            }
            done += part;
        }
        Ok(())
    }

    /// Writes `data` at `offset`; what lies behind the end is added.
    pub(crate) fn write(&mut self, offset: usize, data: &[u8]) {
        if offset + data.len() > self.len {
            self.set_len(offset + data.len());
        }
        let mut done = 0;
        while done < data.len() {
            let (page, within) = ((offset + done) / PAGE_SIZE, (offset + done) % PAGE_SIZE);
            let part = (PAGE_SIZE - within).min(data.len() - done);
            let bytes = self.pages[page].get_or_insert_with(|| Arc::new([0; PAGE_SIZE]));
            Arc::make_mut(bytes)[within..within + part].copy_from_slice(&data[done..done + part]);
            done += part;
        }
    }

    /// So many pages of those that a write would touch have no place yet.
    pub(crate) fn new_pages(&self, offset: usize, len: usize) -> usize {
        let touched = offset / PAGE_SIZE..(offset + len).div_ceil(PAGE_SIZE);
        touched.filter(|page| self.pages.get(*page).is_none_or(Option::is_none)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_reads_as_a_plain_vector_would_and_its_copies_stay_as_they_were() {
        let (mut image, mut plain) = (Image::default(), Vec::new());
        let mut choices = crate::testkit::proof::choices::Choices::seeded(7);
        let mut copies = Vec::new();
        for step in 0..400 {
            if choices.once_in(6) {
                let len = choices.below(5 * PAGE_SIZE);
                image.set_len(len);
                plain.resize(len, 0);
            } else {
                let (offset, len) = (choices.below(4 * PAGE_SIZE), choices.below(2 * PAGE_SIZE));
                image.write(offset, &vec![step as u8; len]);
                plain.resize(plain.len().max(offset + len), 0);
                plain[offset..offset + len].fill(step as u8);
            }
            copies.push((image.clone(), plain.clone()));
        }
        for (image, plain) in copies {
            let mut read = vec![1; plain.len()];
            image.read(0, &mut read).unwrap();
            assert!(image.len() == plain.len() && read == plain);
            assert!(image.read(plain.len(), &mut [0]).is_err());
        }
    }
}
