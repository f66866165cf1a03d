"""Use tools: a request with tools goes to one LLM of the mixture, unchanged, and its tool calls come back unchanged."""

from mollm import MoLLM
from mollm.extending import Request
from mollm.llms.scripted import Reply, ScriptedLLM

tools = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
config = {
    "llms": {"a": {"model": "scripted/-"}, "b": {"model": "scripted/-"}, "boss": {"model": "scripted/-"}},
    "mixtures": {"travel": {"description": "Travel.", "workers": ["a", "b"], "aggregator": {"llm": "boss"}}},
}


def boss(request: Request) -> Reply:
    """Wants the tool first, and then reads what it brought."""
    if request.messages[-1]["role"] == "tool":
        return Reply(f"It is {request.messages[-1]['content']} in Oslo. Take a coat.")
    return Reply(message={"role": "assistant", "content": None, "tool_calls": [call]}, finish_reason="tool_calls")


llms = {"a": ScriptedLLM("-"), "b": ScriptedLLM("-"), "boss": ScriptedLLM(boss)}
conversation = [{"role": "user", "content": "What do I wear in Oslo?"}]

with MoLLM(config, llms=llms) as mollm:
    answer = mollm.ask(conversation, tools=tools)
    wanted = answer.message["tool_calls"][0]
    print(f"wants {wanted['function']['name']}({wanted['function']['arguments']})")
    conversation += [answer.message, {"role": "tool", "tool_call_id": wanted["id"], "content": "2 degrees"}]
    print(mollm.ask(conversation, tools=tools).text)

print("workers called:", len(llms["a"].requests) + len(llms["b"].requests))
