//! What the rows of the original service mean: its texts, read with the patience that other people's tables need.

use super::booking::Status;
use super::role::Role;
use super::slot::Slot;

/// A booking's status, by the words of the original and of its usual variants.
#[must_use]
pub fn status(text: &str) -> Option<Status> {
    let plain: String = text
        .trim()
        .to_lowercase()
        .chars()
        .map(|c| match c {
            'é' | 'è' => 'e',
            '_' | '-' => ' ',
            c => c,
        })
        .collect();
    Some(match plain.as_str() {
        "en attente" | "pending" | "created" | "open" => Status::Pending,
        "en traitement" | "processing" => Status::Processing,
        "paye" | "payee" | "paid" | "confirme" | "confirmed" | "complete" | "completed" => Status::Paid,
        "expire" | "expiree" | "expired" => Status::Expired,
        "echoue" | "echouee" | "failed" => Status::Failed,
        "annule" | "annulee" | "cancelled" | "canceled" => Status::Cancelled,
        "rembourse" | "remboursee" | "refunded" => Status::Refunded,
        _ => return None,
    })
}

/// A slot, of a date and a time as texts: of either what stands in front counts (`2031-03-03T00:00:00`, `9:30:00`).
#[must_use]
pub fn slot(date: &str, time: &str) -> Option<Slot> {
    let date = date.trim();
    let (day, rest) = date.split_at_checked(10)?;
    if !(rest.is_empty() || rest.starts_with(['T', ' '])) {
        return None;
    }
    let time = time.trim().replace('h', ":");
    let mut parts = time.split(':');
    let (hour, minute) = (parts.next()?, parts.next().filter(|minute| !minute.is_empty()).unwrap_or("00"));
    // Seconds, if there are any, are none.
    let whole = parts.all(|part| part.bytes().all(|b| b == b'0' || b == b'.'));
    if !whole {
        return None;
    }
    Slot::parse(day, &format!("{hour:0>2}:{minute}")).ok()
}

/// A role; none for a word that says nothing of one.
#[must_use]
pub fn role(text: &str) -> Option<Role> {
    match text.trim().to_uppercase().as_str() {
        "ADMIN" => Some(Role::Admin),
        "OPS" | "OPERATOR" => Some(Role::Ops),
        "READONLY" | "READ_ONLY" | "VIEWER" | "USER" => Some(Role::ReadOnly),
        _ => None,
    }
}

/// Whether a text is a bcrypt hash, by which its owner can still sign in.
#[must_use]
pub fn is_bcrypt(text: &str) -> bool {
    let version = ["$2a$", "$2b$", "$2x$", "$2y$"].iter().any(|version| text.starts_with(version));
    version && text.len() == 60 && text.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_the_original_and_their_variants_are_understood() {
        for (text, meant) in [
            ("payé", Some(Status::Paid)),
            ("PAID", Some(Status::Paid)),
            ("en attente", Some(Status::Pending)),
            ("EN_ATTENTE", Some(Status::Pending)),
            ("Annulée", Some(Status::Cancelled)),
            ("remboursé", Some(Status::Refunded)),
            ("", None),
            ("peut-être", None),
        ] {
            assert_eq!(status(text), meant, "{text}");
        }
    }

    #[test]
    fn a_slot_is_read_from_texts_dates_and_times() {
        for (date, time, meant) in [
            ("2031-03-03", "10:00", Some("2031-03-03 10:00")),
            ("2031-03-03T00:00:00.000Z", "9:30", Some("2031-03-03 09:30")),
            ("2031-03-03 00:00:00", "09:30:00", Some("2031-03-03 09:30")),
            ("2031-03-03", "14h30", Some("2031-03-03 14:30")),
            ("2031-03-03", "14h", Some("2031-03-03 14:00")),
            ("2031-03-03", "10:00:30", None),
            ("03/03/2031", "10:00", None),
            ("2031-13-03", "10:00", None),
            ("", "", None),
        ] {
            assert_eq!(slot(date, time).map(|slot| slot.to_string()).as_deref(), meant, "{date} {time}");
        }
    }

    #[test]
    fn only_bcrypt_hashes_let_people_sign_in() {
        assert!(is_bcrypt("$2b$12$abcdefghijklmnopqrstuvABCDEFGHIJKLMNOPQRSTUVWXYZ01234"));
        for bad in ["", "correct-horse", "$2b$12$short", "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHQ$hash"] {
            assert!(!is_bcrypt(bad), "{bad}");
        }
    }

    #[test]
    fn a_role_is_never_guessed_upwards() {
        assert_eq!(role("admin"), Some(Role::Admin));
        assert_eq!(role("USER"), Some(Role::ReadOnly));
        assert_eq!(role("superuser"), None);
    }
}
