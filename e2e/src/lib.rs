//! The harness of the tests that need a real cluster: one cluster a suite, one namespace a test.
//!
//! I/O: starts and ends a cluster with `e2e/cluster/cluster`, installs the chart with helm, talks to the API server and the store.
#![forbid(unsafe_code)]

pub mod age;
pub mod alertmanager;
pub mod audit;
pub mod cluster;
pub mod faults;
pub mod install;
pub mod media;
pub mod mutation;
pub mod needles;
pub mod objects;
pub mod published;
pub mod reach;
pub mod rights;
pub mod store;
pub mod suite;
pub mod titles;
