//! Tests of `azwi` with a fake API server: every cause that it names, what it reads, and what it writes.

#[cfg(test)]
mod api_server;
#[cfg(test)]
mod audit;
#[cfg(test)]
mod causes;
#[cfg(test)]
mod document;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod live;
#[cfg(test)]
mod process;
