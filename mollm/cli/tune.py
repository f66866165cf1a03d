"""`mollm tune`: a mixture that is worth it, searched and confirmed on questions with references."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
import shlex
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mollm.cli.options import ConfigOption, JsonOption  # noqa: TC001 - typer reads the annotations
from mollm.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mollm.config.config import Config
    from mollm.evaluation.tuning.evidence import Source
    from mollm.evaluation.tuning.members import Member
    from mollm.evaluation.tuning.tune import Tuned

NAME = "tuned"
"""Of the mixture in a file of its own, unless an LLM has it: then with a number behind it."""


def tune(
    data: Annotated[Path, typer.Argument(help='Questions: JSON lines of {"id", "question", "reference"}.')],
    config: ConfigOption = None,
    out: Annotated[Path, typer.Option("--out", help="YAML file that is written.")] = Path("tuned.yaml"),
    into: Annotated[
        str | None,
        typer.Option("--into", metavar="NAME", help="Keep the whole file, and put the mixture in under this name."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over the file of --out.")] = False,
    replay: Annotated[
        Path | None, typer.Option("--replay", help="Folder of recorded answers; no LLM is called.", show_default=False)
    ] = None,
    llms: Annotated[
        str | None, typer.Option("--llms", metavar="A,B,C", help="Search among these LLMs. Default: all of the file.")
    ] = None,
    mixture: Annotated[
        str | None, typer.Option("--mixture", "-m", help="Search among the workers of this mixture instead.")
    ] = None,
    most: Annotated[int, typer.Option("--most", min=1, max=16, help="Members of the mixture at most.")] = 8,
    calls_at_most: Annotated[
        float | None, typer.Option("--calls-at-most", min=1, help="Calls per question, on average.")
    ] = None,
    cost_at_most: Annotated[
        float | None, typer.Option("--cost-at-most", min=0, help="USD per question, on average.")
    ] = None,
    aggregators: Annotated[
        str | None,
        typer.Option(
            "--aggregators",
            metavar="A,B",
            help="Also ask what is found with the best LLM as aggregator: synthesize, best, vote (writes where no two "
            "agree). Not with --replay.",
        ),
    ] = None,
    calls: Annotated[int | None, typer.Option("--calls", min=1, help="Calls that tuning may make.")] = None,
    cost: Annotated[float | None, typer.Option("--cost", min=0, help="USD that tuning may spend.")] = None,
    concurrency: Annotated[int, typer.Option("--concurrency", min=1, help="Questions at once.")] = 8,
    limit: Annotated[int | None, typer.Option("--limit", min=2, help="Only the first so many questions.")] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the halves.")] = 0,
    json: JsonOption = False,
) -> None:
    """Search the mixture that is worth it, confirm it on other questions, and write it; or the best LLM alone."""
    from mollm.cli.printing.output import print_json
    from mollm.cli.printing.tuning import print_tuned, to_plain
    from mollm.config.load import load_config
    from mollm.evaluation.mixtures.rows import read_rows
    from mollm.evaluation.mixtures.scores.exact import Exact
    from mollm.evaluation.tuning.aggregating import Ceiling, with_aggregators
    from mollm.evaluation.tuning.asking import ask_members, replayed
    from mollm.evaluation.tuning.evidence import Source
    from mollm.evaluation.tuning.members import members_of
    from mollm.evaluation.tuning.search import Dial
    from mollm.evaluation.tuning.tune import table_of
    from mollm.evaluation.tuning.tune import tune as tuned_of

    check_out(out, force=force)
    methods = _methods(aggregators, is_replayed=replay is not None)
    settings = load_config(config)
    if into is not None:
        check_name(into, settings)
    rows = read_rows(data)[:limit]
    asked = replayed(settings, replay) if replay else settings
    among = _recorded(members_of(settings, llms=_names(llms), mixture=mixture), asked)

    async def gathered() -> Tuned:
        # TO BE JOINED: `gathering.ask_members`, with its journal, progress and ceiling, in place of this one.
        alone = await ask_members(asked, among, rows, calls=calls, cost_usd=cost, concurrency=concurrency)
        records = [record for column in alone.values() for record in column]
        ceiling = Ceiling(calls, cost)
        ceiling.spend(len(records), sum(record.cost_usd or 0.0 for record in records))
        table, excluded = await table_of(rows, alone, Exact())
        found = tuned_of(
            table,
            most=min(most, settings.limits.calls),
            dial=Dial(calls_at_most, cost_at_most),
            seed=seed,
            excluded=excluded,
        )
        return await with_aggregators(found, methods, asked, among, rows, Exact(), ceiling, concurrency)

    found = asyncio.run(gathered())
    now = datetime.now(UTC).replace(microsecond=0).isoformat()
    digest = hashlib.sha256(data.read_bytes()).hexdigest()
    source = Source(now, str(data), digest, shlex.join(["mollm", *sys.argv[1:]]), Exact.name)
    write(out, yaml_of(found, source, settings, among, into))
    if json:
        print_json(to_plain(found, source, out))
    else:
        print_tuned(found, out)


def _names(listed: str | None) -> list[str]:
    return [name.strip() for name in (listed or "").split(",") if name.strip()]


def _methods(listed: str | None, *, is_replayed: bool) -> list[str]:
    """How the answer is to be made beside counting votes."""
    from mollm.config.mixtures import METHODS

    found = _names(listed)
    if found and is_replayed:
        raise typer.BadParameter("no recording holds what an LLM makes of proposals", param_hint="--aggregators")
    for method in found:
        if method not in METHODS:
            raise typer.BadParameter(f"{method!r} is none of {', '.join(METHODS)}", param_hint="--aggregators")
    return found


def _recorded(members: Sequence[Member], config: Config) -> list[Member]:
    """Those whose LLM there is; of the others a warning says so."""
    from mollm.cli.printing.output import say

    kept = [member for member in members if member.worker.llm in config.llms]
    if left := [member.name for member in members if member not in kept]:
        say(f"warning: no recorded answers of {', '.join(left)}, which cannot be a member")
    if not kept:
        raise DataError("there are recorded answers of none of the LLMs")
    return kept


def check_out(out: Path, *, force: bool) -> None:
    """Refuse, before anybody is asked, to write where that cannot be, or over a file.

    Raises:
        DataError: There is a file, and it is not to be written over; or no folder.
    """
    if out.exists() and not force:
        raise DataError(f"{out}: is there already; name another file by --out, or add --force")
    if not out.parent.is_dir():
        raise DataError(f"{out}: there is no folder {out.parent}")


def check_name(name: str, config: Config) -> None:
    """Refuse, before anybody is asked, a name that a mixture cannot have.

    Raises:
        typer.BadParameter: It is not one, or that of an LLM.
    """
    from mollm.config.names import NAME as FORM
    from mollm.config.names import NAMING, RESERVED_NAMES

    if not FORM.fullmatch(name) or name in RESERVED_NAMES:
        raise typer.BadParameter(f"{name!r} cannot be a mixture: a name has {NAMING}", param_hint="--into")
    if name in config.llms:
        raise typer.BadParameter(f"{name!r} is an LLM; LLMs and mixtures share one namespace", param_hint="--into")


def yaml_of(found: Tuned, source: Source, config: Config, members: Sequence[Member], into: str | None) -> str:
    """The file that is written."""
    from mollm.evaluation.tuning import yaml_text
    from mollm.evaluation.tuning.evidence import comments
    from mollm.evaluation.tuning.tune import section_of

    entries: dict[str, Any] = {member.name: member.entry for member in members}
    description = f"Tuned on {Path(source.data).name}."
    section = section_of(found, entries, description)
    above = list(comments(found, source))
    if config.path is None:
        raise DataError("a configuration that is no file cannot be written again")
    text = config.path.read_text("utf-8-sig")
    if into is not None:
        return yaml_text.into(text, into, section, above)
    free = (NAME if number == 1 else f"{NAME}-{number}" for number in itertools.count(1))
    return yaml_text.fresh(text, next(name for name in free if name not in config.llms), section, above)


def write(out: Path, text: str) -> None:
    """Write the file whole or not at all, and only if it can be loaded from where it will stand.

    Raises:
        ConfigError: It could not be loaded there, as where a prompt is named by a path from another folder.
        DataError: It cannot be written.
    """
    from mollm.cli.checks import check_config
    from mollm.cli.printing.output import say
    from mollm.config.load import load_config

    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{out.name}.", suffix=".yaml", dir=out.parent)
    except OSError as error:
        raise DataError(f"{out}: cannot be written: {error.strerror}") from error
    beside = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        load_config(beside)
        problems = check_config(beside).problems
        beside.chmod(0o644)
        beside.replace(out)
    finally:
        beside.unlink(missing_ok=True)
    for problem in problems:  # a variable that is not set here may be where it is served
        say(f"warning: {problem.replace(name, str(out))}")
