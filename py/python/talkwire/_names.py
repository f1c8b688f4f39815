"""Every name of a field in the protocol.

A field that is optional may be left out by a server; it then reads as None. This list tells such
a field from a misspelt one. A test proves it equal to tests/wire/events.json.
"""

from __future__ import annotations

WIRE_NAMES: frozenset[str] = frozenset(
    """
    allowed_callers allowed_tools always anchor annotations approval_request_id approve
    arguments audio audio_end_ms audio_start_ms audio_tokens authorization bytes cached_tokens
    cached_tokens_details call_id channels client_secret code connector_id content content_index
    conversation conversation_id create_response defer_loading delay delta description detail
    eagerness effort elapsed_ms end error event event_id expires_at format group_id headers id
    idle_timeout_ms image_tokens image_url include input input_audio_format
    input_audio_noise_reduction input_audio_transcription input_schema input_token_details
    input_tokens instructions interrupt_response item item_id keywords language languages limit
    logprob logprobs max_output_tokens message metadata modalities model name never
    noise_reduction obfuscation object output output_audio_format output_index output_modalities
    output_token_details output_tokens parallel_tool_calls param parameters part pitch_shift
    post_instructions prefix_padding_ms previous_item_id prompt rate rate_limits read_only
    reason reasoning received_at remaining require_approval reset_seconds response response_id
    retention_ratio role sample_rate seconds server_description server_label server_url session
    silence_duration_ms speaker speed start status status_details strength text text_tokens
    threshold token token_limits tool_choice tool_names tools total_tokens tracing transcript
    transcription truncation tunnel_id turn_detection type usage value variables version voice
    workflow_name
    """.split()
)
