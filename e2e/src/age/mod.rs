//! Worlds of older versions: what they had stored, frozen, and set up again for the version that is here.
//!
//! | module | is |
//! |---|---|
//! | [`stories`] | the titles of a frozen world, and what the next version may make of each |
//! | [`frozen`] | the files of a frozen world, below `e2e/fixtures/age/` |
//! | [`freeze`] | plays the stories with an operator and keeps what it stored |
//! | [`restore`] | puts a frozen world into a control plane and a store |
//! | [`stage`] | an operator and the pods of one namespace |
//!
//! I/O: files of the checkout, the control plane of the fault sweep.

pub mod freeze;
pub mod frozen;
pub mod restore;
pub mod stage;
pub mod stories;
