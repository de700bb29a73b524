//! Tests of the enclosure pages.

use super::*;
use proptest::prelude::*;

fn configuration_page() -> Vec<u8> {
    let mut page = vec![1, 0, 0, 0, 0, 0, 0, 1];
    page.extend([0x11, 0, 3, 36]);
    page.extend([0x50, 0x03, 0x04, 0x80, 0x01, 0x02, 0x03, 0x3f]);
    page.extend(b"SMC     SC846P          1.0 ");
    page.extend([0x17, 2, 0, 0, 0x04, 1, 0, 0, 0x03, 1, 0, 0]);
    page
}

fn status_page() -> Vec<u8> {
    let mut page = vec![2, 2, 0, 0, 0, 0, 0, 1];
    page.extend([1, 0, 0, 0]);
    page.extend([1, 0, 2, 0, 5, 0, 0, 0x10]);
    page.extend([1, 0, 0, 0, 1, 0, 45, 0]);
    page.extend([1, 0, 0, 0, 2, 1, 0x2c, 0]);
    page
}

fn descriptor_page() -> Vec<u8> {
    let mut page = vec![7, 0, 0, 0, 0, 0, 0, 1];
    for text in ["Array", "Slot01", "Slot02", "", "Front", "", "Fan1"] {
        page.extend([0, 0, 0, text.len() as u8]);
        page.extend(text.bytes());
    }
    page
}

fn additional_page(mode: u8, first: u8) -> Vec<u8> {
    let mut page = vec![0x0a, 0, 0, 0, 0, 0, 0, 1];
    page.extend([0x16, 34, mode, first, 1, 0, 0, 1]);
    let mut phy = [0u8; 28];
    phy[4..12].copy_from_slice(&[0x50, 3, 4, 0x80, 1, 2, 3, 0x3f]);
    phy[12..20].copy_from_slice(&[0x50, 0, 0xc5, 0, 0xa1, 0xb2, 0xc3, 0xd5]);
    page.extend(phy);
    let length = (page.len() - 4) as u16;
    page[2..4].copy_from_slice(&length.to_be_bytes());
    page
}

#[test]
fn an_enclosure() {
    let configuration = configuration(&configuration_page()).expect("whole");
    assert_eq!(configuration.id.as_deref(), Some("500304800102033f"));
    assert_eq!((configuration.vendor.as_deref(), configuration.product.as_deref()), (Some("SMC"), Some("SC846P")));
    assert_eq!(configuration.types, [(0x17, 2), (0x04, 1), (0x03, 1)]);
    assert_eq!(overall(&status_page()), Some("critical"));
    // Index 0 of the single elements, and index 1 with the overall element counted, are the same slot.
    for (mode, index) in [(0, 0), (1, 1)] {
        let found = elements(&configuration, &status_page(), &descriptor_page(), &additional_page(mode, index));
        let names: Vec<_> = found.iter().map(|e| e.name.as_deref().unwrap_or_default()).collect();
        assert_eq!(names, ["Slot01", "Slot02", "Front", "Fan1"]);
        assert_eq!((found[0].slot, found[0].addresses.as_slice()), (Some(1), &["5000c500a1b2c3d5".to_owned()][..]));
        assert!(found[0].locate() && !found[0].fault() && found[0].powered() && !found[1].powered());
        assert_eq!((found[1].status_word(), found[1].slot), (Some("not installed"), None));
        assert_eq!((found[2].temperature(), found[2].fan_speed()), (Some(25), None));
        assert_eq!((found[3].fan_speed(), found[3].status_word()), (Some(3000), Some("critical")));
    }
}

#[test]
fn pages_that_are_missing_leave_fields_empty() {
    let configuration = configuration(&configuration_page()).expect("whole");
    let found = elements(&configuration, &[], &[], &[]);
    assert_eq!(found.len(), 4);
    assert_eq!((found[0].status_word(), found[2].temperature()), (None, None));
}

proptest! {
    #[test]
    fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0usize..60, b in any::<u8>()) {
        configuration(&bytes);
        overall(&bytes);
        let (mut c, mut s, mut d, mut a) =
            (configuration_page(), status_page(), descriptor_page(), additional_page(1, 1));
        for page in [&mut c, &mut s, &mut d, &mut a] {
            if let Some(byte) = page.get_mut(at) { *byte = b; }
        }
        if let Some(configuration) = configuration(&c) {
            for page in [&bytes, &s] {
                for element in elements(&configuration, page, &d, &a) {
                    element.temperature();
                    element.voltage();
                }
            }
            elements(&configuration, &s, &bytes, &bytes);
        }
    }
}
