"""Serve mixtures where the openai SDK expects OpenAI, and ask one at once and another word by word."""

import socket
import threading

import uvicorn
from openai import OpenAI
from openai.types.chat import ChatCompletionUserMessageParam

from mollm.server import create_app

config = {
    "llms": {
        "a": {"model": "scripted/The answer is 96."},
        "b": {"model": "scripted/The answer is 96."},
        "c": {"model": "scripted/The answer is 86."},
        "poet": {"model": "scripted/Snow on the bridge, and nobody there."},
    },
    "router": {"fallback": "sums"},
    "mixtures": {
        "sums": {"description": "Sums.", "workers": ["a", "b", "c"], "aggregator": {"method": "vote"}},
        "poems": {"description": "Poems.", "workers": ["poet"]},
    },
}
# `mollm serve` does this and more; here the server is a thread, at any port that is free.
address = socket.create_server(("127.0.0.1", 0))
server = uvicorn.Server(uvicorn.Config(create_app(config), log_level="warning"))
thread = threading.Thread(target=server.run, kwargs={"sockets": [address]})
thread.start()
try:
    with OpenAI(base_url=f"http://127.0.0.1:{address.getsockname()[1]}/v1", api_key="unused") as client:
        asked = [ChatCompletionUserMessageParam(role="user", content="What is 12 * 8?")]
        raw = client.chat.completions.with_raw_response.create(model="auto", messages=asked)
        print(f"{raw.headers['x-mollm-mixture']}: {raw.parse().choices[0].message.content}")
        print(f"  {raw.headers['x-mollm-calls']} calls, agreement {raw.headers['x-mollm-agreement']}")
        for chunk in client.chat.completions.create(model="poems", messages=asked, stream=True):
            print("  chunk:", repr(chunk.choices[0].delta.content), chunk.choices[0].finish_reason or "")
finally:
    server.should_exit = True
    thread.join()
