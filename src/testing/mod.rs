//! Record spans in memory and look at the traces that they form.
