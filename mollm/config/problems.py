"""What is wrong, or doubtful, about a configuration whose shape is right.

Names that clash or lead nowhere, numbers that cannot be met, keys that have no effect.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

from mollm.config.addresses import ProxyURL
from mollm.config.arms import CURRENT
from mollm.config.calibration_problems import calibration_problems
from mollm.config.comparing_problems import comparing_problems
from mollm.config.effect_problems import effect_problems
from mollm.config.embedder_problems import embedder_problems
from mollm.config.files import looks_like_file_name, named_path
from mollm.config.hosts import ANY
from mollm.config.keys import key_problem
from mollm.config.mixtures import METHODS
from mollm.config.names import NAME, NAMING, PANEL, RESERVED_NAMES
from mollm.config.places import MAX_DEPTH
from mollm.config.privacy_problems import privacy_problems, privacy_warnings
from mollm.config.problem import LLMS, MIXTURES, Problem, nearest, one_of, refusal, unknown_llm
from mollm.config.router_problems import needs_no_examples, router_problems
from mollm.config.variables import expand, missing_variables, variables_in
from mollm.options import COUNTED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mollm.config.api_keys import KeyConfig
    from mollm.config.config import Config
    from mollm.config.llms import LLMConfig
    from mollm.config.mixtures import MixtureConfig
    from mollm.config.places import KeyPath

KEYS: KeyPath = ("server", "api_keys")
KEY_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
NOTHING = hashlib.sha256(b"").hexdigest()


def problems(config: Config, methods: Iterable[str] = (), *, has_embedder: bool = False) -> Iterator[Problem]:
    """Find what the shape alone does not show; `methods` are aggregators beside the built-in ones."""
    yield from _name_problems(config)
    yield from _llm_problems(config)
    yield from _arm_problems(config, ("router", "arms"), config.router.arms)
    yield from router_problems(config, has_embedder=has_embedder)
    if config.embeddings:
        yield from embedder_problems(("embeddings",), config.embeddings)
    yield from privacy_problems(config)
    yield from _key_problems(config.server.api_keys)
    yield from mixture_problems(config, methods)


def mixture_problems(config: Config, methods: Iterable[str] = ()) -> Iterator[Problem]:
    """Find what is wrong with the mixtures; `methods` as for `problems`."""
    for name, mixture in config.mixtures.items():
        yield from _reference_problems(config, name, mixture)
        yield from _count_problems(name, mixture)
        yield from effect_problems(name, mixture)
        yield from calibration_problems(name, mixture)
        yield from _arm_problems(config, (*MIXTURES, name, "arms"), mixture.arms)
        yield from _choice_problems(config, name, mixture)
        yield from comparing_problems(config, name, mixture)
        yield from _method_problems(name, mixture, [*METHODS, *(method for method in methods if method not in METHODS)])


def _name_problems(config: Config) -> Iterator[Problem]:
    for section, names in ((LLMS, config.llms), (MIXTURES, config.mixtures)):
        for name in names:
            if not NAME.fullmatch(name):
                yield Problem((*section, name), f"a name is {NAMING}", [section])
            if name in RESERVED_NAMES:
                owner = "panels of one request" if name == PANEL else "the router"
                yield Problem((*section, name), f"the name {name!r} is reserved for {owner}", [section])
    for name in config.mixtures:
        if name in config.llms:
            text = f"an LLM has the name {name!r} too; LLMs and mixtures share one namespace"
            yield Problem((*MIXTURES, name), text, [LLMS, MIXTURES])


def _llm_problems(config: Config) -> Iterator[Problem]:
    for name, llm in config.llms.items():
        key = (*LLMS, name)
        client = [(*key, "model"), (*key, "client"), (*key, "api_base")]
        if llm.kind == "openai_compatible" and not llm.api_base:
            yield Problem(key, f"{llm.model!r} needs an api_base", client)
        if llm.kind != "openai_compatible" and len(llm.api_base or ()) > 1:
            yield Problem((*key, "api_base"), f"the client {llm.kind} takes one address, not several", client)
        yield from _address_problems(key, llm, client)
        yield from _extra_problems((*key, "extra_body"), llm.extra_body)
        headers = (*key, "headers")
        if llm.headers and llm.kind in ("local", "replay", "scripted"):
            yield Problem(headers, f"{llm.model!r} is not called by HTTP, so it has no headers", [*client, headers])
        if llm.api_key and any(name.lower() == "authorization" for name in llm.headers):
            text = "`api_key` is sent as Authorization too; leave one of them out"
            yield Problem(headers, text, [headers, (*key, "api_key")])
        if llm.kind != "replay" and llm.pace:
            pace = (*key, "pace")
            yield Problem(pace, "only recorded answers (replay/...) have a pace", [*client, pace])


def _address_problems(key: KeyPath, llm: LLMConfig, client: Sequence[KeyPath]) -> Iterator[Problem]:
    """Addresses and a key that cannot be used; those with variables are read when the LLM is built."""
    for index, address in enumerate(llm.api_base or ()):
        where = (*key, "api_base", index) if len(llm.api_base or ()) > 1 else (*key, "api_base")
        if not variables_in(address) and (text := refusal(llm.base_url, address)):
            yield Problem(where, f"the address {text}", [*client, where])
    if (
        llm.api_key
        and not variables_in(secret := llm.api_key.get_secret_value())
        and (text := key_problem(secret.strip()))
    ):
        yield Problem((*key, "api_key"), f"the key {text}", [(*key, "api_key")])
    if llm.proxy:
        proxy, secret = (*key, "proxy"), llm.proxy.get_secret_value()
        if secret.strip() and not variables_in(secret) and (text := refusal(ProxyURL.parse, secret)):
            yield Problem(proxy, f"the address {text}", [proxy])
        if llm.kind not in ("openai_compatible", "langchain-openai"):
            text = f"the client {llm.kind} takes no proxy; `openai_compatible` and `langchain-openai` do"
            yield Problem(proxy, text, [proxy, *client])


def _extra_problems(key: KeyPath, extra_body: Mapping[str, Any]) -> Iterator[Problem]:
    if taken := sorted(COUNTED & extra_body.keys()):
        text = f"cannot set {', '.join(taken)}: limits count them, and they have keys or options of their own"
        yield Problem(key, text, [key])
    yield from _json_problems(key, extra_body)


def _json_problems(key: KeyPath, value: Any) -> Iterator[Problem]:
    """What JSON does not have: YAML reads `2024-01-01` as a date."""
    if len(key) > MAX_DEPTH:
        yield Problem(key, f"is nested more than {MAX_DEPTH} levels deep", [key])
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            if isinstance(name, str):
                yield from _json_problems((*key, name), inner)
            else:
                yield Problem(key, f"the name {name!r} is no text", [key])
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _json_problems((*key, index), inner)
    elif isinstance(value, date):
        yield Problem(key, "YAML reads this as a date, which JSON does not have; put it in quotes", [key])
    elif isinstance(value, float) and not math.isfinite(value):
        yield Problem(key, f"{value} is no number in JSON", [key])
    elif not isinstance(value, str | int | float | None):
        yield Problem(key, f"JSON has no {type(value).__name__}", [key])


def _key_problems(keys: Sequence[KeyConfig]) -> Iterator[Problem]:
    """Which keys are the same shows when their variables are filled in."""
    first: dict[str, int] = {}
    for number, key in enumerate(keys):
        where = (*KEYS, number)
        name, sha256 = (*where, "name"), (*where, "sha256")
        if not KEY_NAME.fullmatch(key.name):
            yield Problem(name, "a name is 1 to 64 letters, digits and any of '._-'", [name])
        elif first.setdefault(key.name, number) != number:
            twin = (*KEYS, first[key.name], "name")
            also = f"server.api_keys[{first[key.name]}] has the name {key.name!r} too"
            yield Problem(name, f"{also}; a key without a name is called by its place", [KEYS, name, twin])
        if (key.key is None) == (key.sha256 is None):
            yield Problem(where, "needs either `key` or `sha256`", [(*where, "key"), sha256])
        if key.sha256 is not None and not re.fullmatch(r"[0-9A-Fa-f]{64}", key.sha256):
            text = 'must be 64 hexadecimal digits; `printf %s "$KEY" | sha256sum` prints them'
            yield Problem(sha256, text, [sha256])
        elif key.sha256 is not None and key.sha256.lower() == NOTHING:
            yield Problem(sha256, "is that of an empty text; was the variable set when it was made?", [sha256])


def _reference_problems(config: Config, name: str, mixture: MixtureConfig) -> Iterator[Problem]:
    used: list[tuple[KeyPath, str | None]] = [
        (("workers", "choose", "from", index) if mixture.choose else ("workers", index, "llm"), worker.llm)
        for index, worker in enumerate(mixture.listed)
    ]
    used += [(("workers", "choose", "llm"), mixture.choose.llm)] if mixture.choose else []
    used += [(("aggregator", "llm"), mixture.aggregator.llm)]
    used += [(("aggregator", "fallback_llm"), mixture.aggregator.fallback_llm)]
    used += [(("tools_llm",), mixture.tools_llm)]
    for index, worker in enumerate(mixture.listed):
        yield from _extra_problems((*MIXTURES, name, "workers", index, "extra_body"), worker.extra_body)
        if worker.system and looks_like_file_name(worker.system):
            key = (*MIXTURES, name, "workers", index, "system")
            yield Problem(key, "is the message itself, and this looks like a file name; `prompt` takes a file", [key])
    reported = set()
    for key, llm in used:
        if llm is not None and llm not in config.llms and llm not in reported:
            reported.add(llm)
            where = (*MIXTURES, name, *key)
            yield unknown_llm(where, llm, config.llms)


def _count_problems(name: str, mixture: MixtureConfig) -> Iterator[Problem]:
    planned, enough = mixture.planned, mixture.enough or mixture.planned
    workers = (*MIXTURES, name, "workers")
    samples: list[KeyPath] = [(*workers, index, "samples") for index in range(len(mixture.listed))]
    votes = 2 if mixture.majority else mixture.votes
    agreed = votes or enough
    least = (agreed, "`agree`") if agreed < enough else (enough, "`enough`")
    bounds = (
        ("enough", enough, planned, "the planned proposals"),
        # Agreement ends a layer, so it must not end one that is too small.
        ("quorum", mixture.quorum, *least),
        ("agree", votes or 0, enough, "`enough`" if mixture.enough else "the planned proposals"),
        ("ask_first", 0 if mixture.ask_first == "all" else mixture.ask_first, planned, "the planned proposals"),
    )
    for field, value, most, what in bounds:
        if value > most:
            key = (*MIXTURES, name, field)
            yield Problem(key, f"{value} is more than {what} ({most})", [key, workers, *samples])


def _arm_problems(config: Config, key: KeyPath, arms: Mapping[str, float]) -> Iterator[Problem]:
    """Arms that lead nowhere; whether the folder of a router holds one shows when it is read."""
    if arms and CURRENT not in arms:
        text = f"the share of `{CURRENT}`, which is what stands here without arms, is missing; it may be 0"
        yield Problem(key, text, [key])
    for arm in arms if key[0] == "router" else ():
        if not arm or not arm.isprintable():
            yield Problem((*key, arm), "an arm has the name of its folder, a trained router's", [key])
    if key[0] == "router" and len({named_path(arm) for arm in arms}) < len(arms):
        yield Problem(key, "two arms are the same folder", [key])
    for arm in arms if key[0] == "mixtures" else ():
        where = (*key, arm)
        if arm == key[1]:
            yield Problem(where, f"this mixture itself stands under `{CURRENT}`", [where])
        elif arm != CURRENT and arm not in config.mixtures:
            near = nearest(arm, [CURRENT, *config.mixtures])
            yield Problem(where, f"no mixture {arm!r}{near}", [where, MIXTURES])


def _choice_problems(config: Config, name: str, mixture: MixtureConfig) -> Iterator[Problem]:
    choose, key = mixture.choose, (*MIXTURES, name, "workers", "choose")
    if choose is None:
        return
    most, among, by = (*key, "most"), (*key, "from"), (*key, "by")
    if choose.most > len(choose.candidates):
        yield Problem(
            most, f"{choose.most} is more than there are to pick `from` ({len(choose.candidates)})", [most, among]
        )
    for llm in dict.fromkeys(llm for llm in choose.candidates if choose.candidates.count(llm) > 1):
        yield Problem(among, f"{llm!r} stands here twice; a worker is picked once", [among])
    if choose.by == "predicted":
        if choose.path is None:
            text = "is required: the folder of a chooser that `mollm train chooser` made"
            yield Problem((*key, "path"), text, [(*key, "path"), by])
        foreign = ["llm"]
    else:
        if choose.llm is None and not config.router_llms:
            yield Problem((*key, "llm"), "is required: the LLM that picks, since no router asks one", [by, ("router",)])
        foreign = ["path", "quality_weight"]
    for field in foreign:
        if field in choose.model_fields_set:
            text = f"has no effect where workers are picked by {choose.by!r}"
            yield Problem((*key, field), text, [(*key, field), by])


def _method_problems(name: str, mixture: MixtureConfig, methods: Sequence[str]) -> Iterator[Problem]:
    if mixture.aggregator.method not in methods:
        key = (*MIXTURES, name, "aggregator", "method")
        yield Problem(key, f"must be {one_of(methods)}", [key])


def warnings(config: Config) -> Iterator[str]:
    """Find what can be used as it stands, but is probably not meant so."""
    for key, names in (("origins", config.server.origins), ("hosts", config.server.hosts)):
        if ANY in names and not config.server.api_keys:
            text = "without `api_keys`, any page that is open in a browser on this machine may ask"
            yield f"{config.place('server', key)}: {text}"
    for number, listed in enumerate(config.server.api_keys):
        if listed.key is not None and not variables_in(listed.key.get_secret_value()):
            text = "a key in the file; write ${VARIABLE} instead, or the key's `sha256`"
            yield f"{config.place('server', 'api_keys', number)}: {text}"
    if config.feedback.kind == "none":
        tests = [("mixtures", name, "arms") for name, mixture in config.mixtures.items() if mixture.arms]
        for where in [("router", "arms")] * bool(config.router.arms) + tests:
            yield f"{config.place(*where)}: without `feedback` nobody learns what comes of each arm"
    yield from privacy_warnings(config)
    for name, llm in config.llms.items():
        yield from _llm_warnings(config, name, llm)
        if name not in config.used_llms and not config.server.panels:
            yield f"{config.place('llms', name)}: no mixture uses this LLM"
    for name, mixture in config.mixtures.items():
        place = config.place("mixtures", name)
        if name == config.fallback or name in config.standing_in:
            pass
        elif config.router_kind == "fixed":
            yield f"{place}: the fixed router never picks it; it can be asked by name"
        elif not mixture.examples and not any(map(needs_no_examples, config.router_sections)):
            yield f"{place}: without `examples` the router never picks it; only by name"
        if mixture.ask_first != "all" and mixture.agree is None and mixture.enough is None:
            yield f"{config.place('mixtures', name, 'ask_first')}: without `agree` or `enough` all are asked in the end"


def _llm_warnings(config: Config, name: str, llm: LLMConfig) -> Iterator[str]:
    key = llm.api_key.get_secret_value() if llm.api_key is not None else None
    if key is not None and not missing_variables(key):
        if not expand(key, "").strip():
            yield f"{config.place('llms', name, 'api_key')}: the key is empty, so none is sent"
        elif not variables_in(key):
            yield f"{config.place('llms', name, 'api_key')}: a key in the file; write ${{VARIABLE}} instead"
    place = config.place("llms", name, "api_base")
    if llm.api_base and llm.kind in ("local", "replay", "scripted"):
        yield f"{place}: nothing is called there; {llm.model!r} answers in this process"
    if llm.kind != "openai_compatible":
        return
    bases = [llm.base_url(address) for address in llm.api_base or () if not variables_in(address)]
    if len({*bases}) < len(bases):
        yield f"{place}: an address stands here twice; it is called as one"
    if any(not base.path for base in bases):
        yield f"{place}: the address has no path; most servers answer below `/v1`"
