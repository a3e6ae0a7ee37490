//! The command-line program; everything it does is in [`wippy::cli`].

/// Blocks of memory are often taken by one worker and given back by another one.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    wippy::cli::main()
}
