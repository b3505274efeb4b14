"""Schedules of CronJobs, in the form that the controller's parser accepts: five fields, or a descriptor."""

import re

_DESCRIPTORS = {"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"}
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
_FIELDS: list[tuple[int, int, list[str], int]] = [
    (0, 59, [], 0),
    (0, 23, [], 0),
    (1, 31, [], 0),
    (1, 12, _MONTHS, 1),
    (0, 6, _DAYS, 0),
]


def schedule(text: str) -> str | None:
    """What is wrong with a schedule, or None."""
    if text.startswith("@"):
        if text in _DESCRIPTORS or re.fullmatch(r"@every (\d+(\.\d*)?(ns|us|µs|ms|s|m|h))+", text):
            return None
        return f"unrecognized descriptor: {text}"
    fields = text.split()
    if len(fields) != 5:
        return f"expected exactly 5 fields, found {len(fields)}: [{' '.join(fields)}]"
    for field, limits in zip(fields, _FIELDS, strict=True):
        for part in field.split(","):
            if problem := _range(part, *limits):
                return problem
    return None


def _range(part: str, least: int, most: int, names: list[str], first: int) -> str | None:
    span, slash, step = part.partition("/")
    if slash and (not step.isdigit() or int(step) == 0):
        return (
            f"failed to parse int from {step}"
            if not step.isdigit()
            else f"step of range should be a positive number: {part}"
        )
    if span in ("*", "?"):
        return None
    numbers = []
    for end in span.split("-"):
        value = end.lower()
        if value in names:
            numbers.append(names.index(value) + first)
        elif value.isdigit():
            numbers.append(int(value))
        else:
            return f"failed to parse int from {end}"
    if len(numbers) > 2:
        return f"too many hyphens: {part}"
    if numbers[0] < least:
        return f"beginning of range ({numbers[0]}) below minimum ({least}): {part}"
    if numbers[-1] > most:
        return f"end of range ({numbers[-1]}) above maximum ({most}): {part}"
    if numbers[0] > numbers[-1]:
        return f"beginning of range ({numbers[0]}) beyond end of range ({numbers[-1]}): {part}"
    return None
