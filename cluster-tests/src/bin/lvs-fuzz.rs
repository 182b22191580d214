//! Entry point of the fuzzer: `scripts/fuzz`.

#[global_allocator]
static METER: cluster_tests::fuzz::meter::Meter = cluster_tests::fuzz::meter::Meter;

fn main() -> std::process::ExitCode {
    cluster_tests::fuzz::cli::main()
}
