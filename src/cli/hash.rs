//! `wippy hash FILE…`: the line that an entry needs.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::args::HashArgs;
use super::report::{CommandError, Terminal};
use crate::registry::Hash;

/// What stands for the standard input among the files.
const STDIN: &str = "-";

pub(super) fn run(args: &HashArgs, terminal: Terminal) -> Result<u8, CommandError> {
    let several = args.files.len() > 1;
    let mut code = super::exit::SUCCESS;
    for file in &args.files {
        match hash_of(file) {
            Ok(hash) if several => terminal.out(&format!("hash: {hash}  # {}\n", file.display()))?,
            Ok(hash) => terminal.out(&format!("hash: {hash}\n"))?,
            // The other files are still worth their lines.
            Err(error) => {
                let error = CommandError::usage(format!("`{}` can't be read: {error}", file.display()));
                terminal.error(&error);
                code = error.code();
            }
        }
    }
    Ok(code)
}

/// The hash of bytes.
pub(super) fn hash_of_bytes(bytes: &[u8]) -> Hash {
    Hash::from_sha256(Sha256::digest(bytes).into())
}

fn hash_of(file: &Path) -> io::Result<Hash> {
    if file.as_os_str() == STDIN {
        return hash_of_reader(io::stdin().lock());
    }
    hash_of_reader(File::open(file)?)
}

fn hash_of_reader(mut reader: impl Read) -> io::Result<Hash> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(Hash::from_sha256(hasher.finalize().into())),
            Ok(read) => hasher.update(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_give_the_hash_of_the_standard() {
        let expected = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash_of_bytes(b"abc").to_string(), expected);
        assert_eq!(hash_of_reader(&b"abc"[..]).expect("bytes").to_string(), expected);
    }
}
