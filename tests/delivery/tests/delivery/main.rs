//! Installs, changes and removes the product. Each test begins with nothing installed.

mod aks_add_on;
mod audit;
mod before;
mod certificates;
mod chart;
mod first_workload;
mod gitops;
mod guard;
mod install;
mod manifest;
mod monitoring;
mod pod_identity;
mod removal;
mod rollback;
mod trust_bundle;
mod upstream;
