//! A file for the web page of a trace.

use std::{
    fmt,
    fs::{self, File},
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
};

/// A file that will be a web page. It goes away again if nobody writes the page.
#[derive(Debug)]
pub(crate) struct Page {
    path: PathBuf,
    file: Option<File>,
}

impl Page {
    /// Creates the file, so that a path that is no use is known before the run. It must be a new one, lest it be the input.
    ///
    /// # Errors
    ///
    /// One line that says why not.
    pub(crate) fn create(path: &Path) -> Result<Self, String> {
        let file = File::create_new(path).map_err(|error| format!("cannot create {}: {error}", path.display()))?;
        Ok(Self { path: path.to_owned(), file: Some(file) })
    }

    /// Writes the page, and returns a line that says so.
    ///
    /// # Errors
    ///
    /// One line that says why not.
    pub(crate) fn write(mut self, page: impl fmt::Display) -> Result<String, String> {
        let write = |file| {
            let mut file = BufWriter::new(file);
            write!(file, "{page}")?;
            file.flush()
        };
        let written: io::Result<()> = self.file.take().map_or(Ok(()), write);
        written.map_err(|error| format!("{} is incomplete: {error}", self.path.display()))?;
        Ok(format!("open {} in a browser", self.path.display()))
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            // It is empty, and so it is no loss if it stays.
            let _ = fs::remove_file(&self.path);
        }
    }
}
