"""Give a mixture to an agent as a tool: its model decides which questions are worth a panel."""

from langchain_core.messages import AIMessage, HumanMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition

from mollm import MoLLM

config = {
    "llms": {
        "optimist": {"model": "scripted/It holds."},
        "engineer": {"model": "scripted/It holds if the load is below 3 t."},
        "editor": {"model": "scripted/It holds up to 3 t."},
    },
    "mixtures": {
        "board": {
            "description": "Several experts, for questions on which much depends.",
            "workers": ["optimist", "engineer"],
            "aggregator": {"llm": "editor"},
        },
    },
}


def model(state: MessagesState) -> MessagesState:  # yours is `init_chat_model("...").bind_tools([board])`
    last = state["messages"][-1]
    if last.type == "human" and "bridge" in last.text:
        return {"messages": [AIMessage("", tool_calls=[{"name": "board", "args": {"question": last.text}, "id": "1"}])]}
    return {"messages": [AIMessage(last.text if last.type == "tool" else "Hello!")]}


with MoLLM(config) as mollm:
    board = mollm.as_tool("board")
    builder = StateGraph(MessagesState).add_node(model).add_node("tools", ToolNode([board]))
    agent = builder.add_edge(START, "model").add_conditional_edges("model", tools_condition).add_edge("tools", "model")
    for question in ("Good morning.", "Does the bridge hold?"):
        said = agent.compile().invoke({"messages": [HumanMessage(question)]})["messages"]
        calls = sum(message.artifact.calls for message in said if message.type == "tool")
        print(f"{question} {said[-1].text} ({calls} calls of the board)")
