"""Wanted beside measured: the table of `routing.py`."""

from __future__ import annotations

from typing import Any

from routing_transformer import compared

Known = dict[str, dict[str, Any]]
WANTED: list[tuple[str, str, str, str, float, str]] = [
    # what, part of --only, key, figure, bound, how it is written
    ("CLINC150, 10 domains, accuracy", "clinc150", "clinc150/10/no vectors", "accuracy", 0.978, ">= %"),
    ("the same with MiniLM", "clinc150", "clinc150/10/MiniLM", "accuracy", 0.98, ">= %"),
    ("CLINC150, 150 intents, accuracy", "clinc150", "clinc150/150/no vectors", "accuracy", 0.927, ">= %"),
    ("the same with static vectors", "clinc150", "clinc150/150/static", "accuracy", 0.935, ">= %"),
    ("the same with MiniLM", "clinc150", "clinc150/150/MiniLM", "accuracy", 0.953, ">= %"),
    ("out of scope, 150 intents, recall", "clinc150", "clinc150/150/no vectors", "recall", 0.83, ">= %"),
    ("the same, AUROC", "clinc150", "clinc150/150/no vectors", "auroc", 0.96, ">= ."),
    ("static vectors, recall", "clinc150", "clinc150/150/static", "recall", 0.86, ">= %"),
    ("static vectors, AUROC", "clinc150", "clinc150/150/static", "auroc", 0.967, ">= ."),
    ("MiniLM, recall", "clinc150", "clinc150/150/MiniLM", "recall", 0.91, ">= %"),
    ("MiniLM, AUROC", "clinc150", "clinc150/150/MiniLM", "auroc", 0.98, ">= ."),
    ("out of scope, 10 domains, recall", "clinc150", "clinc150/10/no vectors", "recall", 0.84, ">= %"),
    ("the same, AUROC", "clinc150", "clinc150/10/no vectors", "auroc", 0.96, ">= ."),
    ("MiniLM, recall", "clinc150", "clinc150/10/MiniLM", "recall", 0.89, ">= %"),
    ("MiniLM, AUROC", "clinc150", "clinc150/10/MiniLM", "auroc", 0.975, ">= ."),
    ("BANKING77, accuracy", "banking77", "banking77/no vectors", "accuracy", 0.914, ">= %"),
    ("the same with static vectors", "banking77", "banking77/static", "accuracy", 0.93, ">= %"),
    ("the same with MiniLM", "banking77", "banking77/MiniLM", "accuracy", 0.94, ">= %"),
    ("10 examples an intent, CLINC150, static vectors", "few", "few/clinc150/static", "accuracy", 0.85, ">= %"),
    ("the same with MiniLM", "few", "few/clinc150/MiniLM", "accuracy", 0.905, ">= %"),
    ("10 examples an intent, BANKING77, static vectors", "few", "few/banking77/static", "accuracy", 0.80, ">= %"),
    ("the same with MiniLM", "few", "few/banking77/MiniLM", "accuracy", 0.845, ">= %"),
    ("calibration error, 10 domains", "calibration", "clinc150/10/no vectors", "calibration_error", 0.01, "<= ."),
    ("calibration error, 150 intents", "calibration", "clinc150/150/no vectors", "calibration_error", 0.02, "<= ."),
    ("p50 of a question / scikit-learn's", "speed", "speed/no vectors", "ratio", 0.5, "<= ."),
    ("the same with static vectors", "speed", "speed/static", "ratio", 1.0, "<= ."),
    ("15,000 examples, 150 intents: CPU of the fit / before", "memory", "memory", "ratio", 0.55, "<= ."),
    ("the same, peak memory in MB", "memory", "memory", "now_mb", 600.0, "<= 0"),
]
FIGURES = {
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "calibration_error": "calibration error",
    "coverage_90": "accuracy at 90 % coverage",
    "coverage_area": "area",
    "auroc": "AUROC",
    "recall": "recall",
    "false_alarms": "false alarms",
    "kept": "kept and right",
    "own_recall": "recall, own thresholds",
    "own_false_alarms": "false alarms, own thresholds",
    "fit_cpu_s": "fit, CPU s",
}


SEMANTIC = {
    "accuracy_of_all": "accuracy",
    "calibration_error": "calibration error",
    "accuracy_of_ninth": "accuracy, every ninth",
    "peer_accuracy_of_ninth": "semantic-router",
    "auroc_of_ninth": "AUROC, every ninth",
    "peer_auroc_of_ninth": "semantic-router",
    "cpu_ms": "CPU ms a question",
    "peer_cpu_ms": "semantic-router",
    "time_ratio": "ratio",
}


def table(known: Known) -> str:
    """Wanted beside measured, then every figure of every router."""
    lines = ["| what | `--only` | wanted | measured | met |", "|---|---|---:|---:|---|"]
    for what, part, key, figure, bound, how in WANTED:
        found = _figure(known.get(key, {}), figure)
        sign, form = how.split()
        met = "-" if found is None else ("yes" if (found >= bound if sign == ">=" else found <= bound) else "no")
        lines.append(f"| {what} | {part} | {sign} {_written(bound, form)} | {_written(found, form)} | {met} |")
    lines += compared(known)
    routers = [key for key in known if "accuracy" in known[key]]
    lines += ["", "| router | " + " | ".join(FIGURES.values()) + " | doubts by |"]
    lines.append("|---|" + "---:|" * len(FIGURES) + "---|")
    for key in routers:
        figures = [known[key].get(name) for name in FIGURES]
        cells = " | ".join(
            "" if f is None else f"{f:.1f}" if n == "fit_cpu_s" else f"{f:.4f}"
            for n, f in zip(FIGURES, figures, strict=True)
        )
        lines.append(f"| {key} | {cells} | {known[key].get('score', '')} |")
    semantic = {key: entry for key, entry in known.items() if "accuracy_of_all" in entry}
    if semantic:
        lines += ["", "| router `semantic` | " + " | ".join(SEMANTIC.values()) + " |"]
        lines.append("|---|" + "---:|" * len(SEMANTIC))
        for key, entry in semantic.items():
            cells = " | ".join(f"{entry[name]:.4f}" if name in entry else "" for name in SEMANTIC)
            lines.append(f"| {key.removeprefix('semantic/')} | {cells} |")
    for key, entry in known.items():
        if key.startswith(("speed", "memory")) or "failed" in entry:
            lines += [
                "",
                f"{key}: "
                + ", ".join(f"{n} {v:.3f}" if isinstance(v, float) else f"{n} {v}" for n, v in entry.items()),
            ]
    return "\n".join(lines)


def _figure(entry: dict[str, Any], name: str) -> float | None:
    if name == "now_mb":
        return entry["now_mib"] * 2**20 / 1e6 if "now_mib" in entry else None
    found = entry.get(name)
    return None if found is None else float(found)


def _written(value: float | None, form: str) -> str:
    if value is None:
        return "not measured"
    return {"%": f"{value:.2%}", ".": f"{value:.3f}", "0": f"{value:.0f}"}[form]
