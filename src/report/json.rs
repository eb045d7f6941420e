//! Events as JSON lines, for programs: one object each, with the run it belongs to and its time.

use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde::Serialize;

use crate::event::{Event, SCHEMA, Sink};

/// Writes one JSON object per event.
pub struct Json<W> {
    run_id: String,
    began: Instant,
    state: Mutex<(u64, W)>,
}

/// The event's own fields, and what every line has. The clock on the wall may jump; `elapsed_ms`
/// and `seq` never go back.
#[derive(Serialize)]
struct Line<'a> {
    schema: u32,
    run_id: &'a str,
    seq: u64,
    elapsed_ms: u64,
    time: String,
    #[serde(flatten)]
    event: &'a Event,
}

impl<W> Json<W> {
    /// Lines go to `out`, under a new random run id.
    pub fn new(out: W) -> Self {
        let run_id = format!("{:016x}", rand::random::<u64>());
        Self { run_id, began: Instant::now(), state: Mutex::new((0, out)) }
    }
}

impl<W: Write + Send> Sink for Json<W> {
    fn take(&self, event: Event) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (seq, out) = &mut *state;
        let line = Line {
            schema: SCHEMA,
            run_id: &self.run_id,
            seq: *seq,
            elapsed_ms: u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX),
            time: format!("{:.3}", jiff::Timestamp::now()),
            event: &event,
        };
        *seq += 1;
        // A reader that went away is no reason to end the run.
        if let Ok(text) = serde_json::to_string(&line) {
            let _ = writeln!(out, "{text}").and_then(|()| out.flush());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::plain::tests::run;
    use serde_json::{Value, json};

    fn lines() -> Vec<Value> {
        let sink = Json::new(Vec::new());
        run().into_iter().for_each(|event| sink.take(event));
        let text = String::from_utf8(sink.state.into_inner().unwrap().1).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn every_line_is_an_object_with_its_place_in_the_run() {
        let lines = lines();
        assert_eq!(lines.len(), run().len());
        for (n, line) in lines.iter().enumerate() {
            assert_eq!(line["schema"], SCHEMA);
            assert_eq!(line["seq"], n);
            assert_eq!(line["run_id"], lines[0]["run_id"]);
            assert_eq!(line["run_id"].as_str().unwrap().len(), 16);
            assert!(line["elapsed_ms"].is_u64());
            line["time"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
        }
    }

    #[test]
    fn an_events_own_fields_are_all_there() {
        for (line, event) in lines().iter().zip(run()) {
            for (key, value) in serde_json::to_value(&event).unwrap().as_object().unwrap() {
                assert_eq!(&line[key], value);
            }
        }
        assert_eq!(lines()[6]["event"], json!("step-finished"));
        assert_eq!(lines()[8]["error"], json!("error: cannot start\n  exit\\u{7} 1"));
    }
}
