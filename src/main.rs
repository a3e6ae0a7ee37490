//! The command-line program; everything it does is in [`wippy::cli`].

fn main() -> std::process::ExitCode {
    wippy::cli::main()
}
