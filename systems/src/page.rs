use std::{
    fs::File,
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
};

use ctxhop::testing::TraceTree;

/// A file that will be a web page of traces.
#[derive(Debug)]
pub struct Page {
    path: PathBuf,
    file: File,
}

impl Page {
    /// Creates the file, so that a path that is no use is known before the run.
    ///
    /// # Errors
    ///
    /// One line that says why not.
    pub fn create(path: &Path) -> Result<Self, String> {
        let file = File::create(path).map_err(|error| format!("cannot create {}: {error}", path.display()))?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Writes the page, and returns a line that says so.
    ///
    /// # Errors
    ///
    /// One line that says why not.
    pub fn write(self, tree: &TraceTree) -> Result<String, String> {
        let Self { path, file } = self;
        let write = || {
            let mut file = BufWriter::new(file);
            write!(file, "{}", tree.html())?;
            file.flush()
        };
        let written: io::Result<()> = write();
        written.map_err(|error| format!("{} is incomplete: {error}", path.display()))?;
        Ok(format!("open {} in a browser to look at the traces", path.display()))
    }
}
