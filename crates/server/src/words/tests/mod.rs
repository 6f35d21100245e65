//! Proof that the words say what recorded servers said.

mod mntr;
mod sample;
mod text;
