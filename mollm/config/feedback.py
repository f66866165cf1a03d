"""What a configuration may say about feedback: whether answers are kept for it, where, and for how long."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mollm.config.fields import Section

FEEDBACK_FILE = "mollm-feedback.sqlite"
LONGEST_DAYS = 36_500


class FeedbackConfig(Section):
    """Answers that are kept so that people can rate them; never sent anywhere."""

    kind: Literal["none", "sqlite"] = Field("none", description="`sqlite`: keep answers in a file; `none`: keep none.")
    path: str = Field(FEEDBACK_FILE, min_length=1, description="The file, relative to this one.")
    keep: Literal["questions", "all"] = Field(
        "questions",
        description="`questions`: each question with its route, mixture and answer; `all`: every proposal as well.",
    )
    days: int = Field(90, ge=1, le=LONGEST_DAYS, description="After so many days an answer is deleted.")
