//! Form encoding with brackets, as the official libraries send it: `a[b][0][c]=v`, `a[]=v`.
//!
//! Only the shape is read here; what each parameter may hold is `schema`'s matter. Everything is
//! bounded, so that a hostile body costs no more than its own length.

use super::error::{StripeError, clip};

/// More pairs than this are refused. The largest sensible request has a few hundred.
const MAX_PAIRS: usize = 2_000;
/// Brackets nested deeper than this are refused. Stripe's own deepest parameter has seven levels.
const MAX_DEPTH: usize = 12;

/// A decoded parameter: a text, or members in the order of their first appearance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    Text(String),
    Branch(Vec<(String, Node)>),
}

/// Members by name, in the order sent.
pub(crate) type Branch = Vec<(String, Node)>;

/// Decodes a query string or a form body into `into`, so that a POST may carry both.
///
/// # Errors
/// Stripe's envelope when there are too many pairs, too many levels, or a name is both text and branch.
pub(crate) fn decode(text: &[u8], into: &mut Branch) -> Result<(), StripeError> {
    for (count, (key, value)) in form_urlencoded::parse(text).enumerate() {
        if count >= MAX_PAIRS {
            let message = format!("Too many parameters: at most {MAX_PAIRS} are read.");
            return Err(StripeError::invalid("", None, message));
        }
        if key.is_empty() {
            continue;
        }
        let path = split_key(&key)?;
        insert(into, &path, value.into_owned(), &key)?;
    }
    Ok(())
}

/// `a[b][]` → `a`, `b`, ``. A key with stray brackets is taken as it stands, and then nobody knows it.
fn split_key(key: &str) -> Result<Vec<&str>, StripeError> {
    let Some(open) = key.find('[') else { return Ok(vec![key]) };
    if open == 0 {
        return Ok(vec![key]);
    }
    let mut path = vec![&key[..open]];
    let mut rest = &key[open..];
    while let Some(inner) = rest.strip_prefix('[') {
        let Some(close) = inner.find(']') else { return Ok(vec![key]) };
        if path.len() >= MAX_DEPTH {
            let message = format!("Parameters may be nested at most {MAX_DEPTH} levels deep: {}", clip(key));
            return Err(StripeError::invalid(&key[..open], None, message));
        }
        path.push(&inner[..close]);
        rest = &inner[close + 1..];
    }
    Ok(if rest.is_empty() { path } else { vec![key] })
}

fn insert(branch: &mut Branch, path: &[&str], value: String, key: &str) -> Result<(), StripeError> {
    let Some((first, rest)) = path.split_first() else { return Ok(()) };
    let name = if first.is_empty() { appended(branch, rest) } else { (*first).to_owned() };
    let at = branch.iter().position(|(n, _)| *n == name);
    if rest.is_empty() {
        match at.map(|at| &mut branch[at].1) {
            None => branch.push((name, Node::Text(value))),
            Some(Node::Text(old)) => *old = value, // sent twice: the last counts
            Some(Node::Branch(_)) => return Err(clash(key)),
        }
        return Ok(());
    }
    let at = at.unwrap_or_else(|| {
        branch.push((name, Node::Branch(Vec::new())));
        branch.len() - 1
    });
    match &mut branch[at].1 {
        Node::Branch(inner) => insert(inner, rest, value, key),
        Node::Text(_) => Err(clash(key)),
    }
}

/// Which entry `[]` means: a new one, or the last as long as it lacks what is sent: of `a[][b]=1&a[][c]=2`
/// both belong to one entry.
fn appended(branch: &Branch, rest: &[&str]) -> String {
    match branch.last() {
        Some((last, Node::Branch(inner))) if !rest.is_empty() && !has(inner, rest) => last.clone(),
        _ => branch.len().to_string(),
    }
}

fn has(branch: &Branch, path: &[&str]) -> bool {
    let Some((first, rest)) = path.split_first() else { return true };
    match branch.iter().find(|(name, _)| name == first) {
        Some((_, Node::Branch(inner))) => has(inner, rest),
        Some((_, Node::Text(_))) => true,
        None => false,
    }
}

fn clash(key: &str) -> StripeError {
    let root = key.split('[').next().unwrap_or(key);
    StripeError::invalid(
        root,
        None,
        format!("Parameter `{}` was given both as text and as an object.", clip(root)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decoded(text: &str) -> Branch {
        let mut branch = Vec::new();
        decode(text.as_bytes(), &mut branch).unwrap();
        branch
    }

    fn text(value: &str) -> Node {
        Node::Text(value.to_owned())
    }

    #[test]
    fn brackets_with_and_without_escapes_give_the_same_tree() {
        let plain = decoded("line_items[0][price_data][currency]=eur&line_items[0][quantity]=1");
        let escaped =
            decoded("line_items%5B0%5D%5Bprice_data%5D%5Bcurrency%5D=eur&line_items%5B0%5D%5Bquantity%5D=1");
        assert_eq!(plain, escaped);
    }

    #[test]
    fn an_empty_bracket_appends() {
        let list = Node::Branch(vec![("0".into(), text("a")), ("1".into(), text("b"))]);
        assert_eq!(decoded("expand[]=a&expand[]=b"), vec![("expand".to_owned(), list)]);
    }

    #[test]
    fn members_behind_empty_brackets_belong_together_until_one_comes_again() {
        let empty = "a[][b][c]=1&a[][b][d]=2&a[][e]=3&a[][b][c]=4&a[][e]=5";
        let numbered = "a[0][b][c]=1&a[0][b][d]=2&a[0][e]=3&a[1][b][c]=4&a[1][e]=5";
        assert_eq!(decoded(empty), decoded(numbered));
        assert_eq!(decoded("a[][b][]=1&a[][b][]=2"), decoded("a[0][b][0]=1&a[0][b][1]=2"));
    }

    #[test]
    fn spaces_come_as_plus_or_percent_20() {
        assert_eq!(decoded("a=x+y&b=x%20y"), vec![("a".into(), text("x y")), ("b".into(), text("x y"))]);
    }

    #[test]
    fn a_megabyte_of_brackets_is_refused_and_not_followed() {
        let mut branch = Vec::new();
        let hostile = format!("a{}=1", "[b]".repeat(350_000));
        let error = decode(hostile.as_bytes(), &mut branch).unwrap_err();
        assert_eq!((error.status, error.body()["error"]["param"].as_str()), (400, Some("a")));
        assert!(error.body().to_string().len() < 2_000);
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_or_refused_but_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2_000)) {
            let _ = decode(&bytes, &mut Vec::new());
        }

        #[test]
        fn any_nest_of_brackets_is_decoded_or_refused_but_never_panics(text in "[a-c0-1\\[\\]=&%+]{0,400}") {
            let _ = decode(text.as_bytes(), &mut Vec::new());
        }
    }
}
