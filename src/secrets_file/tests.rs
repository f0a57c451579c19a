//! The secrets file on a real file system.

use super::*;

fn counting(buffer: &mut [u8]) {
    buffer.iter_mut().zip(0..).for_each(|(byte, n)| *byte = n);
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn the_first_start_makes_it_and_the_second_reads_it() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("new/data");

    let (mut first, created) = SecretsFile::load_or_create(&folder, &mut counting).unwrap();
    assert_eq!(created, Created::Now);
    assert_eq!(first.pepper()[..3], [0, 1, 2]);
    assert_eq!(first.admin_key_digest(), None);
    first.set_admin_key_digest([0xab; 32]).unwrap();
    assert_eq!(first.admin_key_digest(), Some(&[0xab; 32]));

    let mut no_random = |_: &mut [u8]| panic!("the pepper must not be drawn again");
    let (second, created) = SecretsFile::load_or_create(&folder, &mut no_random).unwrap();
    assert_eq!(created, Created::Before);
    assert_eq!(second.pepper(), first.pepper());
    assert_eq!(second.admin_key_digest(), Some(&[0xab; 32]));

    assert_eq!((mode(&folder), mode(&second.path())), (0o700, 0o600));
    assert!(!folder.join(TEMPORARY_NAME).exists());
    assert!(!format!("{second:?}").contains("pepper"));
    assert_eq!((second.keks().len(), second.keks()), (1, first.keks()));
}

#[test]
fn processes_that_start_together_agree() {
    let home = tempfile::tempdir().unwrap();
    let peppers: Vec<_> = std::thread::scope(|scope| {
        let start = |seed: u8| {
            let folder = home.path();
            scope.spawn(move || {
                let mut random = |buffer: &mut [u8]| {
                    buffer.fill(seed);
                    buffer[0] = !seed;
                };
                let (file, created) = SecretsFile::load_or_create(folder, &mut random).unwrap();
                (*file.pepper(), created)
            })
        };
        let threads: Vec<_> = (0..8).map(start).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(peppers.iter().all(|(pepper, _)| *pepper == peppers[0].0));
    assert_eq!(peppers.iter().filter(|(_, created)| *created == Created::Now).count(), 1);
}

#[test]
fn a_file_that_others_may_use_is_refused() {
    for bits in [0o640, 0o604, 0o660, 0o610] {
        let home = tempfile::tempdir().unwrap();
        let (file, _) = SecretsFile::load_or_create(home.path(), &mut counting).unwrap();
        fs::set_permissions(file.path(), fs::Permissions::from_mode(bits)).unwrap();
        let error = SecretsFile::load_or_create(home.path(), &mut counting).unwrap_err();
        let path = file.path().display().to_string();
        assert_eq!(
            error.to_string(),
            format!(
                "{path} is open to other users (mode {bits:04o}): run `chmod 600 '{path}'` and \
                 start again"
            )
        );
    }
}

#[test]
fn a_damaged_file_is_refused_and_left_alone() {
    let hex = "0f".repeat(32);
    let cases = [
        (String::new(), "missing field `pepper`"),
        (format!("pepper = \"{}\"\n", &hex[1..]), "pepper is not 64 hexadecimal digits"),
        (
            format!("pepper = \"{}\"\n", hex.replace('f', "x")),
            "pepper is not 64 hexadecimal digits",
        ),
        (format!("pepper = \"{hex}\"\nadmin_key_digest = \"\"\n"), "admin_key_digest is not 64"),
        (format!("pepper = \"{hex}\"\nnew_field = 1\n"), "unknown field `new_field`"),
        (format!("pepper = \"{hex}"), "invalid basic string"),
        ("pepper = 0xf0f0f\n".to_owned(), "a field is not a text"),
    ];
    for (text, what) in cases {
        let home = tempfile::tempdir().unwrap();
        let (file, _) = SecretsFile::load_or_create(home.path(), &mut counting).unwrap();
        fs::write(file.path(), &text).unwrap();
        let error = SecretsFile::load_or_create(home.path(), &mut counting).unwrap_err();
        let sentence = error.to_string();
        assert!(sentence.contains(&format!("is damaged ({what}")), "{sentence}");
        assert!(!sentence.contains("0f0f"), "{sentence}");
        assert_eq!(fs::read_to_string(file.path()).unwrap(), text);
    }
}

#[test]
fn bytes_that_are_not_text_and_a_dangling_link_are_refused() {
    let home = tempfile::tempdir().unwrap();
    let (file, _) = SecretsFile::load_or_create(home.path(), &mut counting).unwrap();
    fs::write(file.path(), [0xff, 0xfe]).unwrap();
    let error = SecretsFile::load_or_create(home.path(), &mut counting).unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");

    fs::remove_file(file.path()).unwrap();
    std::os::unix::fs::symlink("gone", file.path()).unwrap();
    let error = SecretsFile::load_or_create(home.path(), &mut counting).unwrap_err();
    assert!(matches!(error, Error::Io { action: "read", .. }), "{error}");
}

#[test]
fn what_a_crash_left_behind_does_no_harm() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join(TEMPORARY_NAME), "pepper = \"half").unwrap();
    let (_, created) = SecretsFile::load_or_create(home.path(), &mut counting).unwrap();
    assert_eq!(created, Created::Now);
    assert!(!home.path().join(TEMPORARY_NAME).exists());
}

