"""Keep conversations apart with a checkpointer: the graph remembers each thread, and a follow-up finds its context."""

from langgraph.checkpoint.memory import InMemorySaver

from mollm import create_graph
from mollm.extending import Request
from mollm.llms.scripted import ScriptedLLM


def reply(request: Request) -> str:
    questions = [message["content"] for message in request.messages if message["role"] == "user"]
    return f"You have asked {len(questions)}, first: {questions[0]}"


graph = create_graph(
    {
        "llms": {"clerk": {"model": "scripted/-"}},
        "mixtures": {"desk": {"description": "Front desk.", "workers": ["clerk"]}},
    },
    llms={"clerk": ScriptedLLM(reply)},
    checkpointer=InMemorySaver(),  # any LangGraph checkpointer; the state is plain data
)

for thread, question in [("ann", "Where is room 7?"), ("ben", "Is there tea?"), ("ann", "And room 8?")]:
    state = graph.invoke({"messages": [("user", question)]}, {"configurable": {"thread_id": thread}})
    print(f"{thread}: {question} -> {state['messages'][-1].content}")
