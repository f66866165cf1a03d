"""How far the training of an encoder is, as it is told."""

from __future__ import annotations

from mollm.training.course import RECENT, Course


def test_the_epoch_the_batch_and_the_time_that_is_left_are_told() -> None:
    """At the pace of all batches so far, which take 2 s and then 4 s."""
    now = iter((0.0, 2.0, 6.0, 10.0, 14.0))
    course = Course(2, 2, lambda: next(now))

    told = [course.after(loss) for loss in (1.0, 0.5, 0.0, 0.5)]

    assert told == [
        "epoch 1 of 2, batch 1 of 2, 6 s left, log loss 1.000",
        "epoch 1 of 2, batch 2 of 2, 6 s left, log loss 0.750",
        "epoch 2 of 2, batch 1 of 2, 3 s left, log loss 0.500",
        "epoch 2 of 2, batch 2 of 2, 0 s left, log loss 0.500",
    ]


def test_the_loss_is_that_of_recent_batches() -> None:
    """What was lost at the beginning is forgotten."""
    course = Course(1, 2 * RECENT, lambda: 0.0)

    told = [course.after(loss) for loss in [9.0] * RECENT + [0.25] * RECENT]

    assert told[0].endswith("log loss 9.000")
    assert told[-1].endswith("log loss 0.250")
