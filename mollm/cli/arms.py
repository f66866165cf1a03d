"""`mollm eval arms`: what came of the routers or mixtures that share the traffic."""

from __future__ import annotations

from mollm.cli.options import ConfigOption, JsonOption  # noqa: TC001 - typer evaluates annotations


def arms(config: ConfigOption = None, json: JsonOption = False) -> None:
    """Show what people say of the answers of each arm, what these took, and whether the arms can be told apart."""
    from dataclasses import asdict

    from mollm.cli.printing.arms import print_arms
    from mollm.cli.printing.output import print_json, say
    from mollm.config.load import load_config
    from mollm.evaluation.arms import arms_tests
    from mollm.feedback.stores import opened

    store = opened(load_config(config))
    try:
        tests = arms_tests(store.entries())
    finally:
        store.close()
    if not tests:
        say("no answer that is kept took part in a test; `router.arms` and `mixtures.NAME.arms` make one")
    print_json([asdict(test) for test in tests]) if json else print_arms(tests)
