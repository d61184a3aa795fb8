//! Identifiers. Each has one way in, so a value of these types is always usable as it is.

use std::fmt;
use uuid::Uuid;

/// Why a text is not an identifier of the kind asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a valid identifier")]
pub struct InvalidId;

/// Our own ids: UUIDs, version 7 when made here, so that they sort by age.
macro_rules! own_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// From its hyphenated form, the only one that we write.
            ///
            /// # Errors
            /// [`InvalidId`] for any other text.
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                if text.len() != 36 {
                    return Err(InvalidId);
                }
                Uuid::try_parse(text).map(Self).map_err(|_| InvalidId)
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    };
}

/// Ids that Stripe makes: opaque texts of printable ASCII, at most 255 long.
macro_rules! stripe_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Takes any printable ASCII text of 1 to 255 characters: Stripe promises no more.
            ///
            /// # Errors
            /// [`InvalidId`] for an empty, longer or unprintable text.
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                let usable = (1..=255).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
                if usable { Ok(Self(text.to_owned())) } else { Err(InvalidId) }
            }

            /// The id as Stripe writes it.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

impl BookingId {
    /// Its bits.
    #[must_use]
    pub fn halves(self) -> (u64, u64) {
        self.0.as_u64_pair()
    }
}

own_id!(
    /// A booking. Also Stripe's `client_reference_id` for its checkout.
    BookingId
);
own_id!(
    /// Something that can be booked, with its price.
    OfferId
);
own_id!(
    /// A person who can sign in.
    UserId
);
own_id!(
    /// Something about money that a person has to look at.
    CaseId
);
own_id!(
    /// One row of the ledger.
    LedgerId
);
own_id!(
    /// This database, so that several installations can share one Stripe account.
    InstanceId
);

stripe_id!(
    /// `evt_…`
    EventId
);
stripe_id!(
    /// `cs_test_…`, `cs_live_…`
    SessionId
);
stripe_id!(
    /// `pi_…`
    PaymentIntentId
);
stripe_id!(
    /// `ch_…`, `py_…`
    ChargeId
);
stripe_id!(
    /// `re_…`, `pyr_…`
    RefundId
);
stripe_id!(
    /// `dp_…`, `du_…`
    DisputeId
);
