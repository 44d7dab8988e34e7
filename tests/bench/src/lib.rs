//! Measures the product's binaries turn by turn with the barest server that answers the same bytes:
//! what is left of the machine's limit is a ratio that holds on other machines too.

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
pub mod review;
pub mod table;
pub mod turns;
pub mod webhook;
pub mod wrk;
