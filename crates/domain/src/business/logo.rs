//! A logo, by what its bytes are and not by what they are called: PNG, JPEG or WebP, whole, of a bounded size, and
//! still. Never SVG, which is a program as much as an image.

use crate::Fault;

/// The most bytes of a logo.
pub const MAX_BYTES: usize = 64 * 1024;
/// The most pixels of its width and of its height: few bytes can hold an image that fills a phone's memory.
pub const MAX_SIDE: u32 = 2048;

/// What a logo is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// PNG.
    Png,
    /// JPEG.
    Jpeg,
    /// WebP.
    WebP,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Png, Self::Jpeg, Self::WebP];

    /// The media type.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::WebP => "image/webp",
        }
    }

    /// How its file's name ends.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpg",
            Self::WebP => "webp",
        }
    }

    /// By its media type.
    #[must_use]
    pub fn parse(media_type: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.media_type() == media_type)
    }
}

/// An image that may be shown. Only [`Logo::parse`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logo {
    kind: Kind,
    width: u32,
    height: u32,
    bytes: Vec<u8>,
}

impl Logo {
    /// The image in these bytes.
    ///
    /// # Errors
    /// The fault, of the member `logo`.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, Fault> {
        let fault = |code: &'static str, message: String| Err(Fault::coded("logo", code, message));
        if bytes.is_empty() {
            return fault("logo_none", "must hold an image".to_owned());
        }
        if bytes.len() > MAX_BYTES {
            return fault("logo_large", format!("must have at most {} KiB", MAX_BYTES / 1024));
        }
        let Some(kind) = kind_of(&bytes) else {
            return fault("logo_kind", "must be a PNG, JPEG or WebP image".to_owned());
        };
        let size = match kind {
            Kind::Png => png(&bytes),
            Kind::Jpeg => jpeg(&bytes),
            Kind::WebP => webp(&bytes),
        };
        let Some((width, height)) = size else {
            return fault("logo_broken", "must be a whole image that does not move".to_owned());
        };
        if !(1..=MAX_SIDE).contains(&width) || !(1..=MAX_SIDE).contains(&height) {
            return fault("logo_side", format!("must be at most {MAX_SIDE} pixels wide and high"));
        }
        Ok(Self { kind, width, height, bytes })
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its width in pixels.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Its height in pixels.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.height
    }

    /// The file.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

fn kind_of(bytes: &[u8]) -> Option<Kind> {
    if bytes.starts_with(PNG) {
        Some(Kind::Png)
    } else if bytes.starts_with(b"\xff\xd8\xff") {
        Some(Kind::Jpeg)
    } else if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        Some(Kind::WebP)
    } else {
        None
    }
}

