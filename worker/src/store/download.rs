//! Brings the source onto the scratch volume: once, whole, and the one that was planned for.
//! Reads from the store, writes one file.

use super::{STALL_TIMEOUT, Store, StoreError, Waiting, error};
use reqwest::{
    Response, StatusCode,
    header::{CONTENT_RANGE, HeaderMap, IF_MATCH, RANGE},
};
use sha2::{Digest as _, Sha256};
use showrunner_contracts::{Digest, work_order::Source};
use std::{
    fs::File,
    io::{Seek as _, Write as _},
    sync::atomic::Ordering,
};

/// How the source is called in messages.
const WHAT: &str = "the source";

/// A download that may go on where it was cut.
struct Download<'a> {
    source: &'a Source,
    file: &'a mut File,
    hasher: Sha256,
    have: u64,
}

impl Store {
    /// Downloads `source` into `file`, which is empty, and tells `seen` how many bytes are there. Gives the bytes' digest.
    /// A transfer that is cut or stalls goes on from where it was, with `If-Match`, so that two versions are never mixed.
    pub fn download(&self, source: &Source, file: &mut File, seen: &dyn Fn(u64)) -> Result<Digest, StoreError> {
        let mut download = Download { source, file, hasher: Sha256::new(), have: 0 };
        self.runtime.block_on(async {
            let mut waiting = Waiting::new(self.patience);
            loop {
                let before = download.have;
                match self.transfer(&mut download, seen).await {
                    Ok(()) => break,
                    Err(error) if error.may_pass() => {
                        if download.have > before {
                            waiting.progressed();
                        }
                        waiting.pause(WHAT, error).await?;
                    }
                    Err(error) => return Err(error),
                }
            }
            download.file.flush().map_err(scratch)?;
            Ok(Digest::from_hash(&download.hasher.finalize()))
        })
    }

    async fn transfer(&self, download: &mut Download<'_>, seen: &dyn Fn(u64)) -> Result<(), StoreError> {
        let size = download.source.size_bytes;
        let mut request = self.client.get(&download.source.url).header(IF_MATCH, quoted(&download.source.etag));
        if download.have > 0 {
            request = request.header(RANGE, format!("bytes={}-", download.have));
        }
        // Until the answer begins; after that each chunk has the stall timeout.
        let answer = tokio::time::timeout(STALL_TIMEOUT, request.send()).await;
        let answer = answer.map_err(|_| away(format!("no answer in {} s", STALL_TIMEOUT.as_secs())))?;
        let mut response = answer.map_err(|error| error::of_request(WHAT, error))?;
        download.place(&response)?;
        while let Some(chunk) = response.chunk().await.map_err(|error| error::of_request(WHAT, error))? {
            self.read.fetch_add(chunk.len() as u64, Ordering::Relaxed);
            if chunk.len() as u64 > size - download.have {
                return Err(changed(format!("it is longer than {size} bytes")));
            }
            download.file.write_all(&chunk).map_err(scratch)?;
            download.hasher.update(&chunk);
            download.have += chunk.len() as u64;
            seen(download.have);
        }
        if download.have < size {
            return Err(away(format!("the transfer ended after {} of {size} bytes", download.have)));
        }
        Ok(())
    }
}

impl Download<'_> {
    /// Checks the answer's head and makes the file ready for what follows.
    fn place(&mut self, response: &Response) -> Result<(), StoreError> {
        let size = self.source.size_bytes;
        match response.status() {
            StatusCode::OK => {
                if let Some(other) = response.content_length().filter(|length| *length != size) {
                    return Err(changed(format!("it has {other} bytes, {size} were planned for")));
                }
                if self.have > 0 {
                    // The store does not do ranges: from the start again.
                    self.file.set_len(0).and_then(|()| self.file.rewind()).map_err(scratch)?;
                    self.hasher = Sha256::new();
                    self.have = 0;
                }
                Ok(())
            }
            StatusCode::PARTIAL_CONTENT => match content_range(response.headers()) {
                Some((from, whole)) if from == self.have && whole == size => Ok(()),
                Some((_, whole)) if whole != size => Err(changed(format!("it has {whole} bytes, {size} were planned for"))),
                range => Err(StoreError::Odd {
                    what: WHAT.to_owned(),
                    detail: format!("it sent the range {range:?}, asked was {}-", self.have),
                }),
            },
            StatusCode::PRECONDITION_FAILED => Err(changed("its ETag is another".to_owned())),
            StatusCode::RANGE_NOT_SATISFIABLE => Err(changed("it became shorter".to_owned())),
            status => Err(error::of_status(WHAT, status)),
        }
    }
}

/// `bytes 100-199/1000` to `(100, 1000)`.
fn content_range(headers: &HeaderMap) -> Option<(u64, u64)> {
    let range = headers.get(CONTENT_RANGE)?.to_str().ok()?.strip_prefix("bytes ")?;
    let (span, whole) = range.split_once('/')?;
    Some((span.split_once('-')?.0.parse().ok()?, whole.parse().ok()?))
}

/// An `ETag` as a header carries it, whether or not it was written down with its quotes.
fn quoted(etag: &str) -> String {
    if etag.starts_with('"') || etag.starts_with("W/") { etag.to_owned() } else { format!("\"{etag}\"") }
}

fn away(cause: String) -> StoreError {
    StoreError::Away { what: WHAT.to_owned(), cause }
}

fn changed(detail: String) -> StoreError {
    StoreError::Changed { what: WHAT.to_owned(), detail }
}

fn scratch(source: std::io::Error) -> StoreError {
    StoreError::Scratch { what: WHAT.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_range_is_read_strictly() {
        let read = |text: &'static str| content_range(&HeaderMap::from_iter([(CONTENT_RANGE, text.parse().expect("a header"))]));
        assert_eq!(read("bytes 100-199/1000"), Some((100, 1000)));
        for bad in ["bytes */1000", "100-199/1000", "bytes 100-199/*", "bytes 100/1000", "bytes -1-2/3"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_etag_is_sent_with_its_quotes_once() {
        assert_eq!(quoted("abc"), "\"abc\"");
        assert_eq!(quoted("\"abc\""), "\"abc\"");
    }
}
