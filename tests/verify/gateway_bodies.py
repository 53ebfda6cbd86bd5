"""Bodies for the gateway's doors that are nearly right, for tests that try hundreds of them."""

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from tests.verify.test_doors_fuzzed import ANY_TEXT, VALUES

MODEL, VECTORS = "fuzzed-swift", "fuzzed-vectors"

Body = dict[str, Any]
Made = st.SearchStrategy[Any]


def nearly(right: Made) -> Made:
    """Mostly right, and sometimes anything."""
    return st.integers(0, 29).flatmap(lambda dice: VALUES if dice == 29 else right)


def bodies(required: Mapping[str, Made], optional: Mapping[str, Made]) -> Made:
    """A few of the optional fields at a time; once in a while a field is missing, or one is there that nobody knows."""
    some = st.lists(st.sampled_from(sorted(optional)), max_size=3, unique=True).flatmap(
        lambda names: st.fixed_dictionaries({name: nearly(optional[name]) for name in names})
    )
    whole = st.fixed_dictionaries({name: nearly(right) for name, right in required.items()})
    stranger = st.integers(0, 15).flatmap(
        lambda dice: st.dictionaries(ANY_TEXT, VALUES, max_size=1) if not dice else st.just({})
    )
    return st.builds(
        lambda *parts: {name: value for part in parts for name, value in part.items()}, whole, some, stranger
    )


WORDS = st.sampled_from(["a lease", "What is the weather in Oslo?", "Invent a person.", "é 🌊 ‮", "0"]) | ANY_TEXT
_DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
PICTURE = f"data:image/png;base64,{_DOT}"
ADDRESSES = st.sampled_from([PICTURE, "https://example.org/a.png"]) | ANY_TEXT
NAMES = st.sampled_from(["weather", "look_up", "x" * 64]) | ANY_TEXT
SCHEMA = st.sampled_from(
    [
        {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
        {"type": "object", "properties": {}},
        {"type": "array", "items": {"type": "integer"}},
        {"$ref": "#"},
        {},
    ]
)
CALL_IDS = st.sampled_from(["call_1", "call_2"])
ARGUMENTS = st.sampled_from(['{"city": "Oslo"}', "{}", "{", ""]) | ANY_TEXT
FRACTION = st.floats(0, 1) | st.sampled_from([-1, 2, 1e300])
SMALL = st.integers(1, 40) | st.sampled_from([0, -1, 2**31, 2**63])
FLAGS = st.booleans()

OPENAI_PART = st.one_of(
    st.builds(lambda text: {"type": "text", "text": text}, nearly(WORDS)),
    st.builds(lambda url: {"type": "image_url", "image_url": {"url": url}}, nearly(ADDRESSES)),
    VALUES,
)
OPENAI_CALL = st.builds(
    lambda id, name, arguments: {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}},
    nearly(CALL_IDS), nearly(NAMES), nearly(ARGUMENTS),
)  # fmt: skip
OPENAI_MESSAGE = st.one_of(
    st.builds(
        lambda role, content: {"role": role, "content": content},
        nearly(st.sampled_from(["user", "user", "system", "developer", "assistant"])),
        nearly(WORDS | st.lists(OPENAI_PART, max_size=3)),
    ),
    st.builds(
        lambda calls: {"role": "assistant", "content": None, "tool_calls": calls}, st.lists(OPENAI_CALL, max_size=2)
    ),
    st.builds(lambda id, text: {"role": "tool", "tool_call_id": id, "content": text}, nearly(CALL_IDS), nearly(WORDS)),
)
ASKS = {"role": "user", "content": "What is the weather in Oslo?"}
CALLED = [
    {
        "role": "assistant",
        "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}],
    },
    {"role": "tool", "tool_call_id": "call_1", "content": "Rain"},
]
OPENAI_MESSAGES = st.one_of(
    st.builds(lambda said: [*said, ASKS], st.lists(OPENAI_MESSAGE, max_size=3)),
    st.just([ASKS, *CALLED]),
    st.lists(OPENAI_MESSAGE, max_size=3),
)
OPENAI_TOOL = st.builds(
    lambda name, schema: {"type": "function", "function": {"name": name, "description": "Any", "parameters": schema}},
    nearly(NAMES), nearly(SCHEMA),
)  # fmt: skip
FORMAT = st.one_of(
    st.sampled_from([{"type": "text"}, {"type": "json_object"}]),
    st.builds(
        lambda name, schema: {"type": "json_schema", "json_schema": {"name": name, "schema": schema, "strict": True}},
        nearly(NAMES), nearly(SCHEMA),
    ),
)  # fmt: skip
CHOICE = st.sampled_from(["auto", "none", "required", {"type": "function", "function": {"name": "weather"}}])
CHAT = bodies(
    {"model": st.just(MODEL), "messages": OPENAI_MESSAGES, "stream": FLAGS},
    {
        "n": st.integers(1, 3),
        "max_tokens": SMALL,
        "max_completion_tokens": SMALL,
        "temperature": FRACTION,
        "top_p": FRACTION,
        "presence_penalty": FRACTION,
        "frequency_penalty": FRACTION,
        "stop": WORDS | st.lists(WORDS, max_size=5),
        "seed": st.integers(-(2**63), 2**63),
        "logprobs": FLAGS,
        "top_logprobs": SMALL,
        "logit_bias": st.dictionaries(st.sampled_from(["1", "50256", "x"]), SMALL, max_size=2),
        "stream_options": st.builds(lambda told: {"include_usage": told}, nearly(FLAGS)),
        "tools": st.lists(OPENAI_TOOL, max_size=3),
        "tool_choice": CHOICE,
        "parallel_tool_calls": FLAGS,
        "response_format": FORMAT,
        "reasoning_effort": st.sampled_from(["low", "high", "most"]),
        "user": WORDS,
        "metadata": st.dictionaries(ANY_TEXT, WORDS, max_size=2),
        "store": FLAGS,
        "modalities": st.just(["text"]),
    },
)

