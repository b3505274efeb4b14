"""What CodePipeline takes at most."""

from collections.abc import Mapping

MOST_STAGES = 50
MOST_ACTIONS_OF_STAGE = 50
MOST_ACTIONS = 500
"""https://docs.aws.amazon.com/codepipeline/latest/userguide/limits.html; the quotas are fixed. AWS has taken twice as
many actions since 2024, of which its pages do not tell the same everywhere: the lower figure holds in any case."""


def check_limits(place: str, actions: Mapping[str, int]) -> None:
    """Refuse a pipeline that CodePipeline would not take.

    :param actions: how many actions each stage has, by its name.
    :raises ValueError: with what is too many.
    """
    if len(actions) > MOST_STAGES:
        raise ValueError(
            f"{place}: {len(actions)} stages, CodePipeline takes {MOST_STAGES}; put accounts into fewer waves"
        )
    for stage, count in actions.items():
        if count > MOST_ACTIONS_OF_STAGE:
            raise ValueError(
                f"{place}: {count} actions in stage {stage}, CodePipeline takes {MOST_ACTIONS_OF_STAGE}; "
                "spread its accounts over more waves"
            )
    if (total := sum(actions.values())) > MOST_ACTIONS:
        raise ValueError(
            f"{place}: {total} actions, CodePipeline takes {MOST_ACTIONS}; deliver some accounts by another pipeline"
        )
