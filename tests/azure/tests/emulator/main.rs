//! Tests of the emulators, with correct and faulty clients.

#[cfg(test)]
mod entra;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod imds;
#[cfg(test)]
mod key_vault;
#[cfg(test)]
mod storage;
#[cfg(test)]
mod world;
