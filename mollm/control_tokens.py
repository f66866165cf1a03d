"""Control tokens of chat templates in a text that an LLM wrote: changed so that to the next LLM they are text.

Servers such as vLLM and llama.cpp tokenize a whole conversation as one text, and `<|im_end|>` in a message then ends
the turn as the template's own does. What an LLM or a tool wrote must not do that to the next LLM, so a space goes
behind the first character, `< |im_end|>`: readable, no token of any vocabulary, and nothing that Unicode
normalization or stripping would undo. What matters are the shapes that vocabularies use, rather than lists of each.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mollm.messages import text_of, tokens_at_most

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mollm.types import Message, Question

_ANGLED = (
    r'\|[\w/"▁][^\s<>]{0,63}',  # <|im_end|>: ChatML, Llama 3, Phi, GPT-OSS, Command R, ...; <|turn>: Gemma 4
    r'[\w/"▁][^\s<>|]{0,63}\|',  # <turn|>
    r"</?SYS>",  # Llama 2
    r"\[(?:(?:begin|end)[_▁]of[_▁]sentence|fim-\w{1,16}|\w{1,32}_never_used\w{0,64})\]",  # Seed-Coder
)
"""What is between `<` and `>` in a token."""
_NAMED = (
    r"s|AI|用户|role|image|PRE|MID|SUF",  # <s>: Llama 2, Mistral; MiniCPM, Ling, LLaVA, CodeLlama
    r"(?i:(?:[bes]o[acdehmprst]|pad|unk|mask|sep|cls|bot)(?:_token)?|filename|(?:start|end)oftext)",  # <bos>, <sop>
    r"(?i:start|begin|beginning|end)_(?:of_\w{1,32}|turn|text|role|message|header\w{0,3})",  # <start_of_turn>: Gemma
    r"(?:im|image|vision|video|audio|patch|quad|box|object_ref)_(?:start|end|begin|sep|pad|patch|token|soft_token)",
    r"IMG_CONTEXT|fake_token_around_image",  # InternVL, SmolVLM
    r"(?:jupyter|commit|issue)_(?:start|text|code|script|output|before|after|msg|comment|closed)",
    r"(?:file|repo)_?(?:sep|name)|gh_stars|empty_output",  # StarCoder
    r"(?i:unused|reserved|special|tokens_unused|(?:special|reserved|reserved_special)_token|extra|extra_id|loc|seg)_?"
    r"\d{1,5}",  # Gemma, Baichuan, Nemotron, InternLM, T5
    r"(?:seed|minimax):(?:bos|eos|pad|sep)\w{0,32}",  # Seed
    r"longcat_\w{1,32}|_(?:user|bot|system|start|end)|\w{1,8}\|LLM-jp",  # LongCat, TeleChat, LLM-jp
    r"(?i:fim)[_-](?i:prefix|suffix|middle|pad)",  # <fim-prefix>: SantaCoder; <FIM_PREFIX>: Yuan
)
"""The same, where `/` may stand in front of it."""
_BRACKETED = (
    r"INST|SYS|IMG|AUDIO|ARGS|REF|PREFIX|MIDDLE|SUFFIX|BOS|EOS|PAD|UNK|CLS|SEP|[gs]?MASK",  # Mistral, GLM
    r"(?:SYSTEM_PROMPT|MODEL_SETTINGS|AVAILABLE_TOOLS|TOOL_(?:CALLS?|RESULTS?|CONTENT)|CALL_ID)",  # Mistral
    r"(?:IMG_(?:BREAK|END)|BEGIN_AUDIO|(?:NEXT|REPEAT)_AUDIO_TEXT|STREAMING_(?:PAD|WORD))",  # Mistral
    r"TRANSCRIBE|EOT|(?:start|end)_header_id",  # Voxtral, Kimi
    r"(?:control_|unused|UNUSED_TOKEN_|REFERENCE_DOC_)\d{1,5}",  # Mistral, EXAONE, InternLM
    r"\|[A-Za-z_/]{3,32}\|",  # [|user|]: EXAONE
)
"""What is between `[` and `]`."""
_OTHERS = (
    r"<(?=/?\uff5c[\w▁/])|\uff5c(?=DSML\uff5c)",  # DeepSeek, Hunyuan, with full-width bars: also around attributes
    r"\](?=~!?b[\[\]])|\[(?=e~\[)",  # ]~b]user ... [e~[: MiniMax
    r">(?=>[A-Z]{3,16}<<)",  # >>QUESTION<<: Falcon
)
_NAMED_MARKUP = (
    r"(?i:think|tools?|tool_?calls?|tool_?responses?|tool_?results?|available_tools|arg_key|arg_value)",
    r"(?:seed|minimax):\w{1,32}",
)
_BRACKETED_MARKUP = (r"THINK",)
"""What parts thoughts and calls from a text: a client and a template may need it in an assistant's own turn."""


