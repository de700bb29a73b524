use super::*;

#[test]
fn parameters_have_their_place_and_no_more() {
    let reserved = conf::reserve(b"burin.settle=5\n").unwrap();
    assert_eq!(reserved.len(), RESERVED);
    assert!(reserved.starts_with(b"#:burin.conf:") && reserved.ends_with(b"\n\n"));
    assert!(matches!(conf::reserve(&vec![b'x'; RESERVED]), Err(ConfError::TooLarge { .. })));
}

#[test]
fn a_directory_that_is_no_build_and_labels_that_firmware_would_not_show() {
    let dir = tempfile::tempdir().unwrap();
    let options = IsoOptions {
        from: dir.path().to_owned(),
        output: dir.path().join("x.iso"),
        label: "BURIN".into(),
        conf: None,
        files: vec![],
        cmdline: vec![],
        mtime: 0,
    };
    assert!(matches!(iso(&options, &mut |_| {}), Err(IsoError::NoBuild { .. })));
    std::fs::write(dir.path().join(MANIFEST), "{}").unwrap();
    assert!(matches!(iso(&options, &mut |_| {}), Err(IsoError::Manifest { .. })));
    for label in ["", "burin", "TWELVELETTER", "A B"] {
        let options = IsoOptions { label: label.into(), ..options.clone() };
        assert!(matches!(iso(&options, &mut |_| {}), Err(IsoError::Label(_))), "{label}");
    }
}

#[test]
fn the_menu_keeps_words_whole() {
    let menu = grub::menu("console=tty0 burin.controller=http://h/?a=1&b=2 burin.medium=BURIN");
    assert!(
        menu.contains("linux /burin/vmlinuz console=tty0 burin.controller=http://h/?a=1\\&b=2 burin.medium=BURIN\n"),
        "{menu}"
    );
}
