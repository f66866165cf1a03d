"""Let any LangChain chat model be a worker: name it in the configuration and hand it over as `llms=`."""

from langchain_core.language_models import FakeListChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage

from mollm import MoLLM

config = {
    # What stands under `model` is not called where an object is handed over.
    "llms": {"poet": {"model": "openai/gpt-4.1"}, "critic": {"model": "anthropic/claude-sonnet-4-5"}},
    "mixtures": {"verse": {"description": "Poems.", "workers": ["poet", "critic"], "aggregator": {"llm": "critic"}}},
}
poet = FakeListChatModel(responses=["Snow on the old bridge."])
critic = GenericFakeChatModel(
    messages=iter([AIMessage("Name the season, not the snow."), AIMessage("Winter, and the old bridge bends.")])
)

with MoLLM(config, llms={"poet": poet, "critic": critic}) as mollm:
    answer = mollm.ask("One line about winter, please.")

print(answer.text)
print("made from:", [proposal.text for proposal in answer.proposals])
