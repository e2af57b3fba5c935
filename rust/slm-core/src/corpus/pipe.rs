//! Standard input and pipes: read on a thread of their own, so that whoever waits for them can still be asked to stop.

use crate::progress::Stop;
use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use std::io::{self, Read};
use std::thread;
use std::time::Duration;

/// How much the thread reads at a time; it is at most three of these ahead.
const BLOCK_BYTES: usize = 64 << 10;

/// How long a reader waits before it looks whether it was asked to stop.
const WAIT: Duration = Duration::from_millis(20);

/// What comes out of a pipe.
pub(super) struct Pipe<'a> {
    blocks: Receiver<io::Result<Vec<u8>>>,
    block: io::Cursor<Vec<u8>>,
    stop: &'a Stop,
}

impl<'a> Pipe<'a> {
    /// Starts to read what `open` opens, which may wait for somebody at the other end.
    ///
    /// The thread ends with its input, or when this is dropped and something comes in; a process does not wait for it.
    pub(super) fn new<R: Read>(open: impl FnOnce() -> io::Result<R> + Send + 'static, stop: &'a Stop) -> Self {
        let (send, blocks) = bounded(2);
        thread::spawn(move || {
            let mut reader = match open() {
                Ok(reader) => reader,
                Err(error) => return drop(send.send(Err(error))),
            };
            loop {
                let mut block = vec![0; BLOCK_BYTES];
                let read = match reader.read(&mut block) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    read => read,
                };
                let is_last = !matches!(read, Ok(1..));
                let block = read.map(|read| {
                    block.truncate(read);
                    block
                });
                if send.send(block).is_err() || is_last {
                    return;
                }
            }
        });
        Self { blocks, block: io::Cursor::default(), stop }
    }
}

impl Read for Pipe<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.block.read(buffer)? {
                0 => {}
                read => return Ok(read),
            }
            match self.blocks.recv_timeout(WAIT) {
                Ok(block) => {
                    let block = block?;
                    if block.is_empty() {
                        return Ok(0);
                    }
                    self.block = io::Cursor::new(block);
                }
                Err(RecvTimeoutError::Disconnected) => return Ok(0),
                Err(RecvTimeoutError::Timeout) if self.stop.is_requested() => return Err(io::Error::other("stopped")),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}
