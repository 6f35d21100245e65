//! Proof that the words say what recorded servers said.

mod mntr;
mod roles;
mod sample;
mod text;
