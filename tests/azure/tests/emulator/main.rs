//! The emulators against clients that are right and clients that are wrong.

#[cfg(test)]
mod entra;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod imds;
#[cfg(test)]
mod key_vault;
#[cfg(test)]
mod world;
