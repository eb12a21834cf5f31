//! A strict reader of the markup that we write, sharing nothing with what writes it. No I/O.

/// A piece of a document.
pub(crate) enum Token<'a> {
    /// `<name key="value">`; closed when it ends with `/>`.
    Open { name: &'a str, attributes: Vec<(&'a str, String)>, closed: bool },
    /// `</name>`.
    Close(&'a str),
    /// What stands between, with its references resolved.
    Text(String),
}

/// The pieces of a document of elements, double-quoted attributes, text and the five references that XML knows.
///
/// # Panics
/// On anything else: a stray `<` or `&`, a comment, an attribute without quotes.
pub(crate) fn tokens(mut rest: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    while !rest.is_empty() {
        let Some(tag) = rest.strip_prefix('<') else {
            let end = rest.find('<').unwrap_or(rest.len());
            tokens.push(Token::Text(resolved(&rest[..end])));
            rest = &rest[end..];
            continue;
        };
        let (inner, after) = split_tag(tag);
        rest = after;
        if let Some(name) = inner.strip_prefix('/') {
            assert!(is_name(name), "</{name}>");
            tokens.push(Token::Close(name));
            continue;
        }
        let closed = inner.ends_with('/');
        let inner = inner.strip_suffix('/').unwrap_or(inner);
        let (name, attributes) = inner.split_once(' ').unwrap_or((inner, ""));
        assert!(is_name(name), "<{name}");
        tokens.push(Token::Open { name, attributes: read_attributes(attributes), closed });
    }
    tokens
}

/// A tag without its brackets, and what follows. A `>` between quotes does not end it.
fn split_tag(tag: &str) -> (&str, &str) {
    let mut quoted = false;
    for (at, c) in tag.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '>' if !quoted => return (&tag[..at], &tag[at + 1..]),
            '<' => panic!("a < inside of <{}", &tag[..at]),
            _ => {}
        }
    }
    panic!("a tag without an end: <{tag}");
}

fn read_attributes(mut rest: &str) -> Vec<(&str, String)> {
    let mut attributes: Vec<(&str, String)> = Vec::new();
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return attributes;
        }
        let (key, after) = rest.split_once("=\"").unwrap_or_else(|| panic!("an attribute without a quoted value: {rest:?}"));
        assert!(is_name(key) && attributes.iter().all(|(other, _)| *other != key), "attribute {key:?}");
        let (value, after) = after.split_once('"').expect("a closing quote, or the tag would not have ended");
        assert!(after.is_empty() || after.starts_with([' ', '\n']), "{after:?} right after an attribute");
        attributes.push((key, resolved(value)));
        rest = after;
    }
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b':'))
}

fn resolved(text: &str) -> String {
    let mut parts = text.split('&');
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let known = [("amp;", '&'), ("lt;", '<'), ("gt;", '>'), ("quot;", '"'), ("#39;", '\'')];
        let found = known.iter().find_map(|(name, c)| Some((*c, part.strip_prefix(name)?)));
        let (c, rest) = found.unwrap_or_else(|| panic!("a stray & before {:?}", part.chars().take(20).collect::<String>()));
        whole.push(c);
        whole.push_str(rest);
    }
    whole
}
