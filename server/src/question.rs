//! What a brain is asked: what is new in a conversation since the agent's last word.

use talkwire_core::wire::Item;

use crate::brain::ToolOutput;

/// What the customer said and what functions returned since the agent's last item. A result of an MCP
/// call is told by the very item of the call, which is the agent's.
pub(crate) fn since_answer(items: &[Item]) -> (String, Vec<ToolOutput>) {
    let by_agent = |item: &Item| {
        item.role.as_deref() == Some("assistant")
            || matches!(
                item.kind.as_str(),
                "function_call" | "mcp_call" | "mcp_approval_request"
            )
    };
    let start = items.iter().rposition(by_agent).map_or(0, |at| at + 1);
    let calls = items[..start].iter().rev();
    let calls = calls.take_while(|item| item.kind == "mcp_call").count();
    let mut outputs: Vec<_> = items[start - calls..start].iter().map(mcp_output).collect();
    let mut heard = Vec::new();
    // Who spoke is answered to what they said; a text beside it is something to know.
    let has_speech = items[start..].iter().any(is_speech);
    for item in &items[start..] {
        if item.role.as_deref() == Some("user") && (is_speech(item) || !has_speech) {
            heard.push(item.text());
        }
        if item.kind == "function_call_output" {
            let call_id = item.call_id.clone().unwrap_or_default();
            let is_call = |c: &&Item| c.kind == "function_call" && c.call_id == item.call_id;
            let call = items.iter().find(is_call);
            outputs.push(ToolOutput {
                name: call.and_then(|c| c.name.clone()).unwrap_or_default(),
                call_id,
                output: item.output.clone().unwrap_or_default(),
            });
        }
    }
    heard.retain(|text| !text.is_empty());
    (heard.join(" "), outputs)
}

fn is_speech(item: &Item) -> bool {
    let mut parts = item.content.iter().flatten();
    item.role.as_deref() == Some("user") && parts.any(|part| part.kind == "input_audio")
}

/// The result of an MCP call, or why it failed.
fn mcp_output(item: &Item) -> ToolOutput {
    let error = item
        .extra
        .get("error")
        .and_then(|error| error["message"].as_str());
    let output = item.output.as_deref().or(error);
    ToolOutput {
        name: item.name.clone().unwrap_or_default(),
        call_id: item.id.clone().unwrap_or_default(),
        output: output.unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_what_came_after_the_agents_last_item() {
        let call = Item {
            kind: "function_call".to_owned(),
            call_id: Some("c".to_owned()),
            name: Some("weather".to_owned()),
            ..Item::default()
        };
        let items = [
            Item::user_text("old"),
            Item::assistant_text("answer"),
            Item::user_text("new"),
            call,
            Item::function_call_output("c", "3"),
            Item::user_text("and"),
            Item::user_text("more"),
        ];
        let (heard, outputs) = since_answer(&items);
        assert_eq!(heard, "and more");
        assert_eq!(
            (outputs[0].name.as_str(), outputs[0].output.as_str()),
            ("weather", "3")
        );
        assert_eq!(since_answer(&items[..3]).0, "new");
        assert_eq!(since_answer(&[]).0, "");
    }
}
