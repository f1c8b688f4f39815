//! Build, test, install and demo commands of this repository.

fn main() {}
