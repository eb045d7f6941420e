//! One command over one SSH channel: its input, and its output, drained always and kept up to a cap.

use std::io::{self, Write};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use russh::client::Msg;
use russh::{Channel, ChannelMsg, ChannelWriteHalf, Sig};
use tokio::sync::mpsc;

use super::{Hold, line};
use crate::command::{Input, Output, Stream};

/// How much of standard output is kept, in bytes. More is an error: a cut answer would be misread.
pub(super) const STDOUT_CAP: usize = 8 << 20;

/// How much of standard error is kept, in bytes. It is for people; the rest is dropped.
const STDERR_CAP: usize = 256 << 10;

/// How much of a stream travels from its reader to the connection at once, in bytes.
const CHUNK: usize = 256 << 10;

/// Why there is no output.
pub(super) enum Failure {
    /// The connection ended before the command did.
    Lost,
    /// The node does not run commands for this user.
    Refused,
    /// Something else than the command ran, and ended so.
    Barred(Output),
    /// The input could not be read here.
    Input(io::Error),
    /// Standard output is larger than [`STDOUT_CAP`].
    TooMuch,
}

/// A line for a node's login shell, and the mark in front of what its command prints: [`line::line`].
pub(super) struct Line {
    pub(super) text: String,
    pub(super) mark: String,
}

impl Line {
    /// `output` without what the login printed before the command began; or that it did not.
    fn own(&self, output: Output) -> Result<Output, Failure> {
        let Some(stdout) = line::after(&output.stdout, &self.mark).map(<[u8]>::to_vec) else {
            return Err(Failure::Barred(output));
        };
        let stderr = line::after(&output.stderr, &self.mark).map(<[u8]>::to_vec);
        Ok(Output { stdout, stderr: stderr.unwrap_or(output.stderr), ..output })
    }
}

/// Runs `line` and feeds it `input`. Dropping the future closes the channel.
pub(super) async fn exec(
    channel: Channel<Msg>,
    line: Line,
    input: &Input,
) -> Result<Output, Failure> {
    let (mut read, write) = channel.split();
    let mut open = Open(Some(write));
    let Some(write) = open.0.as_ref() else { return Err(Failure::Lost) };
    write.exec(true, line.text.as_str()).await.map_err(|_| Failure::Lost)?;

    let (mut output, mut code, mut closed, mut fed) = (Output::default(), None, false, false);
    let mut too_much = false;
    {
        let mut feeding = pin!(feed(input, write));
        loop {
            // Not joined: a writer that waits for window is never woken after the command's end.
            let message = tokio::select! {
                message = read.wait() => message,
                result = &mut feeding, if !fed => {
                    fed = true;
                    result.map_err(Failure::Input)?;
                    continue;
                }
            };
            match message {
                Some(ChannelMsg::Data { data }) => {
                    too_much |= !keep(&mut output.stdout, &data, STDOUT_CAP);
                }
                Some(ChannelMsg::ExtendedData { data, ext: 1 }) => {
                    keep(&mut output.stderr, &data, STDERR_CAP);
                }
                Some(ChannelMsg::ExitStatus { exit_status }) => {
                    code = Some(i32::try_from(exit_status).unwrap_or(i32::MAX));
                }
                Some(ChannelMsg::ExitSignal { signal_name, .. }) => {
                    code = Some(128 + number(&signal_name));
                }
                Some(ChannelMsg::Failure) => return Err(Failure::Refused),
                Some(ChannelMsg::Close) => closed = true,
                Some(_) => {}
                None => break,
            }
        }
    }
    if closed {
        open.0 = None;
    }
    match code {
        // The exit code may overtake the output: only the channel's end says that it is complete.
        Some(_) if !closed => Err(Failure::Lost),
        Some(_) if too_much => Err(Failure::TooMuch),
        Some(code) => line.own(Output { code, ..output }),
        None => Err(Failure::Lost),
    }
}

