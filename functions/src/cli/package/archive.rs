//! Files as a zip or a tar whose bytes depend on nothing but the files.

use std::io::Write as _;

use libdeflater::{CompressionLvl, Compressor};
use rawzip::time::UtcDateTime;
use rawzip::{CompressionMethod, DataDescriptorOutput, ZipArchiveWriter};
use tar::{EntryType, Header};

use super::File;

/// The first day that a zip can tell, 1980-01-01, in seconds since 1970.
const EPOCH_S: i64 = 315_532_800;

/// A zip, each file as small as deflate makes it.
pub fn zip(files: &[File]) -> anyhow::Result<Vec<u8>> {
    let mut zip = ZipArchiveWriter::new(Vec::new());
    let mut compressor = Compressor::new(CompressionLvl::best());
    for file in files {
        let mut deflated = vec![0; compressor.deflate_compress_bound(file.bytes.len())];
        let length = compressor.deflate_compress(&file.bytes, &mut deflated)?;
        deflated.truncate(length);
        let (mut entry, _) = zip
            .new_file(&file.path)
            .compression_method(CompressionMethod::DEFLATE)
            .last_modified(UtcDateTime::from_unix(EPOCH_S))
            .unix_permissions(file.mode)
            .start()?;
        entry.write_all(&deflated)?;
        entry.finish(DataDescriptorOutput::new(libdeflater::crc32(&file.bytes), file.bytes.len() as u64))?;
    }
    Ok(zip.finish()?)
}

/// A tar with the folders that its files lie in.
pub fn tar(files: &[File]) -> anyhow::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut folders = std::collections::BTreeSet::new();
    for file in files {
        let ends = file.path.match_indices('/').map(|(end, _)| end);
        for folder in ends.filter_map(|end| file.path.get(..end)) {
            if folders.insert(folder.to_owned()) {
                append(&mut tar, &format!("{folder}/"), EntryType::Directory, 0o755, &[])?;
            }
        }
        // A path that ends in a slash is an empty folder.
        let kind = if file.path.ends_with('/') { EntryType::Directory } else { EntryType::Regular };
        if kind == EntryType::Regular || folders.insert(file.path.trim_end_matches('/').to_owned()) {
            append(&mut tar, &file.path, kind, file.mode, &file.bytes)?;
        }
    }
    Ok(tar.into_inner()?)
}

fn append(
    tar: &mut tar::Builder<Vec<u8>>,
    path: &str,
    kind: EntryType,
    mode: u32,
    bytes: &[u8],
) -> std::io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(bytes.len() as u64);
    tar.append_data(&mut header, path, bytes)
}
