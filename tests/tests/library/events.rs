//! Events of Lambda: what each caller sends is told from its shape, and answered as that caller wants.

mod answers;
mod orders;
mod recorded;
mod shapes;
