//! A business's colour, and what it becomes so that everybody can read what stands on it and beside it.
//!
//! The rule is WCAG 2.2: text has a contrast of 4.5 to its ground. The grounds are those of `assets/app.css`.

use std::fmt;

/// The least contrast of text to its ground (WCAG 2.2, 1.4.3, level AA).
pub const LEGIBLE: f64 = 4.5;

/// A colour of the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Colour([u8; 3]);

const WHITE: Colour = Colour([0xff; 3]);
const BLACK: Colour = Colour([0; 3]);

/// What stands around the colour: the reader's system chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Theme {
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

impl Theme {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Light, Self::Dark];

    /// The grounds of the theme: the page's and the cards'.
    #[must_use]
    pub fn grounds(self) -> [Colour; 2] {
        match self {
            Self::Light => [Colour([0xf6, 0xf5, 0xf1]), WHITE],
            Self::Dark => [Colour([0x12, 0x15, 0x13]), Colour([0x1a, 0x1f, 0x1c])],
        }
    }
}

/// What the style sheet calls by these names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Palette {
    /// Links, and the ground of the main button.
    pub act: Colour,
    /// The same under the pointer.
    pub act_strong: Colour,
    /// Text on either.
    pub on_act: Colour,
    /// A quiet ground of what is chosen; [`Palette::act`] can be read on it.
    pub act_soft: Colour,
}

impl Colour {
    /// From `#rrggbb`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6 && digits.is_ascii())?;
        let byte = |at: usize| {
            let pair = digits.get(at..at + 2).filter(|pair| pair.bytes().all(|b| b.is_ascii_hexdigit()))?;
            u8::from_str_radix(pair, 16).ok()
        };
        Some(Self([byte(0)?, byte(2)?, byte(4)?]))
    }

    /// The contrast of two colours, from 1 to 21.
    #[must_use]
    #[expect(clippy::float_arithmetic, reason = "light is measured, not counted")]
    pub fn contrast(self, other: Self) -> f64 {
        let (one, two) = (self.luminance(), other.luminance());
        (one.max(two) + 0.05) / (one.min(two) + 0.05)
    }

    /// How light it is, from 0 to 1, as WCAG defines it.
    #[expect(clippy::float_arithmetic, reason = "light is measured, not counted")]
    fn luminance(self) -> f64 {
        let linear = |byte: u8| {
            let part = f64::from(byte) / 255.0;
            if part <= 0.040_45 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        };
        let [red, green, blue] = self.0.map(linear);
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }

    /// So many hundredths of the way to another colour.
    fn toward(self, other: Self, hundredths: u16) -> Self {
        let mut mixed = self;
        for (mine, theirs) in mixed.0.iter_mut().zip(other.0) {
            let sum = u16::from(*mine) * (100 - hundredths) + u16::from(theirs) * hundredths;
            *mine = u8::try_from((sum + 50) / 100).unwrap_or(u8::MAX);
        }
        mixed
    }

    /// The nearest to this colour, darker in the light theme and lighter in the dark, that can be read.
    #[must_use]
    pub fn palette(self, theme: Theme) -> Palette {
        let (end, on_act) = match theme {
            Theme::Light => (BLACK, WHITE),
            Theme::Dark => (WHITE, BLACK),
        };
        let [ground, card] = theme.grounds();
        let soft = |act: Self| card.toward(act, 12);
        let legible = |act: &Self| {
            [ground, card, soft(*act), on_act].iter().all(|other| act.contrast(*other) >= LEGIBLE)
        };
        let act = (0..=100).map(|hundredths| self.toward(end, hundredths)).find(legible).unwrap_or(end);
        Palette { act, act_strong: act.toward(end, 25), on_act, act_soft: soft(act) }
    }
}

impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [red, green, blue] = self.0;
        write!(f, "#{red:02x}{green:02x}{blue:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn colour(text: &str) -> Colour {
        Colour::parse(text).unwrap()
    }

    #[test]
    fn only_six_digits_after_a_hash_are_a_colour() {
        for (text, kept) in [
            ("#0b6b50", Some("#0b6b50")),
            ("#FFEE00", Some("#ffee00")),
            ("#000000", Some("#000000")),
            ("0b6b50", None),
            ("#0b6b5", None),
            ("#0b6b500", None),
            ("#fff", None),
            ("#+1+1+1", None),
            ("#gggggg", None),
            ("#éééé", None),
            ("#aaéaa", None),
            ("red;}", None),
            ("red", None),
            ("rgb(0 0 0)", None),
            ("url(https://evil.example)", None),
            ("", None),
        ] {
            assert_eq!(Colour::parse(text).map(|colour| colour.to_string()).as_deref(), kept, "{text}");
        }
    }

    #[test]
    fn contrast_is_that_of_wcag() {
        for (one, two, expected) in [
            ("#000000", "#ffffff", 21.0),
            ("#ffffff", "#ffffff", 1.0),
            ("#767676", "#ffffff", 4.54),
            ("#777777", "#ffffff", 4.48),
            ("#ff0000", "#ffffff", 4.0),
            ("#0000ff", "#ffffff", 8.59),
            ("#ffff00", "#000000", 19.56),
        ] {
            let (there, back) = (colour(one).contrast(colour(two)), colour(two).contrast(colour(one)));
            assert!((there - expected).abs() < 0.01 && (there - back).abs() < 1e-9, "{one} {two}: {there}");
        }
    }

    /// Whatever an owner likes: its text, links and buttons can be read in both themes.
    #[test]
    fn every_colour_can_be_read_in_every_theme() {
        let steps = [0x00, 0x33, 0x66, 0x99, 0xcc, 0xff];
        let reds = steps.into_iter().flat_map(|red| steps.map(|green| (red, green)));
        for (red, green) in reds {
            for blue in steps {
                let accent = Colour([red, green, blue]);
                for theme in Theme::ALL {
                    let Palette { act, act_strong, on_act, act_soft } = accent.palette(theme);
                    let [ground, card] = theme.grounds();
                    for (text, under) in [
                        (act, ground),
                        (act, card),
                        (act, act_soft),
                        (on_act, act),
                        (on_act, act_strong),
                        (act_strong, card),
                    ] {
                        let contrast = text.contrast(under);
                        assert!(contrast >= LEGIBLE, "{accent} {theme:?}: {text} on {under} has {contrast}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_colour_that_can_be_read_stays_and_another_changes_no_more_than_it_must() {
        for (accent, light, dark) in [
            ("#0b6b50", Some("#0b6b50"), None),
            ("#6fd3ac", None, Some("#6fd3ac")),
            ("#000000", Some("#000000"), None),
            ("#ffffff", None, Some("#ffffff")),
            ("#ffee00", None, Some("#ffee00")),
        ] {
            for (theme, stays) in [(Theme::Light, light), (Theme::Dark, dark)] {
                let act = colour(accent).palette(theme).act;
                match stays {
                    Some(stays) => assert_eq!(act.to_string(), stays),
                    None => {
                        assert_ne!(act, colour(accent));
                        let [ground, card] = theme.grounds();
                        let least = act.contrast(ground).min(act.contrast(card));
                        assert!(
                            least < 6.5,
                            "{accent} {theme:?} became {act}, which is further than it had to go"
                        );
                    }
                }
            }
        }
    }
}
