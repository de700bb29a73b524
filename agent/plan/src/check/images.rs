//! Checks an order's images: URLs, digests, signatures, transfer options.

use super::Mistakes;
use burin_protocol::image::{ImageDigests, ImageSignature, ImageSpec, LEAST_RATE};

/// Allowed numbers of connections for an image.
const CONNECTIONS: std::ops::RangeInclusive<u8> = 1..=8;

const PROXIES: [&str; 4] = ["http://", "https://", "socks5://", "socks5h://"];

/// `at` points to the image.
pub fn check(image: &ImageSpec, at: &str, require_signature: bool, mistakes: &mut Mistakes) {
    match &image.manifest {
        None => mistakes.ensure(!image.urls.is_empty(), &format!("{at}/urls"), "an image has at least one URL"),
        Some(address) => manifest(image, address, at, mistakes),
    }
    let alone = image.manifest.is_some() || (image.name.is_none() && image.least_version.is_none());
    mistakes.ensure(alone, at, "`name` and `least_version` are a manifest's: name it in `manifest`");
    let registry = image.urls.first().is_some_and(|first| is_reference(first));
    for (i, address) in image.urls.iter().enumerate() {
        let at = format!("{at}/urls/{i}");
        match registry {
            true => mistakes.ensure(is_reference(address), &at, "expected oci://, as in the first of these URLs"),
            false => mistakes.ensure(is_url(address), &at, "expected an http://, https:// or oci:// URL"),
        }
    }
    let sector = image.sector_size.is_none_or(|size| matches!(size, 512 | 4096));
    mistakes.ensure(sector, &format!("{at}/sector_size"), "expected 512 or 4096");
    digest(image.digest.wire.as_deref(), &format!("{at}/digest/wire"), mistakes);
    digest(image.digest.content.as_deref(), &format!("{at}/digest/content"), mistakes);
    match (&image.signature, registry) {
        (Some(signed), true) => cosign(signed, &format!("{at}/signature"), mistakes),
        (signed, _) => signature(signed.as_ref(), &format!("{at}/signature"), mistakes),
    }
    mistakes.ensure(
        image.sums.is_none() || !registry,
        &format!("{at}/sums"),
        "an image in a registry is pinned by its reference: oci://HOST/REPOSITORY@sha256:HEX",
    );
    if let Some(sums) = &image.sums {
        let at = format!("{at}/sums");
        url(&sums.url, &format!("{at}/url"), mistakes);
        signature(sums.signature.as_ref(), &format!("{at}/signature"), mistakes);
        mistakes.ensure(image.digest.wire.is_none(), &at, "expected either this or `digest.wire`, not both");
    }
    if let Some(index) = &image.delta {
        let at = format!("{at}/delta");
        url(&index.url, &format!("{at}/url"), mistakes);
        digest(index.digest.as_deref(), &format!("{at}/digest"), mistakes);
        signature(index.signature.as_ref(), &format!("{at}/signature"), mistakes);
    }
    let signed = image.signature.is_some() || image.sums.as_ref().is_some_and(|sums| sums.signature.is_some());
    mistakes.ensure(
        signed || !require_signature,
        at,
        "`policies.require_signature` wants a `signature`, or `sums` with one",
    );
    let transfer = &image.transfer;
    let proxy = transfer.proxy.as_ref().is_none_or(|proxy| is_of(&PROXIES, proxy.reveal()));
    mistakes.ensure(
        proxy,
        &format!("{at}/transfer/proxy"),
        "expected an http://, https://, socks5:// or socks5h:// URL",
    );
    let least = LEAST_RATE.saturating_mul(transfer.connections.unwrap_or(1).into());
    let works = transfer.rate.is_none_or(|rate| rate >= least);
    mistakes.ensure(works, &format!("{at}/transfer/rate"), "expected 65536 (64 KiB/s) or more for each connection");
    let connections = transfer.connections.is_none_or(|count| CONNECTIONS.contains(&count));
    mistakes.ensure(connections, &format!("{at}/transfer/connections"), "expected 1 to 8");
}

/// A manifest excludes everything that it contains itself: if both were given, it would be unclear which one counts.
fn manifest(image: &ImageSpec, address: &str, at: &str, mistakes: &mut Mistakes) {
    url(address, &format!("{at}/manifest"), mistakes);
    let said = [
        ("urls", !image.urls.is_empty()),
        ("format", image.format.is_some()),
        ("sector_size", image.sector_size.is_some()),
        ("digest", image.digest != ImageDigests::default()),
        ("sums", image.sums.is_some()),
        ("delta", image.delta.is_some()),
    ];
    for (name, said) in said {
        mistakes.ensure(!said, &format!("{at}/{name}"), "the manifest says this: take it out, or take `manifest` out");
    }
    let named = image.name.as_deref().is_some_and(|name| !name.is_empty());
    mistakes.ensure(
        named || image.signature.is_none(),
        &format!("{at}/name"),
        "a signed manifest needs a `name` here: the same key may have signed other images",
    );
}

fn signature(signature: Option<&ImageSignature>, at: &str, mistakes: &mut Mistakes) {
    let Some(signature) = signature else { return };
    let key = minisign_verify::PublicKey::from_base64(signature.key.trim()).is_ok();
    mistakes.ensure(key, &format!("{at}/key"), "expected the second line of a minisign.pub");
    if let Some(address) = &signature.url {
        url(address, &format!("{at}/url"), mistakes);
    }
}

/// An image in a registry is signed with cosign, and its signature is in the registry too.
fn cosign(signature: &ImageSignature, at: &str, mistakes: &mut Mistakes) {
    let pem = signature.key.trim().starts_with("-----BEGIN PUBLIC KEY-----");
    mistakes.ensure(pem, &format!("{at}/key"), "expected the contents of a cosign.pub");
    mistakes.ensure(signature.url.is_none(), &format!("{at}/url"), "a cosign signature is beside the image");
    mistakes.ensure(signature.not_before.is_none(), &format!("{at}/not_before"), "a cosign signature has no time");
}

fn is_reference(url: &str) -> bool {
    is_of(&["oci://", "oci+http://"], url)
}

pub fn url(url: &str, at: &str, mistakes: &mut Mistakes) {
    mistakes.ensure(is_url(url), at, "expected an http:// or https:// URL");
}

fn is_url(url: &str) -> bool {
    is_of(&["http://", "https://"], url)
}

fn is_of(schemes: &[&str], url: &str) -> bool {
    schemes.iter().any(|scheme| url.len() > scheme.len() && url.starts_with(scheme))
}

pub fn digest(text: Option<&str>, at: &str, mistakes: &mut Mistakes) {
    mistakes.ensure(text.is_none_or(is_digest), at, "expected sha256:HEX or sha512:HEX");
}

fn is_digest(text: &str) -> bool {
    let Some((kind, hex)) = text.split_once(':') else { return false };
    let length = match kind {
        "sha256" => 64,
        "sha512" => 128,
        _ => return false,
    };
    hex.len() == length && hex.bytes().all(|b| b.is_ascii_hexdigit())
}
