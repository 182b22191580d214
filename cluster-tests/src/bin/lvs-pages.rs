//! Entry point of the generator of man pages and shell completions.

fn main() -> std::process::ExitCode {
    cluster_tests::pages::main()
}
