//! Tests of `azwi` with a fake API server: every cause that it names, what it reads, and what it writes.

#[cfg(test)]
mod api_server;
#[cfg(test)]
mod azure;
#[cfg(test)]
mod causes;
#[cfg(test)]
mod document;
#[cfg(test)]
mod exchange;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod issuer;
#[cfg(test)]
mod process;
