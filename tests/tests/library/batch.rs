//! The batch protocol: no loss, one output, nothing foreign removed, progress, one model, bounded means;
//! on folders and on buckets, with faults, rivals, kills and many objects.

mod disk;
mod faults;
mod ground;
mod history;
mod kills;
mod protocol;
mod scale;
