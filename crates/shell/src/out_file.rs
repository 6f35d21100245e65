//! A file that results are written to: whole or not there. It is written aside and gets its name at the end.
//!
//! Links are followed, and a file that is there keeps its mode and, where that is permitted, its owner. What is no regular file (a
//! pipe, a device) is written to directly: nothing may take its place.

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::process;

/// Mode of a file while it is written: it may have secrets, and its readers are not known yet.
const OWN: u32 = 0o600;
/// Mode of a new file, of which the process takes what it never gives.
const NEW: u32 = 0o666;
/// The bits that a file keeps.
const MODE: u32 = 0o7777;
/// Names that are tried for the file aside.
const NAMES: u32 = 100;
/// Links that are followed to a file that is not there, as systems do.
const LINKS: usize = 40;

/// A file that is being written.
#[derive(Debug)]
pub struct OutFile {
    out: BufWriter<File>,
    /// The file aside and the one whose place it takes; none where writing is direct.
    aside: Option<(PathBuf, PathBuf)>,
}

impl OutFile {
    /// Begins to write what shall be at `path`.
    pub fn create(path: &Path) -> io::Result<Self> {
        let there = match fs::metadata(path) {
            Ok(there) => Some(there),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if there.as_ref().is_some_and(|there| !there.is_file()) {
            let out = OpenOptions::new().write(true).open(path)?;
            return Ok(Self::direct(out));
        }
        let target = match &there {
            Some(_) => fs::canonicalize(path)?,
            None => missing_target(path),
        };
        if there.is_some() {
            // Who may not write to a file may not replace it either.
            OpenOptions::new().write(true).open(&target)?;
        }
        let (out, aside) = create_aside(&target, there.is_some())?;
        let file = Self {
            out: BufWriter::new(out),
            aside: Some((aside, target)),
        };
        if let Some(there) = there {
            file.take_after(&there)?;
        }
        Ok(file)
    }

    fn direct(out: File) -> Self {
        Self {
            out: BufWriter::new(out),
            aside: None,
        }
    }

    /// Owner and mode of the file whose place this one takes.
    fn take_after(&self, there: &Metadata) -> io::Result<()> {
        let out = self.out.get_ref();
        // Only root may give files away; the file of anybody else is then the writer's.
        let _ = fchown(out, Some(there.uid()), Some(there.gid()));
        out.set_permissions(Permissions::from_mode(there.mode() & MODE))
    }

    /// Writes more.
    pub fn write(&mut self, text: &str) -> io::Result<()> {
        self.out.write_all(text.as_bytes())
    }

    /// Everything is written: the file gets its name.
    pub fn finish(mut self) -> io::Result<()> {
        self.out.flush()?;
        let Some((aside, target)) = &self.aside else {
            return Ok(());
        };
        self.out.get_ref().sync_all()?;
        fs::rename(aside, target)?;
        self.aside = None;
        Ok(())
    }
}

impl Drop for OutFile {
    fn drop(&mut self) {
        if let Some((aside, _)) = &self.aside {
            // What went wrong before matters more.
            let _ = fs::remove_file(aside);
        }
    }
}

/// True where `path` is what results are printed to anyway.
#[must_use]
pub fn is_output(path: &Path) -> bool {
    let file = |path: &Path| fs::metadata(path).map(|there| (there.dev(), there.ino()));
    let (Ok(this), Ok(output)) = (file(path), file(Path::new("/dev/stdout"))) else {
        return false;
    };
    this == output
}

/// Where a file comes into being that is not there: behind links, as if it were opened.
fn missing_target(path: &Path) -> PathBuf {
    let mut target = path.to_owned();
    for _ in 0..LINKS {
        let Ok(next) = fs::read_link(&target) else {
            break;
        };
        target = target.parent().unwrap_or_else(|| Path::new("")).join(next);
    }
    target
}

/// A file beside the target that nobody had before.
fn create_aside(target: &Path, is_there: bool) -> io::Result<(File, PathBuf)> {
    let mode = if is_there { OWN } else { NEW };
    let mut last = io::ErrorKind::AlreadyExists.into();
    for attempt in 0..NAMES {
        let aside = target.with_added_extension(format!("{}-{attempt}.part", process::id()));
        let created = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&aside);
        match created {
            Ok(out) => return Ok((out, aside)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn write(path: &Path, text: &str) -> io::Result<()> {
        let mut file = OutFile::create(path)?;
        file.write(text)?;
        file.finish()
    }

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().mode() & MODE
    }

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_that_is_there_keeps_its_mode_and_its_links() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("file"), dir.path().join("link"));
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        symlink("file", &link).unwrap();
        write(&link, "new").unwrap();
        assert_eq!(fs::read_link(&link).unwrap(), Path::new("file"));
        assert_eq!(
            (fs::read_to_string(&file).unwrap(), mode(&file)),
            ("new".to_owned(), 0o600)
        );
        let dangling = dir.path().join("dangling");
        symlink("later", &dangling).unwrap();
        write(&dangling, "made").unwrap();
        assert_eq!(
            fs::read_to_string(dir.path().join("later")).unwrap(),
            "made"
        );
        assert_eq!(names(dir.path()), ["dangling", "file", "later", "link"]);
    }

    #[test]
    fn what_is_not_finished_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (file, other) = (dir.path().join("file"), dir.path().join("file.part"));
        fs::write(&file, "old").unwrap();
        fs::write(&other, "mine").unwrap();
        let mut half = OutFile::create(&file).unwrap();
        half.write("half").unwrap();
        drop(half);
        assert_eq!(fs::read_to_string(&file).unwrap(), "old");
        assert_eq!(fs::read_to_string(&other).unwrap(), "mine");
        assert_eq!(names(dir.path()), ["file", "file.part"]);
    }

    #[test]
    fn what_is_no_regular_file_is_written_to() {
        let error = write(Path::new("/dev/full"), "x").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(!fs::metadata("/dev/full").unwrap().is_file());
        write(Path::new("/dev/null"), "x").unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "x").unwrap_err();
    }
}
