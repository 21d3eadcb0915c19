//! The libraries, called as programs call them: stores, the batch protocol, events and packages; the double of the object
//! servers that they are tested with; and guests in a runtime without SIMD.

mod batch;
mod double;
mod double_peers;
mod events;
mod folders;
mod gcs;
mod package;
mod scalar;
mod store_faults;
mod stores;
