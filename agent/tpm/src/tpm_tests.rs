use super::*;
use proptest::prelude::*;

#[test]
fn a_busy_tpm_is_asked_again() {
    let mut busy = 3;
    let mut tpm = Tpm::new(|_: &[u8]| -> io::Result<Vec<u8>> {
        busy -= 1;
        let response: u32 = if busy > 0 { RETRY } else { 0 };
        Ok([&[0x80, 1, 0, 0, 0, 10][..], &response.to_be_bytes()].concat())
    });
    tpm.startup().unwrap();
    let refused = tpm.random(4).unwrap_err();
    assert!(matches!(refused, TpmError::Answer { .. }), "{refused}");
}

proptest! {
    #[test]
    fn no_answer_panics(code in prop::bool::ANY, body in prop::collection::vec(any::<u8>(), 0..120)) {
        let answer = || {
            let head = [if code { 0x80u8 } else { 0x81 }, if code { 0x02 } else { 0x01 }];
            let length = (10 + body.len()) as u32;
            [&head[..], &length.to_be_bytes(), &[0; 4], &body].concat()
        };
        let mut tpm = Tpm::new(|_: &[u8]| -> io::Result<Vec<u8>> { Ok(answer()) });
        let _ = tpm.pcr_read(PcrSelection::of(&[0, 1, 23]));
        let _ = tpm.create_primary(OWNER, &crate::storage_key());
        let _ = tpm.create(1, &crate::storage_key(), b"x");
        let _ = tpm.quote(1, b"n", &PcrSelection::of(&[0]));
        let _ = tpm.ecdh(1, &[4; 65], Auth::Empty);
        let _ = tpm.nv_read(1);
        let _ = tpm.unseal(1, Auth::Empty);
    }
}
