//! The control plane: who is there, who is linked to whom, which next hop leads where.
pub mod io;
