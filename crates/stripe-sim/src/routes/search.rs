//! `/v1/…/search`: Stripe's query language over what is there.
//!
//! `field:"text"`, `field~"part"`, `field>5`, `metadata["key"]:"text"`, `field:null`, `-` for not; joined by `AND` or by
//! `OR`, as at Stripe not both.

use super::{Answer, Call};
use crate::error::{StripeError, clip};
use crate::known;
use crate::model::{Record, Table};
use crate::objects;
use crate::world::World;
use serde_json::Value;

/// Clauses of one query, as at Stripe.
const MAX_CLAUSES: usize = 10;

#[derive(Debug, PartialEq)]
struct Clause {
    negated: bool,
    field: Vec<String>,
    test: Test,
}

#[derive(Debug, PartialEq)]
enum Test {
    Is(String),
    Has(String),
    Null,
    Compare(&'static str, f64),
}

/// A query: all of its clauses must hold, or any.
#[derive(Debug, PartialEq)]
struct Query {
    any: bool,
    clauses: Vec<Clause>,
}

fn parse(text: &str) -> Option<Query> {
    let mut rest = text.trim();
    let mut query = Query { any: false, clauses: Vec::new() };
    let mut joined: Option<bool> = None;
    loop {
        let negated = rest.starts_with('-');
        rest = rest.trim_start_matches('-').trim_start();
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '.'))?;
        let mut field: Vec<String> = rest[..end].split('.').map(str::to_owned).collect();
        if field.iter().any(String::is_empty) {
            return None;
        }
        rest = &rest[end..];
        if let Some(inner) = rest.strip_prefix('[') {
            let (key, after) = quoted(inner)?;
            field.push(key);
            rest = after.strip_prefix(']')?;
        }
        let (operator, after) =
            [">=", "<=", ">", "<", ":", "~"].iter().find_map(|op| Some((*op, rest.strip_prefix(op)?)))?;
        let (test, after) = value(operator, after)?;
        query.clauses.push(Clause { negated, field, test });
        rest = after.trim_start();
        if rest.is_empty() {
            break;
        }
        let (word, after) = rest.split_once(char::is_whitespace)?;
        let any = match word {
            "OR" | "or" => true,
            "AND" | "and" => false,
            _ => return None,
        };
        if joined.is_some_and(|before| before != any) || query.clauses.len() >= MAX_CLAUSES {
            return None;
        }
        joined = Some(any);
        rest = after.trim_start();
    }
    query.any = joined == Some(true);
    Some(query)
}

fn value<'t>(operator: &'static str, text: &'t str) -> Option<(Test, &'t str)> {
    if text.starts_with(['"', '\'']) {
        let (word, rest) = quoted(text)?;
        return match operator {
            ":" => Some((Test::Is(word), rest)),
            "~" => (word.chars().count() >= 3).then_some((Test::Has(word), rest)),
            _ => Some((Test::Compare(operator, word.parse().ok()?), rest)),
        };
    }
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    match (operator, word) {
        (":", "null" | "NULL") => Some((Test::Null, rest)),
        (":", "") | ("~", _) => None,
        (":", word) => Some((Test::Is(word.to_owned()), rest)),
        (operator, word) => Some((Test::Compare(operator, word.parse().ok()?), rest)),
    }
}

fn quoted(text: &str) -> Option<(String, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let mut out = String::new();
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => {
                out.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            c if c == quote => return Some((out, &text[at + 1..])),
            c => out.push(c),
        }
    }
    None
}

impl Query {
    fn holds(&self, object: &Value) -> bool {
        let mut results = self.clauses.iter().map(|c| c.holds(object));
        if self.any { results.any(|r| r) } else { results.all(|r| r) }
    }
}

