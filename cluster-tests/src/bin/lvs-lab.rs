//! Entry point of the lab: one binary, called by the name of the verb it is to carry out.

fn main() -> std::process::ExitCode {
    cluster_tests::lab::cli::main()
}
