//! A message of the protocol, parsed as strictly as documents are before the SDK sees it; and the
//! answer to a text that is none.

use rmcp::model::ClientJsonRpcMessage;
use serde_json::{Value, json};

/// The longest message. Longer values go through the command line or the service.
pub(in crate::face) const MESSAGE_BYTES: usize = 1 << 20;

/// The message of a text, or the answer to it.
pub(in crate::face) fn parsed(text: &[u8]) -> Result<Box<ClientJsonRpcMessage>, Value> {
    let value = crate::json::parse(text).map_err(|error| refused(Value::Null, -32700, &error.to_string()))?;
    if value.is_array() {
        return Err(refused(Value::Null, -32600, "batches are not supported; send one message at a time"));
    }
    let id = value.get("id").filter(|id| id.is_string() || id.is_number()).cloned().unwrap_or_default();
    // From the text again, as a value on its way through serde loses integers of more than 64 bits.
    let text = text.strip_prefix(b"\xef\xbb\xbf".as_slice()).unwrap_or(text);
    serde_json::from_slice(text).map(Box::new).map_err(|_| {
        refused(
            id,
            -32600,
            "this is no message of JSON-RPC 2.0; a message has jsonrpc, method, params, and an id if it wants an answer",
        )
    })
}

pub(super) fn too_long() -> Value {
    let message = format!(
        "the message is too long; pass long values through the command line or the service: limit_bytes={MESSAGE_BYTES}"
    );
    refused(Value::Null, -32600, &message)
}

/// The answer to a text that is no message.
fn refused(id: Value, code: i32, message: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_no_message_is_answered_with_its_id() {
        for (text, code, id) in [
            ("{", -32700, Value::Null),
            ("{\"a\":1,\"a\":2}", -32700, Value::Null),
            ("[]", -32600, Value::Null),
            ("5", -32600, Value::Null),
            ("{\"id\":7}", -32600, json!(7)),
            ("{\"jsonrpc\":\"1.0\",\"id\":\"x\",\"method\":\"ping\"}", -32600, json!("x")),
        ] {
            let answer = parsed(text.as_bytes()).unwrap_err();
            assert_eq!((&answer["error"]["code"], &answer["id"]), (&json!(code), &id), "{text}");
        }
        assert!(parsed(b"\xff").is_err());
        assert!(parsed(br#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#).is_ok());
        assert!(parsed(br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","arguments":{"a":1.50,"b":1e400,"c":12345678901234567890123}}}"#).is_ok());
    }
}
