//! Changes to MP4 and `QuickTime` files that no muxer makes. Pure; for files whose index comes after their samples, which then stay
//! where the index says.

/// What an atom of this kind and content becomes, if anything else.
pub(crate) type Change<'a> = dyn Fn(&[u8], &[u8]) -> Option<Vec<u8>> + 'a;

/// The movie with the atoms that `change` gives something for replaced by that.
pub(crate) fn rewrite(movie: &[u8], change: &Change<'_>) -> Vec<u8> {
    let mut made = Vec::with_capacity(movie.len());
    let mut left = movie;
    while let Some((head, _)) = left.split_at_checked(8) {
        let size = u32::from_be_bytes(head[..4].try_into().expect("four bytes")) as usize;
        let (this, rest) = left.split_at(size);
        let (kind, content) = (&this[4..8], &this[8..]);
        let changed = change(kind, content).or_else(|| {
            let (own, children) = content.split_at(fields(kind)?);
            Some([own, &rewrite(children, change)].concat())
        });
        made.extend(changed.map_or_else(|| this.to_vec(), |changed| atom(kind, &changed)));
        left = rest;
    }
    made
}

/// For an atom that contains others: how many bytes of its own come first.
fn fields(kind: &[u8]) -> Option<usize> {
    match kind {
        b"moov" | b"trak" | b"mdia" | b"minf" | b"dinf" | b"stbl" => Some(0),
        b"stsd" => Some(8),
        b"avc1" => Some(78),
        _ => None,
    }
}

pub(crate) fn atom(kind: &[u8], content: &[u8]) -> Vec<u8> {
    [&(8 + content.len() as u32).to_be_bytes()[..], kind, content].concat()
}
