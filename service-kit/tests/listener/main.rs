//! The listener from outside, over real sockets.

#![cfg(feature = "listener")]

#[cfg(test)]
mod attacks;
