//! Tests of `azwi` with a fake API server: every cause that it names, what it reads, and what it writes.
//! Federated credentials are written to a fake `az`.

#[cfg(test)]
mod api_server;
#[cfg(test)]
mod audit;
#[cfg(test)]
mod audit_memory;
#[cfg(test)]
mod azure;
#[cfg(test)]
mod causes;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod document;
#[cfg(test)]
mod exchange;
#[cfg(test)]
mod federate;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod issuer;
#[cfg(test)]
mod issuer_server;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod live;
#[cfg(test)]
mod manifests;
#[cfg(test)]
mod migration;
#[cfg(test)]
mod moving;
#[cfg(test)]
mod network;
#[cfg(test)]
mod outputs;
#[cfg(test)]
mod pod_identity;
#[cfg(test)]
mod preparation;
#[cfg(test)]
mod process;
#[cfg(test)]
mod published;
#[cfg(test)]
mod shell;
#[cfg(test)]
mod upstream;
