//! How a fuzz input is cut into pieces: two bytes of length, then so many bytes, the last piece as long as the input lasts.

/// The pieces of an input, front to back.
#[derive(Debug, Clone, Copy)]
pub struct Frames<'a>(pub &'a [u8]);

impl<'a> Iterator for Frames<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (len, rest) = self.0.split_first_chunk::<2>()?;
        let len = usize::from(u16::from_be_bytes(*len)).min(rest.len());
        let (frame, rest) = rest.split_at(len);
        self.0 = rest;
        Some(frame)
    }
}

/// Puts a file of these bytes on an empty disk in memory.
///
/// # Panics
/// Never with a path whose directory is `/`.
#[must_use]
pub fn disk_with(path: &std::path::Path, bytes: &[u8]) -> rookeeper_storage::cut_disk::CutDisk {
    use rookeeper_storage::disk::Disk;
    let disk = rookeeper_storage::cut_disk::CutDisk::new();
    let dir = std::path::Path::new("/");
    disk.create_dir_all(dir)
        .expect("an empty disk takes a directory");
    let mut file = disk.create(path).expect("and a file");
    file.write_at(0, bytes).expect("and its content");
    drop(file);
    disk
}
