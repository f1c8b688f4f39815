//! Tools that the model calls and the host runs.

use std::ffi::c_char;

use talkwire_core::options::tool::Tool;

use crate::error::{tw_error, tw_status};
use crate::guard;
use crate::handle;
use crate::session::tw_session;
use crate::text;

/// Lets the model call a tool. Each call comes as TW_EVENT_TOOL_CALL with its `call_id`, `name`,
/// `arguments` (the text of a JSON object with all that the schema requires; arguments that are no
/// such thing are answered to the model by the library) and `idempotency_key`, and is owed exactly
/// one tw_tool_answer() or tw_tool_fail(), from any thread. When all calls of a response have their
/// result, the next response is asked for by the library. Tools may also be given before the session
/// opens, as `tools` of tw_config_set_json().
///
/// @param session  the session
/// @param tool     JSON object: `name`, and optionally `description`, `parameters` (JSON schema),
///                 `timeout_ms` (30000; then the model is told, and TW_EVENT_TOOL_CANCELLED comes),
///                 `overdue_ms` (4000; then TW_EVENT_TOOL_OVERDUE comes) and `filler` (what the
///                 agent says when it is overdue)
/// @param len      its bytes, or TW_NTS
/// @param err      receives the error, may be NULL
/// @return TW_OK, TW_ERR_CLOSED, TW_ERR_QUEUE_FULL, TW_ERR_ARGUMENT, TW_ERR_FORKED
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_tool_register(
    session: *mut tw_session,
    tool: *const c_char,
    len: usize,
    err: *mut *mut tw_error,
) -> tw_status {
    guard::done("tw_tool_register", err, || {
        let tool: Tool = text::json(text::input(tool, len, "tool")?, "tool")?;
        handle::borrow(session)?
            .live()?
            .register_tool(tool)
            .map(drop)
    })
}

/// Gives the result of a tool to the model. The first result of a call counts; another one, and one
/// that is too late, is refused by TW_EVENT_PROTOCOL_FAULT.
///
/// @param session      the session
/// @param call_id      the call, see tw_event_call_id()
/// @param call_id_len  its bytes, or TW_NTS
/// @param output       what the tool gave, usually JSON text
/// @param output_len   its bytes, or TW_NTS
/// @param err          receives the error, may be NULL
/// @return TW_OK, TW_ERR_CLOSED, TW_ERR_QUEUE_FULL, TW_ERR_ARGUMENT, TW_ERR_FORKED
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_tool_answer(
    session: *mut tw_session,
    call_id: *const c_char,
    call_id_len: usize,
    output: *const c_char,
    output_len: usize,
    err: *mut *mut tw_error,
) -> tw_status {
    guard::done("tw_tool_answer", err, || {
        let call_id = text::input(call_id, call_id_len, "call_id")?;
        let output = text::input(output, output_len, "output")?.to_owned();
        let session = handle::borrow(session)?.live()?;
        session.answer_tool(call_id, Ok(output)).map(drop)
    })
}

/// Tells the model that a tool failed; counts as its result.
///
/// @param session      the session
/// @param call_id      the call
/// @param call_id_len  its bytes, or TW_NTS
/// @param message      what went wrong, for the model
/// @param message_len  its bytes, or TW_NTS
/// @param err          receives the error, may be NULL
/// @return TW_OK, TW_ERR_CLOSED, TW_ERR_QUEUE_FULL, TW_ERR_ARGUMENT, TW_ERR_FORKED
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_tool_fail(
    session: *mut tw_session,
    call_id: *const c_char,
    call_id_len: usize,
    message: *const c_char,
    message_len: usize,
    err: *mut *mut tw_error,
) -> tw_status {
    guard::done("tw_tool_fail", err, || {
        let call_id = text::input(call_id, call_id_len, "call_id")?;
        let message = text::input(message, message_len, "message")?.to_owned();
        let session = handle::borrow(session)?.live()?;
        session.answer_tool(call_id, Err(message)).map(drop)
    })
}