def _pattern(named: Iterable[str], bracketed: Iterable[str]) -> re.Pattern[str]:
    # The first look is a short one: `a < b`, `xs[i]` and `<div class="x">` are passed over at once.
    angled = "|".join((*_ANGLED, rf"/?(?=[\w:|-]{{1,40}}>)(?:{'|'.join(named)})"))
    brackets = rf"\[(?=[A-Z/|gscue][\w/|]{{1,40}}\])(?=/?(?:{'|'.join(bracketed)})\])"
    return re.compile("|".join((f"<(?=(?:{angled})>)", brackets, *_OTHERS)))


_TURNS = _pattern(_NAMED, _BRACKETED)
_ALL = _pattern((*_NAMED, *_NAMED_MARKUP), (*_BRACKETED, *_BRACKETED_MARKUP))
_DISGUISED = re.compile(
    r"[<\ufe64\uff1c](?=([^\s<>\ufe64\ufe65\uff1c\uff1e]{1,66}[>\ufe65\uff1e]))"
    r"|[\[\ufe47\uff3b](?=([^\s\[\]\ufe47\ufe48\uff3b\uff3d]{1,66}[\]\ufe48\uff3d]))"
)
"""What may be a token to a tokenizer that normalizes its text, as many of SentencePiece do."""


def without_control_tokens(text: str, *, keeps_markup: bool = False) -> str:
    """Return `text` with a space behind the first character of everything that a chat template may take for its own.

    What holds no such token comes back as it is, so doing it twice changes nothing more. No part of the result is a
    token either, also where it is cut or normalized afterwards.

    Args:
        text: By an LLM or a tool.
        keeps_markup: Leave what marks thoughts and calls of tools, `<think>` and the like, which ends no turn.
    """
    pattern = _TURNS if keeps_markup else _ALL
    text = pattern.sub(r"\g<0> ", text)
    if text.isascii():
        return text

    def parted(found: re.Match[str]) -> str:
        first, rest = found[0], found[1] or found[2]
        is_token = not rest.isascii() or first not in "<["
        return f"{first} " if is_token and pattern.match(unicodedata.normalize("NFKC", first + rest)) else first

    return _DISGUISED.sub(parted, text)


_WRITTEN = ("content", "reasoning_content", "reasoning", "refusal")
"""Fields of an assistant's message that an LLM reads as text."""


def with_plain_turns(question: Question) -> Question:
    """Take control tokens out of the assistant's turns, which another LLM may have written; thoughts stay marked.

    What the user wrote, what tools were called with and what they returned stays as it is. So does a turn that nobody
    followed: it is the beginning of an answer, which the client wrote to have it continued.
    """
    last = max((at for at, message in enumerate(question.messages) if message.get("role") != "assistant"), default=0)
    messages = tuple(
        _plain_turn(message) if message.get("role") == "assistant" and at < last else message
        for at, message in enumerate(question.messages)
    )
    changed = [(old, new) for old, new in zip(question.messages, messages, strict=True) if old is not new]
    if not changed:
        return question
    more = sum(_tokens(new) - _tokens(old) for old, new in changed)
    return replace(question, messages=messages, tokens=question.tokens + more)


def _plain_turn(message: Message) -> Message:
    found = {key: _plain(message[key]) for key in _WRITTEN if message.get(key)}
    return {**message, **found} if any(message[key] != value for key, value in found.items()) else message


def _plain(content: Any) -> Any:
    if isinstance(content, str):
        return without_control_tokens(content, keeps_markup=True)
    if isinstance(content, list):
        return [_plain(part) for part in content]
    if isinstance(content, dict):  # a thought among the parts is signed, and has to stay as it is
        return {**content, **{key: _plain(content[key]) for key in ("text", "refusal") if content.get(key)}}
    return content


def _tokens(message: Message) -> int:
    return sum(tokens_at_most(text_of(message.get(key))) for key in _WRITTEN)
