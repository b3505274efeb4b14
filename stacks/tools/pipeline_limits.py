"""What CodePipeline takes at most."""

from collections.abc import Mapping

from mlplatform_constructs import ConfigurationError

MOST_STAGES = 50
MOST_ACTIONS_OF_STAGE = 50
MOST_ACTIONS = 500
"""https://docs.aws.amazon.com/codepipeline/latest/userguide/limits.html; the quotas are fixed. Since 2024 AWS accepts
twice as many actions, but its pages are inconsistent; the lower number is always valid."""


def check_limits(place: str, actions: Mapping[str, int]) -> None:
    """Refuse a pipeline that CodePipeline would not take.

    :param actions: how many actions each stage has, by its name.
    :raises ConfigurationError: with what is too many.
    """
    if len(actions) > MOST_STAGES:
        raise ConfigurationError(
            f"{place}: {len(actions)} stages, CodePipeline takes {MOST_STAGES}; put accounts into fewer waves"
        )
    for stage, count in actions.items():
        if count > MOST_ACTIONS_OF_STAGE:
            raise ConfigurationError(
                f"{place}: {count} actions in stage {stage}, CodePipeline takes {MOST_ACTIONS_OF_STAGE}; "
                "spread its accounts over more waves"
            )
    if (total := sum(actions.values())) > MOST_ACTIONS:
        raise ConfigurationError(
            f"{place}: {total} actions, CodePipeline takes {MOST_ACTIONS}; deliver some accounts by another pipeline"
        )