BLOCK = st.one_of(
    st.builds(lambda text: {"type": "text", "text": text}, nearly(WORDS)),
    st.builds(
        lambda data: {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}},
        nearly(st.just(_DOT)),
    ),
    st.builds(lambda url: {"type": "image", "source": {"type": "url", "url": url}}, nearly(ADDRESSES)),
    st.builds(
        lambda id, content: {"type": "tool_result", "tool_use_id": id, "content": content},
        nearly(CALL_IDS), nearly(WORDS | st.just([{"type": "text", "text": "Rain"}])),
    ),
    st.builds(
        lambda id, name, given: {"type": "tool_use", "id": id, "name": name, "input": given},
        nearly(CALL_IDS), nearly(NAMES), nearly(st.just({"city": "Oslo"})),
    ),
    st.just({"type": "text", "text": "kept", "cache_control": {"type": "ephemeral"}}),
    VALUES,
)  # fmt: skip
SAID = st.builds(
    lambda role, content: {"role": role, "content": content},
    nearly(st.sampled_from(["user", "user", "assistant"])),
    nearly(WORDS | st.lists(BLOCK, max_size=3)),
)
MESSAGES = st.builds(lambda said: [*said, ASKS], st.lists(SAID, max_size=3)) | st.lists(SAID, max_size=3)
CLAUDE_TOOL = st.builds(
    lambda name, schema: {"name": name, "description": "The weather", "input_schema": schema},
    nearly(NAMES),
    nearly(SCHEMA),
)
COUNTED: Mapping[str, Made] = {
    "system": WORDS | st.lists(BLOCK, max_size=2),
    "tools": st.lists(CLAUDE_TOOL, max_size=3),
    "tool_choice": st.sampled_from(
        [{"type": "auto"}, {"type": "any"}, {"type": "none"}, {"type": "tool", "name": "weather"}]
    ),
    "thinking": st.sampled_from([{"type": "disabled"}, {"type": "enabled", "budget_tokens": 1024}]),
}
CLAUDE = bodies(
    {"model": st.just(MODEL), "messages": MESSAGES, "max_tokens": SMALL, "stream": FLAGS},
    {
        **COUNTED,
        "stop_sequences": st.lists(WORDS, max_size=4),
        "temperature": FRACTION,
        "top_p": FRACTION,
        "top_k": SMALL,
        "metadata": st.builds(lambda id: {"user_id": id}, nearly(WORDS)),
    },
)
COUNT = bodies({"model": st.just(MODEL), "messages": MESSAGES}, COUNTED)

INPUT_TEXT = st.builds(lambda text: {"type": "input_text", "text": text}, nearly(WORDS))
ITEM = st.one_of(
    st.builds(
        lambda role, content: {"type": "message", "role": role, "content": content},
        nearly(st.sampled_from(["user", "assistant", "system", "developer"])),
        nearly(WORDS | st.lists(INPUT_TEXT, max_size=2)),
    ),
    st.builds(
        lambda id, name, arguments: {"type": "function_call", "call_id": id, "name": name, "arguments": arguments},
        nearly(CALL_IDS), nearly(NAMES), nearly(ARGUMENTS),
    ),
    st.builds(
        lambda id, output: {"type": "function_call_output", "call_id": id, "output": output},
        nearly(CALL_IDS), nearly(WORDS),
    ),
    VALUES,
)  # fmt: skip
RESPONSES = bodies(
    {
        "model": st.just(MODEL),
        "input": WORDS | st.builds(lambda items: [*items, ASKS], st.lists(ITEM, max_size=3)),
        "stream": FLAGS,
    },
    {
        "instructions": WORDS,
        "max_output_tokens": SMALL,
        "temperature": FRACTION,
        "top_p": FRACTION,
        "tools": st.lists(
            st.builds(
                lambda name, schema: {"type": "function", "name": name, "parameters": schema},
                nearly(NAMES),
                nearly(SCHEMA),
            ),
            max_size=2,
        ),
        "tool_choice": st.sampled_from(["auto", "none", "required", {"type": "function", "name": "weather"}]),
        "text": st.builds(
            lambda name, schema: {"format": {"type": "json_schema", "name": name, "schema": schema}},
            nearly(NAMES),
            nearly(SCHEMA),
        ),
        "reasoning": st.just({"effort": "low"}),
        "previous_response_id": st.none() | WORDS,
        "store": FLAGS,
        "metadata": st.dictionaries(ANY_TEXT, WORDS, max_size=2),
        "parallel_tool_calls": FLAGS,
        "truncation": st.sampled_from(["auto", "disabled"]),
    },
)
EMBEDDINGS = bodies(
    {"model": st.just(VECTORS), "input": WORDS | st.lists(WORDS, max_size=4)},
    {"encoding_format": st.sampled_from(["float", "base64", "int8"]), "dimensions": SMALL, "user": WORDS},
)