#[test]
fn a_replaced_file_is_not_written_over() {
    let home = tempfile::tempdir().unwrap();
    let (mut file, _) = SecretsFile::load_or_create(home.path(), &mut counting).unwrap();
    fs::write(file.path(), format!("pepper = \"{}\"\n", "0f".repeat(32))).unwrap();
    let error = file.set_admin_key_digest([1; 32]).unwrap_err();
    assert!(matches!(error, Error::Replaced { .. }), "{error}");
    assert_eq!(file.admin_key_digest(), None);
}

#[test]
fn a_digest_that_another_process_stored_is_not_written_over() {
    let home = tempfile::tempdir().unwrap();
    let (mut slow, _) = SecretsFile::load_or_create(home.path(), &mut counting).unwrap();
    let (mut quick, _) = SecretsFile::load_or_create(home.path(), &mut counting).unwrap();
    quick.set_admin_key_digest([1; 32]).unwrap();
    let error = slow.set_admin_key_digest([2; 32]).unwrap_err();
    assert!(matches!(error, Error::Replaced { .. }), "{error}");
    let found = SecretsFile::find(home.path()).unwrap().unwrap();
    assert_eq!(found.admin_key_digest(), Some(&[1; 32]));
}

#[test]
fn a_broken_random_source_makes_no_file() {
    let home = tempfile::tempdir().unwrap();
    let error = SecretsFile::load_or_create(home.path(), &mut |_| {}).unwrap_err();
    assert!(matches!(error, Error::NotRandom), "{error}");
    assert!(!home.path().join(FILE_NAME).exists());
}

/// SECURITY 5: at every moment of a rotation the file has the key that seals, and those that open.
#[test]
fn a_new_kek_stands_before_the_old_one_until_that_is_forgotten() {
    let home = tempfile::tempdir().unwrap();
    let (mut file, _) = SecretsFile::load_or_create(home.path(), &mut counting).unwrap();
    let old = file.keks()[0].clone();
    let mut backwards =
        |buffer: &mut [u8]| buffer.iter_mut().rev().zip(0..).for_each(|(b, n)| *b = n);
    file.add_kek(&mut backwards).unwrap();
    let found = SecretsFile::find(home.path()).unwrap().unwrap();
    assert_eq!((found.keks().len(), &found.keks()[1]), (2, &old));
    file.forget_former_keks().unwrap();
    let found = SecretsFile::find(home.path()).unwrap().unwrap();
    assert_eq!(found.keks(), file.keks());
    assert_ne!(found.keks()[0], old);
    assert_eq!(found.keks().len(), 1);
}
