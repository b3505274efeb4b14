"""Draws dashboards from recorded series: ``python -m tests.charts.monitoring.pictures`` writes ``docs/monitoring``.

The queries are those of the dashboards, answered by a real Prometheus; the drawing is pygal's, not Grafana's.
"""

import re
import tempfile
from pathlib import Path
from typing import Any

from charts.monitoring.grafana.dashboard_files import dashboards
from charts.monitoring.prometheus.rule_files import Rules, rule_groups
from tests.charts.monitoring import recorded
from tests.charts.monitoring.replay import Replay, replay

PICTURES = ("cluster", "gpus", "serving", "quality", "objectives", "cost")
FOLDER = Path("docs", "monitoring")
_WIDTH, _HEIGHT, _COLUMNS, _HEAD = 560, 280, 2, 50
_SCALES = {"percentunit": 100.0, "bytes": 1 / 2**30, "s": 1000.0}
_UNITS = {
    "percentunit": "%",
    "percent": "%",
    "bytes": "GiB",
    "s": "ms",
    "reqps": "requests/s",
    "celsius": "°C",
    "watt": "W",
    "currencyUSD": "$",
}


def with_variables(query: str) -> str:
    """A query as Grafana sends it with everything selected."""
    return query.replace("$__range", "6h").replace("$namespace", ".*").replace("$model", ".*")


def draw(server: Replay, dashboard: Any) -> str:
    """The panels with lines of a dashboard, as one SVG."""
    panels = [panel for panel in dashboard["panels"] if panel["type"] == "timeseries"]
    rows = -(-len(panels) // _COLUMNS)
    width, height = _COLUMNS * _WIDTH, _HEAD + rows * _HEIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        f'<text x="16" y="33" font-family="sans-serif" font-size="22" fill="#222222">{dashboard["title"]}</text>',
    ]
    for number, panel in enumerate(panels):
        x, y = number % _COLUMNS * _WIDTH, _HEAD + number // _COLUMNS * _HEIGHT
        parts.append(f'<svg x="{x}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}">{_chart(server, panel)}</svg>')
    return "\n".join([*parts, "</svg>", ""])


def _chart(server: Replay, panel: Any) -> str:
    import pygal
    from pygal.style import Style

    unit = panel["fieldConfig"]["defaults"]["unit"]
    title = panel["title"] + (f" ({_UNITS[unit]})" if unit in _UNITS else "")
    style = Style(
        background="#ffffff",
        plot_background="#ffffff",
        font_family="sans-serif",
        title_font_size=15,
        label_font_size=10,
        legend_font_size=10,
        colors=("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b"),
    )
    chart = pygal.Line(
        style=style,
        width=_WIDTH,
        height=_HEIGHT,
        explicit_size=True,
        js=[],
        show_dots=False,
        legend_at_bottom=True,
        legend_at_bottom_columns=3,
        include_x_axis=True,
        x_labels_major_every=9,
        show_minor_x_labels=False,
        no_prefix=True,
        disable_xml_declaration=True,
        pretty_print=False,
        truncate_label=10,
        truncate_legend=-1,
        title=title,
        value_formatter=lambda value: f"{value:.3g}",
    )
    times = range(recorded.END - recorded.HOURS * 3600, recorded.END + 1, 600)
    chart.x_labels = [f"{time // 3600 % 24:02d}:{time // 60 % 60:02d}" for time in times]
    for target in panel["targets"]:
        for each in server.history(with_variables(target["expr"])):
            values = {int(time): float(value) * _SCALES.get(unit, 1.0) for time, value in each["values"]}
            chart.add(_legend(target["legendFormat"], each["metric"]), [values.get(time) for time in times])
    chart.config.uuid = chart.uuid = f"{panel['id']}"
    text: str = chart.render(is_unicode=True)
    return re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)


def _legend(form: str, labels: dict[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), form).strip()


def main() -> None:
    """Write all pictures."""
    FOLDER.mkdir(exist_ok=True)
    groups = rule_groups(Rules(prices=recorded.PRICES))
    with tempfile.TemporaryDirectory() as folder, replay(Path(folder), groups) as server:
        for uid in PICTURES:
            (FOLDER / f"{uid}.svg").write_text(draw(server, dashboards()[uid]), encoding="utf-8")


if __name__ == "__main__":
    main()
