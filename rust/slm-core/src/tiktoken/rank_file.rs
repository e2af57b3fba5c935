//! Reading a rank file: every line is checked, as the file may come from anywhere.

use crate::error::{Error, Result};
use crate::token::TokenId;
use hashbrown::HashMap;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// Bytes that a rank file may have; the largest public ones have about 4 MB.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// Bytes of the longest token; those of public files have 128. Deriving a merge may take their square.
const MAX_TOKEN_BYTES: usize = 1024;

/// Bytes of the longest line that can be right: the token in base64, and room for blank and rank.
const MAX_LINE_BYTES: u64 = 4 * MAX_TOKEN_BYTES as u64 / 3 + 64;

/// Tokens by rank; every byte is one.
#[derive(Debug)]
pub(super) struct Ranks(BTreeMap<TokenId, Box<[u8]>>);

impl Ranks {
    pub(super) fn iter(&self) -> impl Iterator<Item = (TokenId, &[u8])> {
        self.0.iter().map(|(rank, token)| (*rank, &token[..]))
    }

    pub(super) fn last(&self) -> Option<TokenId> {
        self.0.last_key_value().map(|(rank, _)| *rank)
    }
}

/// Reads the ranks.
pub(super) fn read(path: &Path) -> Result<Ranks> {
    let malformed = |message: String| {
        Error::Tokenizer(format!(
            "`{}`: {message}\n\nhint: give a rank file of tiktoken: in each line a token in base64, a blank and its rank",
            path.display()
        ))
    };
    let file = File::open(path).map_err(Error::io(path))?;
    let mut reader = BufReader::new(file.take(MAX_FILE_BYTES + 1));
    let mut ranks = BTreeMap::new();
    let mut lines: HashMap<Box<[u8]>, u64> = HashMap::new();
    let mut line_of_rank: HashMap<TokenId, u64> = HashMap::new();
    let (mut line, mut num_bytes, mut number) = (Vec::new(), 0_u64, 0_u64);
    loop {
        line.clear();
        let read = reader.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line).map_err(Error::io(path))?;
        if read == 0 {
            break;
        }
        num_bytes += read as u64;
        number += 1;
        if num_bytes > MAX_FILE_BYTES {
            return Err(malformed(format!(
                "is larger than the {} MiB that such a file may have",
                MAX_FILE_BYTES >> 20
            )));
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let (token, rank) = parse(&line).map_err(|problem| malformed(format!("line {number}: {problem}")))?;
        if let Some(other) = line_of_rank.insert(rank, number) {
            return Err(malformed(format!("line {number}: rank {rank} is that of line {other} too")));
        }
        if let Some(other) = lines.insert(token.clone().into(), number) {
            let shown = String::from_utf8_lossy(&token).escape_debug().to_string();
            return Err(malformed(format!("line {number}: token `{shown}` comes twice, first in line {other}")));
        }
        ranks.insert(rank, token.into());
    }
    let missing: Vec<String> =
        (0..=u8::MAX).filter(|byte| !lines.contains_key(&[*byte][..])).map(|byte| format!("0x{byte:02X}")).collect();
    match missing.as_slice() {
        [] => Ok(Ranks(ranks)),
        [byte] => Err(malformed(format!("byte {byte} has no token, every single byte must have one"))),
        [byte, others @ ..] => Err(malformed(format!(
            "byte {byte} and {} others have no token, every single byte must have one",
            others.len()
        ))),
    }
}

/// Token and rank of a line, or what is wrong with it.
fn parse(line: &[u8]) -> std::result::Result<(Vec<u8>, TokenId), String> {
    if line.len() as u64 == MAX_LINE_BYTES {
        return Err(format!("is longer than a token of {MAX_TOKEN_BYTES} bytes needs, which is the most there may be"));
    }
    let mut fields = line.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty());
    let (Some(token), Some(rank), None) = (fields.next(), fields.next(), fields.next()) else {
        return Err(format!("{} is not a token, a blank and a rank", shown(line.trim_ascii())));
    };
    let rank_text = std::str::from_utf8(rank).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let Some(rank) = rank_text.and_then(|text| text.parse().ok()).filter(|rank| *rank < TokenId::MAX) else {
        return Err(format!("rank {} is not a number from 0 to {}", shown(rank), TokenId::MAX - 1));
    };
    let bytes = decode_base64(token).map_err(|problem| format!("token {} {problem}", shown(token)))?;
    if bytes.len() > MAX_TOKEN_BYTES {
        return Err(format!("the token has {} bytes, at most {MAX_TOKEN_BYTES} are allowed", bytes.len()));
    }
    Ok((bytes, rank))
}

/// What of a line a message shows.
fn shown(field: &[u8]) -> String {
    let text = String::from_utf8_lossy(field);
    let beginning: String = text.chars().take(40).collect();
    let rest = if beginning.len() < text.len() { "…" } else { "" };
    format!("`{}{rest}`", beginning.escape_debug())
}

/// The bytes that standard base64 with its padding stands for (RFC 4648, section 4).
fn decode_base64(text: &[u8]) -> std::result::Result<Vec<u8>, String> {
    if !text.len().is_multiple_of(4) {
        return Err(format!("is cut off: base64 comes in groups of 4 characters, these are {}", text.len()));
    }
    let padding = text.iter().rev().take(2).take_while(|&&sign| sign == b'=').count();
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for (i, group) in text.chunks_exact(4).enumerate() {
        let mut bits = 0_u32;
        for (j, &sign) in group.iter().enumerate() {
            let value = match sign {
                b'A'..=b'Z' => sign - b'A',
                b'a'..=b'z' => sign - b'a' + 26,
                b'0'..=b'9' => sign - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                b'=' if 4 * i + j >= text.len() - padding => 0,
                _ => return Err(format!("is not base64: character {} is none of its signs", 4 * i + j)),
            };
            bits = bits << 6 | u32::from(value);
        }
        // 24 bits are three bytes; the highest of the four is zero.
        bytes.extend_from_slice(&bits.to_be_bytes()[1..]);
    }
    bytes.truncate(bytes.len() - padding);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read_as_the_rfc_has_it() {
        let cases: [(&str, &[u8]); 7] = [
            ("Zg==", b"f"),
            ("Zm8=", b"fo"),
            ("Zm9v", b"foo"),
            ("Zm9vYg==", b"foob"),
            ("Zm9vYmE=", b"fooba"),
            ("Zm9vYmFy", b"foobar"),
            ("/+8=", b"\xff\xef"),
        ];
        for (text, bytes) in cases {
            assert_eq!(decode_base64(text.as_bytes()).unwrap(), bytes, "{text}");
        }
        for text in ["Zg=", "Z", "Zm9v Zg=", "Zg-_", "=Zg=", "Zg==Zg==", "===="] {
            assert!(decode_base64(text.as_bytes()).is_err(), "{text}");
        }
    }
}
