"""``python -m promises``: write the page of promises."""

import sys

from promises import evidence, page, record


def main() -> int:
    try:
        areas = record.load()
        found = evidence.collect(areas)
    except record.RecordError as error:
        print(error, file=sys.stderr)
        return 1
    (record.ROOT / page.PAGE).write_text(page.render(areas, found), encoding="utf-8")
    kept = sum(map(bool, found.values()))
    print(f"{page.PAGE}: {len(found)} promises, {kept} with evidence, {len(found) - kept} planned")
    return 0


if __name__ == "__main__":
    sys.exit(main())
