//! The product beside other projects' own programs. tests/neighbours/run builds them and runs these tests.

mod cert_manager;
mod gatekeeper;
mod meshes;
mod parts;
mod upstream;
