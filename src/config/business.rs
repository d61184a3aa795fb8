//! `BUSINESS_FILE`: who sells here, for the first start of an installation that nobody clicks through.

use super::reader::Reader;
use domain::business::logo::{self, Logo};
use domain::business::{Business, Draft};
use serde_json::Value;
use std::path::Path;

const NAME: &str = "BUSINESS_FILE";
/// The most bytes of the file: four texts as long as they may be.
const MAX_BYTES: u64 = 512 * 1024;

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstBusiness {
    /// Who sells here.
    pub business: Business,
    /// Its logo.
    pub logo: Option<Logo>,
}

/// Reads it, with every mistake told.
pub(super) fn read(r: &mut Reader<'_>) -> Option<FirstBusiness> {
    let path = r.text(NAME)?;
    match parse(Path::new(path)) {
        Ok(first) => Some(first),
        Err(faults) => {
            r.mistake(NAME, format!("{path}: {}", faults.join("; ")));
            None
        }
    }
}

fn parse(path: &Path) -> Result<FirstBusiness, Vec<String>> {
    let bytes = bytes_of(path, MAX_BYTES).map_err(|fault| vec![fault])?;
    let mut members = match serde_json::from_slice(&bytes) {
        Ok(Value::Object(members)) => members,
        Ok(_) => return Err(vec!["must hold a JSON object".to_owned()]),
        Err(error) => return Err(vec![error.to_string()]),
    };
    let mut faults = Vec::new();
    let logo = match members.remove("logo") {
        None | Some(Value::Null) => None,
        Some(Value::String(name)) => {
            let file = path.parent().unwrap_or(Path::new(".")).join(name);
            // One more than it may have: what is too large is told as that.
            let most = u64::try_from(logo::MAX_BYTES).unwrap_or(u64::MAX).saturating_mul(16);
            let logo =
                bytes_of(&file, most).and_then(|bytes| Logo::parse(bytes).map_err(|fault| fault.message));
            logo.map_err(|fault| faults.push(format!("logo: {fault}"))).ok()
        }
        Some(_) => {
            faults.push("logo: must be the name of an image beside this file".to_owned());
            None
        }
    };
    let business = match serde_json::from_value::<Draft>(Value::Object(members)) {
        Ok(draft) => draft.parse().map_err(|wrong| {
            faults.extend(wrong.iter().map(|fault| format!("{}: {}", fault.path, fault.message)));
        }),
        Err(error) => {
            faults.push(error.to_string());
            Err(())
        }
    };
    match business {
        Ok(business) if faults.is_empty() => Ok(FirstBusiness { business, logo }),
        _ => Err(faults),
    }
}

fn bytes_of(path: &Path, most: u64) -> Result<Vec<u8>, String> {
    let told = |error: std::io::Error| error.to_string();
    let size = std::fs::metadata(path).map_err(told)?.len();
    if size > most {
        return Err(format!("{size} bytes are too many"));
    }
    std::fs::read(path).map_err(told)
}
