//! Hostile input: each case gets its stated answer, and the next good request is answered as before.

mod engines;
mod guests;
mod http;
mod images;
mod json;
mod pictures;
mod table;
