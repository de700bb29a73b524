use super::*;

/// Version 3, clusters of 512 bytes, a disk of 1 KiB: one zero cluster, one of 0xaa.
fn small() -> Vec<u8> {
    let mut file = vec![0; 4 * 512];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"QFI\xfb\0\0\0\x03");
    put(20, &9u32.to_be_bytes());
    put(24, &1024u64.to_be_bytes());
    put(36, &1u32.to_be_bytes());
    put(40, &512u64.to_be_bytes());
    put(100, &104u32.to_be_bytes());
    put(512, &(1024u64 | 1 << 63).to_be_bytes());
    put(1024 + 8, &(1536u64 | 1 << 63).to_be_bytes());
    put(1536, &[0xaa; 512]);
    file
}

fn read(file: Vec<u8>) -> Result<Vec<u8>, String> {
    let mut image = Qcow2::open(Box::new(file), "test").map_err(|error| error.to_string())?;
    // A damaged size may promise anything.
    let len = image.size().min(1 << 16) as usize;
    let mut bytes = vec![1; len];
    let (mut decoder, mut offset) = (image.decoder(), 0);
    // Pieces that fall on no cluster's boundary.
    for part in bytes.chunks_mut(700) {
        let extent = image.fetch(offset, part.len()).map_err(|error| error.to_string())?;
        decoder.unpack(&extent, part).map_err(|error| error.to_string())?;
        offset += part.len() as u64;
    }
    Ok(bytes)
}

#[test]
fn clusters_come_in_the_guests_order() {
    let bytes = read(small()).unwrap();
    assert_eq!(bytes.len(), 1024);
    assert!(bytes[..512].iter().all(|byte| *byte == 0) && bytes[512..].iter().all(|byte| *byte == 0xaa));
}

/// As [`small`], with the second cluster compressed to `packed`.
fn compressed(packed: &[u8], zstd: bool) -> Vec<u8> {
    let mut file = small();
    file[79] = if zstd { 8 } else { 0 };
    file[104] = u8::from(zstd);
    // One sector, as the number of further ones is zero.
    file[1032..1040].copy_from_slice(&(1536u64 | 1 << 62).to_be_bytes());
    file.truncate(1536);
    file.extend_from_slice(packed);
    file
}

#[test]
fn compressed_clusters_are_decompressed_whatever_follows_them() {
    let cluster: Vec<u8> = (0..512u32).map(|index| (index / 9) as u8).collect();
    let mut deflate = flate2::read::DeflateEncoder::new(&cluster[..], flate2::Compression::best());
    let mut packed = Vec::new();
    std::io::Read::read_to_end(&mut deflate, &mut packed).unwrap();
    for (packed, zstd) in [(packed, false), (zstd::stream::encode_all(&cluster[..], 3).unwrap(), true)] {
        for behind in [0, 9, 512] {
            let bytes = read(compressed(&[&packed[..], &vec![7; behind]].concat(), zstd)).unwrap();
            assert!(bytes[..512].iter().all(|byte| *byte == 0) && bytes[512..] == cluster, "{behind} {zstd}");
        }
        let error = read(compressed(&packed[..packed.len() / 2], zstd)).unwrap_err();
        assert!(error.contains("cluster 1 does not decompress"), "{error}");
    }
}

#[test]
fn what_cannot_be_read_whole_is_refused() {
    for (at, value, text) in [
        (15, 1, "backing file"),
        (35, 1, "encrypted"),
        (79, 2, "corrupt"),
        (79, 4, "external data"),
        (79, 16, "subclusters"),
        (79, 32, "not known"),
        (7, 4, "version 4"),
        (23, 30, "cluster size"),
    ] {
        let mut file = small();
        file[at] = value;
        let error = read(file).unwrap_err();
        assert!(error.contains(text), "{error}");
    }
    let mut cut = small();
    cut.truncate(1800);
    assert!(read(cut).is_err());
}

proptest::proptest! {
    #[test]
    fn damage_is_an_error_or_bytes_and_never_a_panic(
        changes in proptest::collection::vec((0usize..2048, proptest::num::u8::ANY), 1..8),
        length in 0usize..2049,
    ) {
        let mut file = small();
        for (at, value) in changes {
            file[at] = value;
        }
        file.truncate(length.max(1800));
        let _ = read(file);
    }
}
