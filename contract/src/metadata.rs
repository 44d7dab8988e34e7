//! The Azure Instance Metadata Service (IMDS) and the proxy's port.

use std::net::Ipv4Addr;

/// The address of IMDS on every Azure node.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);

/// The port of IMDS.
pub const PORT: u16 = 80;

/// The proxy's port unless an annotation or a flag sets another.
pub const DEFAULT_PROXY_PORT: u16 = 8000;
