//! One call of a hook: the plugin's answer, and the host calls on the way to it.
//!
//! All of it happens within one absolute deadline, and nothing that is said here is
//! believed before its form and its turn were checked.

use std::time::{Duration, Instant};

use gm_protocol::link::{Budget, Wait};
use gm_protocol::message::{FromRunner, ToRunner, head};
use gm_protocol::plan::HostOp;
use serde_json::{Value, json};

use super::{Life, PACE_TIME, Said};
use crate::ending::Cause;
use crate::host_api::Open;
use crate::hub::Event;
use crate::process::Process;

/// What a hook answered.
struct Answer {
    status: i32,
    document: Option<Vec<u8>>,
}

impl<'a> Life<'a, '_> {
    /// Calls a hook and serves its host calls within one absolute deadline.
    /// The inner result is the plugin's own word.
    pub(super) fn call(
        &mut self,
        process: &mut Process<'a>,
        event: &Event,
        time: Duration,
        seq: Option<u64>,
    ) -> Result<Said, Cause> {
        if let Some(requests) = &mut self.requests
            && requests.revive()?
        {
            self.write_down(process)?;
        }
        (self.tally.at_hook, self.tally.at_seq) = (Some(event.hook.as_str()), seq);
        // Before its time begins: how fast calls follow each other is not its doing.
        process.pace(self.most_of_a_call(), process.until(PACE_TIME))?;
        self.step = Instant::now();
        let wait = process.until(time);
        let mut open = self.api.open(event, seq);
        let answer = self.exchange(process, event, &mut open, wait)?;
        self.api.close(&open);
        let reply = said(answer);
        let host_calls = open.host_calls();
        let reply = match reply {
            Ok(reply) => self.api.commit(open).map(|()| reply),
            Err(text) => Err(text),
        };
        self.tally.calls += 1;
        self.tally.errors += u64::from(reply.is_err());
        (self.tally.at_hook, self.tally.at_seq) = (None, None);
        let fields = json!({
            "hook": event.hook.as_str(),
            "seq": seq,
            "subject": event.subject,
            "status": if reply.is_ok() { "ok" } else { "error" },
            "reply": reply.as_ref().ok(),
            "error": reply.as_ref().err(),
            "host_calls": host_calls,
            "wall_us": u64::try_from(self.step.elapsed().as_micros()).unwrap_or(u64::MAX),
        });
        self.api.replied(fields);
        Ok(reply)
    }

    fn exchange(
        &mut self,
        process: &mut Process<'a>,
        event: &Event,
        open: &mut Open,
        wait: Wait<'_>,
    ) -> Result<Answer, Cause> {
        let number = self.next_call;
        self.next_call = self.next_call.wrapping_add(1);
        let (bytes, more) = head(&event.document);
        let call = ToRunner::Call {
            call: number,
            hook: event.hook,
            more,
            bytes,
        };
        process.send(&call, &event.document, wait)?;
        loop {
            match process.recv(wait)? {
                FromRunner::Done {
                    call,
                    status,
                    has,
                    more,
                    bytes,
                } => {
                    if call != number || (!has && (more || !bytes.is_empty())) {
                        return Err(Cause::Link("an answer to a call that is not open".into()));
                    }
                    let document =
                        process.recv_parts(bytes, more, self.shared.reply_bytes, wait)?;
                    return Ok(Answer {
                        status,
                        document: has.then_some(document),
                    });
                }
                message => self.host_call(process, message, open, wait)?,
            }
        }
    }

    /// Answers a host call; any other message is out of turn.
    pub(super) fn host_call(
        &mut self,
        process: &mut Process<'a>,
        message: FromRunner,
        open: &mut Open,
        wait: Wait<'_>,
    ) -> Result<(), Cause> {
        let FromRunner::Host {
            id,
            op,
            level,
            first,
            more,
            bytes,
        } = message
        else {
            return Err(Cause::Link("a message out of turn".into()));
        };
        open.expect_id(id)?;
        let arguments =
            process.recv_parts(bytes, more, self.shared.reply_bytes.saturating_mul(2), wait)?;
        let split = usize::try_from(first)
            .ok()
            .and_then(|at| arguments.split_at_checked(at));
        let Some((a, b)) = split else {
            return Err(Cause::Link("arguments shorter than they say".into()));
        };
        let (status, result) = match (op, &mut self.requests) {
            (HostOp::HttpRequest, Some(requests)) => {
                self.api
                    .answer_request(open, a, |document| requests.fetch(document, wait))?
            }
            _ => self.api.answer(open, op, level, a, b)?,
        };
        process.pace(self.most_of_a_call(), wait)?;
        let (bytes, more) = head(&result);
        process.send(
            &ToRunner::HostDone {
                id,
                status,
                more,
                bytes,
            },
            &result,
            wait,
        )
    }

    /// The most that a host call or an answer may be.
    fn most_of_a_call(&self) -> Budget {
        Budget::of_document(self.shared.reply_bytes.saturating_mul(2))
    }
}

/// A hook's answer as the ABI means it.
fn said(answer: Answer) -> Said {
    let Answer { status, document } = answer;
    if status != 0 {
        let text = document.as_deref().map(crate::logs::harmless);
        return Err(text.unwrap_or_else(|| format!("the hook returned {status}")));
    }
    match document {
        None => Ok(None),
        Some(bytes) => match serde_json::from_slice(&bytes) {
            Ok(Value::Object(reply)) => Ok(Some(Value::Object(reply))),
            _ => Err("the reply is not one JSON object".into()),
        },
    }
}
