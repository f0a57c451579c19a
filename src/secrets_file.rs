//! `secrets.toml`, the file in the data folder where the embedded default keeps what it drew at
//! random on its first start. It is made once, whole or not at all, and a file that is damaged or
//! open to others is refused, never replaced: without the pepper no key works any more. With
//! PostgreSQL the same secrets are settings, and this file is not used.

use std::fmt::Write as _;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use zeroize::{Zeroize, Zeroizing};

use crate::config::secret;

/// The name of the file in the data folder.
pub const FILE_NAME: &str = "secrets.toml";

const TEMPORARY_NAME: &str = ".secrets.toml.new";
const LARGEST_FILE: u64 = 64 << 10;
const HEADER: &str = "\
# Made by Tollkeep on its first start. Back it up together with the database, and keep it to
# yourself: without the pepper no key in the database works any more, and without the kek the
# provider secrets in it are lost.
";

/// The secrets of the embedded default.
pub struct SecretsFile {
    folder: PathBuf,
    pepper: Zeroizing<[u8; 32]>,
    admin_key_digest: Option<[u8; 32]>,
    keks: Vec<Zeroizing<[u8; 32]>>,
}

/// Whether the file was there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// This call made it: this is the first start.
    Now,
    /// An earlier start made it.
    Before,
}

/// Why the secrets cannot be had. Each text is a sentence for the person who started Tollkeep.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder or the file cannot be read or written.
    #[error("{} cannot be {action}: {source}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The folder or file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Others than the owner may use the file.
    #[error(
        "{} is open to other users (mode {mode:04o}): run `chmod 600 '{}'` and start again",
        .path.display(),
        .path.display()
    )]
    OpenToOthers {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is there and does not hold what it should.
    #[error(
        "{} is damaged ({what}): restore it from a backup. Tollkeep does not replace it, because \
         without its pepper no key in the database works",
        .path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong, without any of the content.
        what: String,
    },
    /// The file on disk is another one than this process started with.
    #[error("{} was replaced while Tollkeep ran: start again", .path.display())]
    Replaced {
        /// The file.
        path: PathBuf,
    },
    /// The database was written with the pepper of a file that is gone.
    #[error(
        "{} is missing, and the database was written with the pepper in it: restore the file from \
         a backup. Tollkeep does not make a new one, because no key in the database would work",
        .path.display()
    )]
    Lost {
        /// The file.
        path: PathBuf,
    },
    /// The source of random bytes gave the same byte over and over.
    #[error("the random number generator of this machine does not work")]
    NotRandom,
}

/// The file as it is written, in hexadecimal.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    pepper: String,
    admin_key_digest: Option<String>,
    kek: Option<String>,
    #[serde(default)]
    former_keks: Vec<String>,
}

impl Drop for Text {
    fn drop(&mut self) {
        self.pepper.zeroize();
        self.kek.zeroize();
        self.former_keks.zeroize();
    }
}

