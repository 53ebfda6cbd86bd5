"""Run as `python langchain_calls.py URL KEY` in an environment that has LangChain and nothing of ours.

Asks the gateway for everything that a LangChain program does, and prints what came as JSON, by the name of each call.
"""

import asyncio
import json
import sys

from langchain_anthropic import ChatAnthropic
from langchain_core.messages import AIMessageChunk, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel, Field

MODEL, VECTORS = "client-swift", "client-vectors"
QUESTION = [SystemMessage("Be brief."), HumanMessage("Why do leases need fences?")]
# LangChain's clients share their connections, so all of them want one loop.
LOOP = asyncio.Runner()
WEATHER = [HumanMessage("What is the weather in Oslo?")]


class Person(BaseModel):
    """A person."""

    name: str = Field(description="The name")
    age: int = Field(description="The age in years")


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"Rain in {city}, 7 degrees."


def chats(url, key):
    rest = {"model": MODEL, "max_retries": 0, "timeout": 20}
    return {
        # It asks for usage by itself at OpenAI's own address alone.
        "completions": ChatOpenAI(base_url=f"{url}/v1", api_key=key, stream_usage=True, **rest),
        "responses": ChatOpenAI(base_url=f"{url}/v1", api_key=key, use_responses_api=True, **rest),
        "messages": ChatAnthropic(base_url=url, api_key=key, max_tokens=800, **rest),
    }


def whole(chat):
    answer = chat.invoke(QUESTION)
    return {"text": answer.text, "usage": dict(answer.usage_metadata)}


def streamed(chat):
    pieces = list(chat.stream(QUESTION))
    told = AIMessageChunk("")
    for piece in pieces:
        told += piece
    return {"text": told.text, "pieces": len(pieces), "usage": dict(told.usage_metadata)}


def awaited(chat):
    async def ask():
        answers = await chat.abatch([QUESTION, QUESTION])
        return [answer.text for answer in answers]

    return LOOP.run(ask())


def tools(chat):
    """The model asks for a tool, is told its result, and goes on."""
    able = chat.bind_tools([weather])
    asks = able.invoke(WEATHER)
    results = [ToolMessage(weather.invoke(call["args"]), tool_call_id=call["id"]) for call in asks.tool_calls]
    streamed = AIMessageChunk("")
    for piece in able.stream(WEATHER):
        streamed += piece
    goes_on = able.invoke([*WEATHER, asks, *results])
    return {
        "calls": [[call["name"], call["args"]] for call in asks.tool_calls],
        "streamed": [[call["name"], call["args"]] for call in streamed.tool_calls],
        "text": goes_on.text,
    }


def structured(chat):
    made = {}
    for method in ("function_calling", "json_schema"):
        person = chat.with_structured_output(Person, method=method).invoke("Invent a person.")
        made[method] = [type(person).__name__, person.name, person.age]
    return made


def raised(error):
    """By which names a program may catch it, and its status."""
    return [[kind.__name__ for kind in type(error).__mro__], getattr(error, "status_code", None)]


def failing(url, key):
    """What each kind of client raises, and with which status."""
    told = {}
    for name, chat in chats(url, key).items():
        for kind, wrong in (("model", {"model": "client-none"}), ("temperature", {"temperature": 77.0})):
            try:
                chat.bind(**wrong).invoke(QUESTION)
            except Exception as error:
                told[f"{name} {kind}"] = raised(error)
    for name, chat in chats(url, "sk-sb-nobody").items():
        try:
            chat.invoke(QUESTION)
        except Exception as error:
            told[f"{name} key"] = raised(error)
    return told


def vectors(url, key):
    # The check counts tokens by OpenAI's own tables, which it fetches.
    embedder = OpenAIEmbeddings(
        base_url=f"{url}/v1", api_key=key, model=VECTORS, check_embedding_ctx_length=False, max_retries=0
    )
    made = embedder.embed_documents(["a lease", "a fence"])
    return {"count": len(made), "same": embedder.embed_query("a lease") == made[0], "size": len(made[0])}


def main():
    url, key = sys.argv[1:]
    told = {}
    for name, chat in chats(url, key).items():
        for call in (whole, streamed, awaited, tools, structured):
            try:
                told[f"{name} {call.__name__}"] = call(chat)
            except Exception as error:
                told[f"{name} {call.__name__}"] = f"{type(error).__name__}: {error}"
    told["vectors"] = vectors(url, key)
    told["failing"] = failing(url, key)
    print(json.dumps(told))


if __name__ == "__main__":
    main()
