from aws_cdk import aws_logs as logs

from config.schema import Logs

_NAMES = {
    30: logs.RetentionDays.ONE_MONTH,
    60: logs.RetentionDays.TWO_MONTHS,
    90: logs.RetentionDays.THREE_MONTHS,
    180: logs.RetentionDays.SIX_MONTHS,
    365: logs.RetentionDays.ONE_YEAR,
    731: logs.RetentionDays.TWO_YEARS,
    1827: logs.RetentionDays.FIVE_YEARS,
    3653: logs.RetentionDays.TEN_YEARS,
}


def log_retention(settings: Logs) -> logs.RetentionDays:
    """The CDK's name for the days that the account file gives."""
    return _NAMES[settings.retention_days]
