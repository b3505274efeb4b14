"""The protection of stored data, as one value that every stack takes."""

from dataclasses import dataclass
from typing import TypedDict

from aws_cdk import RemovalPolicy
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs

from mlplatform_constructs import EncryptionKeys

_RETENTION = {
    30: logs.RetentionDays.ONE_MONTH,
    60: logs.RetentionDays.TWO_MONTHS,
    90: logs.RetentionDays.THREE_MONTHS,
    180: logs.RetentionDays.SIX_MONTHS,
    365: logs.RetentionDays.ONE_YEAR,
    731: logs.RetentionDays.TWO_YEARS,
    1827: logs.RetentionDays.FIVE_YEARS,
    3653: logs.RetentionDays.TEN_YEARS,
}


class LogOptions(TypedDict):
    """How a construct of the library keeps its logs, by the names of its arguments."""

    log_encryption_key: kms.IKey
    log_retention: logs.RetentionDays


@dataclass(frozen=True)
class DataProtection:
    """Encryption keys, retention of logs, and removal policy of an account.

    :param keys: the account's keys. Stacks in other Regions have their own keys.
    :param removal_policy: removal policy of all resources with data.
    :param log_days: retention of logs in days, one of the values in an account file.
    """

    keys: EncryptionKeys
    removal_policy: RemovalPolicy
    log_days: int

    @property
    def deletion_protection(self) -> bool:
        """Whether AWS refuses to delete what holds data."""
        return self.removal_policy is RemovalPolicy.RETAIN

    @property
    def log_retention(self) -> logs.RetentionDays:
        """The CDK's name for ``log_days``."""
        return log_retention(self.log_days)

    @property
    def logs(self) -> LogOptions:
        """Arguments of a construct that writes logs."""
        return {"log_encryption_key": self.keys.logs, "log_retention": self.log_retention}


def log_retention(days: int) -> logs.RetentionDays:
    """The CDK's name for a number of days."""
    return _RETENTION[days]