impl Clause {
    fn holds(&self, object: &Value) -> bool {
        let found = self.field.iter().fold(object, |at, name| &at[name.as_str()]);
        let text = match found {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let holds = match &self.test {
            Test::Null => found.is_null(),
            _ if found.is_null() => false,
            Test::Is(wanted) => text.to_lowercase() == wanted.to_lowercase(),
            Test::Has(part) => text.to_lowercase().contains(&part.to_lowercase()),
            Test::Compare(operator, bound) => text.parse::<f64>().is_ok_and(|n| match *operator {
                ">" => n > *bound,
                ">=" => n >= *bound,
                "<" => n < *bound,
                _ => n <= *bound,
            }),
        };
        holds != self.negated
    }
}

fn search<T: Record>(table: &Table<T>, call: &Call, url: &str, show: impl Fn(&T) -> Value) -> Answer {
    let p = &call.params;
    let text = p.text("query").unwrap_or_default();
    let Some(query) = parse(text) else {
        let message = format!(
            "We were unable to parse your search query: {}. Clauses read field:\"value\", field~\"part\", field>1 or \
             metadata[\"key\"]:\"value\", joined by AND or by OR.",
            clip(text)
        );
        return Err(StripeError::invalid("query", None, message));
    };
    let limit = p.int("limit").and_then(|n| usize::try_from(n).ok()).unwrap_or(10);
    let after = match p.text("page") {
        None => None,
        Some(page) => match table.place(page) {
            Some(place) => Some(place),
            None => return Err(StripeError::invalid("page", None, format!("No such page: {}", clip(page)))),
        },
    };
    let mut rows = table.older_than(after.unwrap_or(u64::MAX)).map(|row| (row.id(), show(row)));
    let mut data = Vec::new();
    let mut last = None;
    for (id, object) in rows.by_ref().filter(|(_, object)| object["deleted"] != true && query.holds(object)) {
        if data.len() == limit {
            return Ok(known::search(url, data, last));
        }
        last = Some(id.to_owned());
        data.push(object);
    }
    Ok(known::search(url, data, None))
}

pub(crate) fn charges(world: &mut World, call: &Call) -> Answer {
    let world = &*world;
    search(&world.charges, call, "/v1/charges/search", |c| objects::charge(world, c))
}

pub(crate) fn customers(world: &mut World, call: &Call) -> Answer {
    search(&world.customers, call, "/v1/customers/search", objects::customer)
}

pub(crate) fn intents(world: &mut World, call: &Call) -> Answer {
    search(&world.intents, call, "/v1/payment_intents/search", objects::intent)
}

pub(crate) fn prices(world: &mut World, call: &Call) -> Answer {
    search(&world.prices, call, "/v1/prices/search", objects::price)
}

pub(crate) fn products(world: &mut World, call: &Call) -> Answer {
    search(&world.products, call, "/v1/products/search", objects::product)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_query_finds_what_it_says_and_nonsense_is_no_query() {
        let object = json!({
            "email": "Ada@example.com", "amount": 2000, "phone": null, "metadata": { "order id": "a\"b" },
            "billing_details": { "name": "Ada" },
        });
        for (query, holds) in [
            ("email:\"ada@example.com\"", true),
            ("email~\"ADA@\"", true),
            ("-email:'x'", true),
            ("amount>1999 AND amount<=2000", true),
            ("amount>2000 OR email:'ada@example.com'", true),
            ("metadata['order id']:\"a\\\"b\"", true),
            ("billing_details.name:'ada' AND amount:2000", true),
            ("phone:null", true),
            ("-phone:null", false),
            ("amount<5", false),
        ] {
            assert_eq!(parse(query).map(|q| q.holds(&object)), Some(holds), "{query}");
        }
        for nonsense in [
            "",
            "email",
            "email:",
            "email:\"x",
            "a:1 AND b:2 OR c:3",
            "a:1 b:2",
            "email~\"ab\"",
            "a>x",
            "[a]:1",
            "é:1",
        ] {
            assert_eq!(parse(nonsense), None, "{nonsense}");
        }
    }
}