fn be16(bytes: &[u8], at: usize) -> Option<usize> {
    let pair: [u8; 2] = bytes.get(at..at + 2)?.try_into().ok()?;
    Some(usize::from(u16::from_be_bytes(pair)))
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// Width and height of a PNG whose chunks follow each other to the last byte.
fn png(bytes: &[u8]) -> Option<(u32, u32)> {
    let mut at = PNG.len();
    if bytes.get(at + 4..at + 8)? != b"IHDR" {
        return None;
    }
    let size = (be32(bytes, at + 8)?, be32(bytes, at + 12)?);
    let mut pixels = false;
    loop {
        let length = usize::try_from(be32(bytes, at)?).ok()?;
        let kind = bytes.get(at + 4..at + 8)?;
        // Length, name and checksum stand around what a chunk holds.
        at = at.checked_add(length)?.checked_add(12).filter(|end| *end <= bytes.len())?;
        match kind {
            b"IDAT" => pixels = true,
            // It moves.
            b"acTL" => return None,
            b"IEND" => return (pixels && at == bytes.len()).then_some(size),
            _ => {}
        }
    }
}

/// Width and height of a JPEG of a kind that browsers show.
fn jpeg(bytes: &[u8]) -> Option<(u32, u32)> {
    if !bytes.ends_with(b"\xff\xd9") {
        return None;
    }
    let mut at = 2;
    let mut size = None;
    loop {
        if *bytes.get(at)? != 0xff {
            return None;
        }
        let marker = *bytes.get(at + 1)?;
        match marker {
            // Filling.
            0xff => {
                at += 1;
                continue;
            }
            // Baseline, extended, progressive.
            0xc0..=0xc2 => {
                let (height, width) = (be16(bytes, at + 5)?, be16(bytes, at + 7)?);
                size = Some((u32::try_from(width).ok()?, u32::try_from(height).ok()?));
            }
            // The pixels begin.
            0xda => return size,
            // An end before any pixel, or a segment that has no length.
            0xd0..=0xd9 | 0x00 | 0x01 => return None,
            _ => {}
        }
        at += 2 + be16(bytes, at + 2).filter(|length| *length >= 2)?;
    }
}

/// Width and height of a WebP of any kind that stands still.
fn webp(bytes: &[u8]) -> Option<(u32, u32)> {
    let length = usize::try_from(le32(bytes, 4)?).ok()?;
    if length.checked_add(8)? != bytes.len() {
        return None;
    }
    match bytes.get(12..16)? {
        b"VP8 " => {
            let key = bytes.get(20)? & 1 == 0 && bytes.get(23..26)? == b"\x9d\x01\x2a";
            let sides = le32(bytes, 26)?;
            key.then_some((sides & 0x3fff, sides >> 16 & 0x3fff))
        }
        b"VP8L" => {
            let sides = le32(bytes, 21)?;
            (*bytes.get(20)? == 0x2f).then_some(((sides & 0x3fff) + 1, (sides >> 14 & 0x3fff) + 1))
        }
        b"VP8X" => {
            let moves = bytes.get(20)? & 2 != 0;
            let side = |at: usize| Some((le32(bytes, at)? & 0x00ff_ffff) + 1);
            let height = u32::from(*bytes.get(27)?)
                | u32::from(*bytes.get(28)?) << 8
                | u32::from(*bytes.get(29)?) << 16;
            (!moves).then_some((side(24)?, height + 1))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(name: &[u8; 4], data: &[u8]) -> Vec<u8> {
        let length = u32::try_from(data.len()).unwrap().to_be_bytes();
        [&length[..], name, data, &[0; 4]].concat()
    }

    fn png_of(width: u32, height: u32, more: &[u8]) -> Vec<u8> {
        let mut header = [width.to_be_bytes(), height.to_be_bytes()].concat();
        header.extend([8, 6, 0, 0, 0]);
        [PNG, &chunk(b"IHDR", &header), more, &chunk(b"IDAT", &[1, 2, 3]), &chunk(b"IEND", &[])].concat()
    }

    fn jpeg_of(width: u16, height: u16) -> Vec<u8> {
        let mut bytes = b"\xff\xd8\xff\xe0\x00\x04JF\xff\xff\xc2\x00\x0b\x08".to_vec();
        bytes.extend(height.to_be_bytes());
        bytes.extend(width.to_be_bytes());
        bytes.extend(b"\x01\x01\x11\x00\xff\xda\x00\x02\x12\x34\xff\xd9");
        bytes
    }

    fn webp_of(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
        let length = u32::try_from(data.len()).unwrap().to_le_bytes();
        let inner = [b"WEBP", &kind[..], &length, data].concat();
        let length = u32::try_from(inner.len()).unwrap().to_le_bytes();
        [b"RIFF", &length[..], &inner].concat()
    }

    fn lossless(width: u32, height: u32) -> Vec<u8> {
        let sides = ((width - 1) | (height - 1) << 14).to_le_bytes();
        webp_of(b"VP8L", &[&[0x2f][..], &sides].concat())
    }

    #[test]
    fn an_image_is_known_by_its_bytes() {
        let lossy = webp_of(b"VP8 ", b"\x00\x00\x00\x9d\x01\x2a\x40\x01\x20\x40");
        let extended = webp_of(b"VP8X", b"\x10\x00\x00\x00\x3f\x01\x00\x1f\x00\x00");
        for (bytes, kind, size) in [
            (png_of(320, 32, &[]), Kind::Png, (320, 32)),
            (png_of(MAX_SIDE, 1, &chunk(b"tEXt", b"a")), Kind::Png, (MAX_SIDE, 1)),
            (jpeg_of(320, 32), Kind::Jpeg, (320, 32)),
            (lossless(320, 32), Kind::WebP, (320, 32)),
            (lossy, Kind::WebP, (320, 32)),
            (extended, Kind::WebP, (320, 32)),
        ] {
            let logo = Logo::parse(bytes.clone()).unwrap();
            assert_eq!((logo.kind(), (logo.width(), logo.height())), (kind, size));
            assert_eq!(logo.bytes(), bytes);
            assert_eq!(Kind::parse(kind.media_type()), Some(kind));
        }
    }

    #[test]
    fn what_is_no_small_still_image_is_refused_by_what_it_is() {
        let svg = b"<svg xmlns=\"http://www.w3.org/2000/svg\"><script>alert(1)</script></svg>";
        let mut late = png_of(8, 8, &[]);
        late.extend(b"<script>alert(1)</script>");
        let mut cut = png_of(8, 8, &[]);
        cut.truncate(cut.len() - 1);
        let mut endless = png_of(8, 8, &[]);
        endless[33..37].copy_from_slice(&u32::MAX.to_be_bytes());
        let mut open = jpeg_of(8, 8);
        open.extend(b"<script>");
        for (bytes, code) in [
            (Vec::new(), "logo_none"),
            (vec![0; MAX_BYTES + 1], "logo_large"),
            (svg.to_vec(), "logo_kind"),
            (b"<?xml version=\"1.0\"?><svg/>".to_vec(), "logo_kind"),
            (b"<!doctype html><script>alert(1)</script>".to_vec(), "logo_kind"),
            (b"GIF89a\x01\x00\x01\x00".to_vec(), "logo_kind"),
            (b"alert(1)".to_vec(), "logo_kind"),
            (b"RIFF\x04\x00\x00\x00WAVE".to_vec(), "logo_kind"),
            (PNG.to_vec(), "logo_broken"),
            (late, "logo_broken"),
            (cut, "logo_broken"),
            (endless, "logo_broken"),
            (png_of(8, 8, &chunk(b"acTL", &[0; 8])), "logo_broken"),
            (b"\xff\xd8\xff\xd9".to_vec(), "logo_broken"),
            (open, "logo_broken"),
            (webp_of(b"VP8X", b"\x02\x00\x00\x00\x07\x00\x00\x07\x00\x00"), "logo_broken"),
            (webp_of(b"EXIF", b"<script>"), "logo_broken"),
            ([lossless(8, 8), b"<script>".to_vec()].concat(), "logo_broken"),
            (png_of(MAX_SIDE + 1, 8, &[]), "logo_side"),
            (png_of(8, u32::MAX, &[]), "logo_side"),
            (png_of(0, 8, &[]), "logo_side"),
            (jpeg_of(u16::MAX, 8), "logo_side"),
            (lossless(8, 16384), "logo_side"),
        ] {
            let fault = Logo::parse(bytes.clone()).unwrap_err();
            assert_eq!((fault.path.as_str(), fault.code), ("logo", code), "{:?}", bytes.get(..40));
        }
    }

    /// Whatever is cut off or changed: an answer, and no panic.
    #[test]
    fn no_bytes_break_the_reader() {
        let images = [png_of(320, 32, &[]), jpeg_of(320, 32), lossless(320, 32)];
        for image in images {
            for end in 0..image.len() {
                let _ = Logo::parse(image[..end].to_vec());
                for byte in [0, 1, 0x7f, 0x80, 0xff] {
                    let mut changed = image.clone();
                    changed[end] = byte;
                    let _ = Logo::parse(changed);
                }
            }
        }
    }
}