impl SecretsFile {
    /// Reads the file, or makes the folder (for its owner only) and the file with a new pepper.
    /// Processes that start at the same time agree on one file. `random` fills a buffer from the
    /// system's random numbers.
    pub fn load_or_create(
        folder: &Path,
        random: &mut impl FnMut(&mut [u8]),
    ) -> Result<(Self, Created), Error> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|source| io_error("made", folder, source))?;
        let _lock = lock(folder)?;
        if let Some(found) = Self::find(folder)? {
            return Ok((found, Created::Before));
        }

        let (pepper, kek) = (draw(random)?, draw(random)?);
        let keks = vec![kek];
        let made = Self { folder: folder.to_owned(), pepper, admin_key_digest: None, keks };
        made.write()?;
        Ok((made, Created::Now))
    }

    /// The key under which digests of credentials are made.
    pub fn pepper(&self) -> &[u8; 32] {
        &self.pepper
    }

    /// The digest of the admin key that a start drew and printed; `None` until then.
    pub fn admin_key_digest(&self) -> Option<&[u8; 32]> {
        self.admin_key_digest.as_ref()
    }

    /// The key-encryption key that seals, and then the former ones; empty in a file that was made
    /// before there were any.
    pub fn keks(&self) -> &[Zeroizing<[u8; 32]>] {
        &self.keks
    }

    /// Draws a new key-encryption key, which seals from then on; the ones before it stay for opening.
    pub fn add_kek(&mut self, random: &mut impl FnMut(&mut [u8])) -> Result<(), Error> {
        let mut keks = vec![draw(random)?];
        keks.extend(self.keks.iter().cloned());
        self.set_keks(keks)
    }

    /// Forgets the former key-encryption keys.
    pub fn forget_former_keks(&mut self) -> Result<(), Error> {
        self.set_keks(self.keks.iter().take(1).cloned().collect())
    }

    fn set_keks(&mut self, keks: Vec<Zeroizing<[u8; 32]>>) -> Result<(), Error> {
        let _lock = lock(&self.folder)?;
        self.check_on_disk()?;
        let before = std::mem::replace(&mut self.keks, keks);
        self.write().inspect_err(|_| self.keks = before)
    }

    /// Another process may have written the file since it was read.
    fn check_on_disk(&self) -> Result<(), Error> {
        let same = |on_disk: Self| {
            on_disk.pepper == self.pepper
                && on_disk.admin_key_digest == self.admin_key_digest
                && on_disk.keks == self.keks
        };
        if Self::find(&self.folder)?.is_some_and(same) {
            Ok(())
        } else {
            Err(Error::Replaced { path: self.path() })
        }
    }

    /// Where the file is.
    pub fn path(&self) -> PathBuf {
        self.folder.join(FILE_NAME)
    }

    /// Puts a new digest of the admin key into the file. When this fails, the old one stands, in
    /// the file and here. A digest that another process stored is not written over.
    pub fn set_admin_key_digest(&mut self, digest: [u8; 32]) -> Result<(), Error> {
        let _lock = lock(&self.folder)?;
        self.check_on_disk()?;
        let before = self.admin_key_digest.replace(digest);
        self.write().inspect_err(|_| self.admin_key_digest = before)
    }

    /// Reads the file; `None` when there is none.
    pub fn find(folder: &Path) -> Result<Option<Self>, Error> {
        let path = folder.join(FILE_NAME);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !path.is_symlink() => {
                return Ok(None);
            }
            Err(source) => return Err(io_error("read", &path, source)),
        };
        let metadata = file.metadata().map_err(|source| io_error("read", &path, source))?;
        let mode = metadata.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(Error::OpenToOthers { path, mode });
        }

        let mut text = Zeroizing::new(String::new());
        match file.take(LARGEST_FILE).read_to_string(&mut text) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(Error::Damaged { path, what: "it is not text".to_owned() });
            }
            Err(source) => return Err(io_error("read", &path, source)),
        }
        match parse(&text) {
            Ok(Content { pepper, admin_key_digest, keks }) => {
                Ok(Some(Self { folder: folder.to_owned(), pepper, admin_key_digest, keks }))
            }
            Err(what) => Err(Error::Damaged { path, what }),
        }
    }

    /// Writes the file under another name, and gives it the right one when it is safe on disk.
    /// The caller holds the lock, so a temporary file that is there was left by a crash.
    fn write(&self) -> Result<(), Error> {
        let temporary = self.folder.join(TEMPORARY_NAME);
        let failed = |source| io_error("written", &temporary, source);
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)
            .map_err(failed)?;
        let text = self.to_text();
        let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
        if let Err(error) = written {
            // Best effort: the next call removes it too.
            let _ = fs::remove_file(&temporary);
            return Err(failed(error));
        }
        fs::rename(&temporary, self.path())
            .and_then(|()| File::open(&self.folder)?.sync_all())
            .map_err(|source| io_error("written", &self.path(), source))
    }

    fn to_text(&self) -> Zeroizing<String> {
        // Room for all of it: a string that grows would leave copies in memory.
        let mut text = Zeroizing::new(String::with_capacity(HEADER.len() + 2_048));
        text.push_str(HEADER);
        push_hex(&mut text, "pepper", &self.pepper);
        if let Some(digest) = &self.admin_key_digest {
            push_hex(&mut text, "admin_key_digest", digest);
        }
        if let Some((kek, former)) = self.keks.split_first() {
            push_hex(&mut text, "kek", kek);
            text.push_str("former_keks = [");
            for kek in former {
                text.push('"');
                push_digits(&mut text, kek);
                text.push_str("\", ");
            }
            text.push_str("]\n");
        }
        text
    }
}

impl std::fmt::Debug for SecretsFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretsFile").field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// Holds the folder until the result is dropped, or the process ends in any way.
fn lock(folder: &Path) -> Result<File, Error> {
    let failed = |source| io_error("locked", folder, source);
    let lock = File::open(folder).map_err(failed)?;
    lock.lock().map_err(failed)?;
    Ok(lock)
}

fn io_error(action: &'static str, path: &Path, source: io::Error) -> Error {
    Error::Io { action, path: path.to_owned(), source }
}

/// A key that nobody can guess.
fn draw(random: &mut impl FnMut(&mut [u8])) -> Result<Zeroizing<[u8; 32]>, Error> {
    let mut key = Zeroizing::new([0; 32]);
    random(&mut *key);
    if key.iter().all(|byte| *byte == key[0]) {
        return Err(Error::NotRandom);
    }
    Ok(key)
}

struct Content {
    pepper: Zeroizing<[u8; 32]>,
    admin_key_digest: Option<[u8; 32]>,
    keks: Vec<Zeroizing<[u8; 32]>>,
}

fn parse(text: &str) -> Result<Content, String> {
    let text: Text = toml::from_str(text).map_err(|error| match error.message() {
        // This message alone would show a value.
        message if message.starts_with("invalid type") => "a field is not a text".to_owned(),
        message => message.to_owned(),
    })?;
    let pepper =
        secret::bytes_from_hex(&text.pepper).ok_or("pepper is not 64 hexadecimal digits")?;
    let digest = match &text.admin_key_digest {
        Some(digest) => Some(
            *secret::bytes_from_hex(digest)
                .ok_or("admin_key_digest is not 64 hexadecimal digits")?,
        ),
        None => None,
    };
    let keks = text.kek.iter().chain(&text.former_keks).map(|kek| secret::bytes_from_hex(kek));
    let keks = keks.collect::<Option<Vec<_>>>().ok_or("a kek is not 64 hexadecimal digits")?;
    Ok(Content { pepper, admin_key_digest: digest, keks })
}

fn push_hex(text: &mut String, name: &str, bytes: &[u8; 32]) {
    text.push_str(name);
    text.push_str(" = \"");
    push_digits(text, bytes);
    text.push_str("\"\n");
}

fn push_digits(text: &mut String, bytes: &[u8; 32]) {
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
}

#[cfg(test)]
mod tests;
