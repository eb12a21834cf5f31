//! The fault sweep: a real control plane, the real operator as a process, a real S3 server, and proxies in between that
//! let one thing go wrong at one named point of one run.
//!
//! | module | is |
//! |---|---|
//! | [`plane`] | etcd, API server, controller manager and S3 server on loopback ports |
//! | [`wire`] | the proxies: names each request (a *point*), does what the plan says there, keeps a journal |
//! | [`operator`] | the operator as a process that is started again when it ends |
//! | [`player`] | scheduler, kubelet and worker for the pods of Jobs |
//! | [`recording`] | what the real worker made of a real clip, recorded once |
//! | [`history`] | every stored version of every object, and the audit log |
//! | [`laws`] | what must hold in every run, as predicates over the history; shares no code with the operator |
//! | [`cast`] | what a story and its pods share |
//! | [`stage`] | what a story is played on |
//! | [`run`] | one scenario with one fault |
//! | [`dice`] | seeded choices |
//! | [`report`] | the page for people |
//!
//! I/O: child processes, loopback sockets, temporary folders, the user's cache.

pub mod cast;
pub mod dice;
pub mod history;
pub mod laws;
pub mod money;
pub mod operator;
pub mod plane;
pub mod player;
pub mod recording;
pub mod report;
pub mod run;
pub mod stage;
pub mod wallet;
pub mod wire;
