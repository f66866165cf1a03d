"""Put a mixture into a LangGraph agent of your own, as one node; nothing of the agent's state is overwritten."""

from typing import Any

from langchain_core.messages import HumanMessage
from langgraph.graph import END, START, MessagesState, StateGraph

from mollm import create_graph


class State(MessagesState):
    """The agent's own state."""

    ticket: str


def open_ticket(state: State) -> dict[str, Any]:
    return {"ticket": f"T-{len(state['messages'][-1].content)}"}


experts = create_graph(
    {
        "llms": {"mechanic": {"model": "scripted/Check the brake pads; they may be worn."}},
        "mixtures": {"car": {"description": "Cars.", "workers": ["mechanic"]}},
    }
)
builder = StateGraph(State)
builder.add_node("open_ticket", open_ticket)
builder.add_node("experts", experts)
builder.add_edge(START, "open_ticket")
builder.add_edge("open_ticket", "experts")
builder.add_edge("experts", END)

found = builder.compile().invoke({"messages": [HumanMessage("My brakes squeak.")], "ticket": ""})
for message in found["messages"]:
    print(f"{message.type}: {message.content}")
print("ticket:", found["ticket"])
