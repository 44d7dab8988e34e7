//! Upstream's own programs, with the objects of its own chart: Azure/azure-workload-identity 1.6.0.

mod alone;
mod installation;
mod migration;
mod two_webhooks;