/// Starts `line`, waits until it prints the line `held`, and then feeds it a byte every `heartbeat` until
/// the guard is dropped. When it ends before that, gives its exit code and what it printed.
pub(super) async fn hold(
    channel: Channel<Msg>,
    line: Line,
    heartbeat: Duration,
) -> Result<Result<Hold, Output>, Failure> {
    let (mut read, write) = channel.split();
    let open = Open(Some(write));
    let Some(write) = open.0.as_ref() else { return Err(Failure::Lost) };
    write.exec(true, line.text.as_str()).await.map_err(|_| Failure::Lost)?;
    let (mut output, mut code) = (Output::default(), None);
    while !line::after(&output.stdout, &line.mark).is_some_and(|own| own.starts_with(b"held\n")) {
        match read.wait().await {
            Some(ChannelMsg::Data { data }) => {
                if !keep(&mut output.stdout, &data, STDERR_CAP) {
                    return Err(Failure::TooMuch);
                }
            }
            Some(ChannelMsg::ExtendedData { data, ext: 1 }) => {
                keep(&mut output.stderr, &data, STDERR_CAP);
            }
            Some(ChannelMsg::ExitStatus { exit_status }) => {
                code = Some(i32::try_from(exit_status).unwrap_or(i32::MAX));
            }
            Some(ChannelMsg::Failure) => return Err(Failure::Refused),
            Some(_) => {}
            // The exit code may overtake the output.
            None => {
                let code = code.ok_or(Failure::Lost)?;
                return line.own(Output { code, ..output }).map(Err);
            }
        }
    }
    let lost = Arc::new(AtomicBool::new(false));
    let gone = Arc::clone(&lost);
    let heartbeat = tokio::spawn(async move {
        let mut ticks = tokio::time::interval(heartbeat);
        loop {
            tokio::select! {
                _ = ticks.tick() => {
                    let Some(write) = open.0.as_ref() else { break };
                    if write.data_bytes(b"x".to_vec()).await.is_err() {
                        break;
                    }
                }
                message = read.wait() => match message {
                    Some(ChannelMsg::Data { .. } | ChannelMsg::ExtendedData { .. } | ChannelMsg::WindowAdjusted { .. }) => {}
                    _ => break,
                },
            }
        }
        gone.store(true, Ordering::Relaxed);
    });
    Ok(Ok(Hold { lost, heartbeat: Some(heartbeat) }))
}

/// A channel that is closed when nobody waits for its command any more.
struct Open(Option<ChannelWriteHalf<Msg>>);

impl Drop for Open {
    fn drop(&mut self) {
        if let (Some(write), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move { write.close().await });
        }
    }
}

/// Sends `input`, the newline that [`line::line`] waits for, and the end of file. Fails only for reasons
/// on this side, and then sends neither of the latter; the reader notices a lost connection.
async fn feed(input: &Input, write: &ChannelWriteHalf<Msg>) -> io::Result<()> {
    let last = match input {
        Input::Nothing => Vec::new(),
        Input::Bytes(bytes) => [bytes, &b"\n"[..]].concat(),
        Input::Secret(secret) => [secret.expose(), &b"\n"[..]].concat(),
        Input::Stream(stream) => {
            let (chunks, mut arriving) = mpsc::channel::<Vec<u8>>(4);
            let stream = Arc::clone(stream);
            let reading = tokio::task::spawn_blocking(move || read_all(&*stream, chunks));
            while let Some(chunk) = arriving.recv().await {
                if write.data_bytes(chunk).await.is_err() {
                    return Ok(());
                }
            }
            reading.await.map_err(io::Error::other)??;
            b"\n".to_vec()
        }
    };
    if write.data_bytes(last).await.is_ok() {
        let _ = write.eof().await;
    }
    Ok(())
}

/// Reads `stream`, which must have exactly the size that it said.
fn read_all(stream: &dyn Stream, chunks: mpsc::Sender<Vec<u8>>) -> io::Result<()> {
    let mut out = Chunks { chunks, buffer: Vec::new(), left: stream.size() };
    stream.copy_to(&mut out)?;
    if out.left > 0 {
        let message = format!("it ended {} bytes before the size that it promised", out.left);
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
    }
    out.send()
}

/// Collects small writes into chunks and sends them to the connection.
struct Chunks {
    chunks: mpsc::Sender<Vec<u8>>,
    buffer: Vec<u8>,
    left: u64,
}

impl Chunks {
    fn send(&mut self) -> io::Result<()> {
        let chunk = std::mem::take(&mut self.buffer);
        self.chunks.blocking_send(chunk).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for Chunks {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let left = self.left.checked_sub(data.len() as u64);
        self.left = left.ok_or_else(|| io::Error::other("it is larger than it promised"))?;
        self.buffer.extend_from_slice(data);
        if self.buffer.len() >= CHUNK {
            self.send()?;
        }
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Appends what fits below `cap`; whether all of it did.
fn keep(kept: &mut Vec<u8>, data: &[u8], cap: usize) -> bool {
    let room = cap.saturating_sub(kept.len()).min(data.len());
    kept.extend_from_slice(data.get(..room).unwrap_or_default());
    room == data.len()
}

/// The number of a signal on Linux; 0 for one that SSH has no name for.
fn number(signal: &Sig) -> i32 {
    match signal {
        Sig::HUP => 1,
        Sig::INT => 2,
        Sig::QUIT => 3,
        Sig::ILL => 4,
        Sig::ABRT => 6,
        Sig::FPE => 8,
        Sig::KILL => 9,
        Sig::USR1 => 10,
        Sig::SEGV => 11,
        Sig::PIPE => 13,
        Sig::ALRM => 14,
        Sig::TERM => 15,
        Sig::Custom(_) => 0,
    }
}
