//! Measures the product's binaries in turns with a minimal server that answers the same bytes. The
//! result is a ratio, which holds on other machines too.

pub mod accounts;
pub mod arguments;
pub mod bare;
pub mod client;
pub mod cores;
pub mod distance;
pub mod entra;
pub mod paced;
pub mod process;
pub mod proxy;
pub mod restart;
pub mod review;
pub mod stages;
pub mod table;
pub mod turns;
pub mod webhook;
pub mod wrk;
