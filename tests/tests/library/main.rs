//! The libraries, called as programs call them: stores, the batch protocol, events and packages; and the
//! double of the object servers that they are tested with.

mod batch;
mod double;
mod double_peers;
mod events;
mod folders;
mod gcs;
mod package;
mod store_faults;
mod stores;
