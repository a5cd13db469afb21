//! The page that `/` shows to people: files without a build step, embedded in the program.
//!
//! * `index.html`, `style.css`, `icon.svg` and the modules `*.js` are the page; `app.js` has the list of its modules
//! * `preact.js` is the only file of other authors: `preact/standalone.module.js` of the npm package `htm` 3.1.1, as it
//!   is there; `preact.LICENSE.txt` has its licences
//! * `files`: the table of these files, and how they are served
//!
//! Every address in these files is relative, so the page works under any path prefix of a proxy. The page reads and
//! changes the store by the same routes as every other client.

mod files;

pub(super) use self::files::{add, is_of_page};
