//! One command over one SSH channel: the line that the node's shell gets, the input that it reads
//! whole or not at all, and its output, drained always and kept up to a cap.

use std::io::{self, Write};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use russh::client::Msg;
use russh::{Channel, ChannelMsg, ChannelWriteHalf, Sig};
use tokio::sync::mpsc;

use super::Hold;
use crate::command::{Cmd, Input, Output, Stream, quote};

/// How much of standard output is kept, in bytes. More is an error: a cut answer would be misread.
pub(super) const STDOUT_CAP: usize = 8 << 20;

/// How much of standard error is kept, in bytes. It is for people; the rest is dropped.
const STDERR_CAP: usize = 256 << 10;

/// How much of a stream travels from its reader to the connection at once, in bytes.
const CHUNK: usize = 256 << 10;

/// Lets `"$@"` see the end of its input only after all of it (`$0` bytes and a newline), and kills
/// it otherwise. sshd closes a command's input when the connection breaks, however it breaks, and
/// `cat > new && mv new file` would take that for the end of the file.
const WHOLE: &str = r#"{ head -c "$0" && { read -r end || kill -9 0; }; } | "$@""#;

/// Why there is no output.
pub(super) enum Failure {
    /// The connection ended before the command did.
    Lost,
    /// The node does not run commands for this user.
    Refused,
    /// The input could not be read here.
    Input(io::Error),
    /// Standard output is larger than [`STDOUT_CAP`].
    TooMuch,
}

/// What the node's shell gets for `cmd`; `sudo` when the user is not root.
pub(super) fn line(cmd: &Cmd, sudo: bool) -> String {
    let plain = cmd.line();
    let whole = match size(cmd.input()) {
        None => plain,
        Some(size) => format!("sh -c {} {size} {plain}", quote(WHOLE)),
    };
    // The locale makes sudo's own messages readable to `sudo_failed`.
    if sudo { format!("LC_ALL=C sudo -n -- {whole}") } else { whole }
}

/// Why a command never began: what sudo, or the shell that did not find it, says then.
pub(super) fn sudo_failed(output: &Output) -> Option<&'static str> {
    let says = |end: &[u8]| output.stderr.split(|byte| *byte == b'\n').any(|l| l.ends_with(end));
    match output.code {
        1 if says(b"sudo: a password is required") => Some("it asks for a password"),
        1 if says(b"sudo: sorry, you must have a tty to run sudo") => Some("it asks for a tty"),
        127 if says(b"sudo: not found") || says(b"sudo: command not found") => {
            Some("it is not installed")
        }
        _ => None,
    }
}

/// Runs `line` and feeds it `input`. Dropping the future closes the channel.
pub(super) async fn exec(
    channel: Channel<Msg>,
    line: String,
    input: &Input,
) -> Result<Output, Failure> {
    let (mut read, write) = channel.split();
    let mut open = Open(Some(write));
    let Some(write) = open.0.as_ref() else { return Err(Failure::Lost) };
    write.exec(true, line).await.map_err(|_| Failure::Lost)?;

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
        Some(code) => Ok(Output { code, ..output }),
        None => Err(Failure::Lost),
    }
}

/// Starts `line`, waits until it prints the line `held`, and then feeds it a byte every `beat` until
/// the guard is dropped. When it ends before that, gives its exit code and what it printed.
pub(super) async fn hold(
    channel: Channel<Msg>,
    line: String,
    beat: Duration,
) -> Result<Result<Hold, Output>, Failure> {
    let (mut read, write) = channel.split();
    let open = Open(Some(write));
    let Some(write) = open.0.as_ref() else { return Err(Failure::Lost) };
    write.exec(true, line).await.map_err(|_| Failure::Lost)?;
    let (mut output, mut code) = (Output::default(), None);
    while !output.stdout.split(|byte| *byte == b'\n').any(|line| line == b"held") {
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
            None => return code.map(|code| Err(Output { code, ..output })).ok_or(Failure::Lost),
        }
    }
    let lost = Arc::new(AtomicBool::new(false));
    let gone = Arc::clone(&lost);
    let beating = tokio::spawn(async move {
        let mut ticks = tokio::time::interval(beat);
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
    Ok(Ok(Hold { lost, beating: Some(beating) }))
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

/// How many bytes `input` has; `None` when there is no input.
fn size(input: &Input) -> Option<u64> {
    match input {
        Input::Nothing => None,
        Input::Bytes(bytes) => Some(bytes.len() as u64),
        Input::Secret(secret) => Some(secret.expose().len() as u64),
        Input::Stream(stream) => Some(stream.size()),
    }
}

/// Sends `input`, the newline that [`WHOLE`] waits for, and the end of file. Fails only for reasons
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
