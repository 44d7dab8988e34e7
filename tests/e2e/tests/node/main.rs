//! The product on the test node, as its users meet it.

mod adds_only;
mod clients;
mod identity_bindings;
mod imds;
mod manual_form;
mod python;
mod refusals;
mod token;
