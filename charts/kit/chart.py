"""The base of every chart, which the library shares with applications of teams."""

from mlplatform_constructs.charts import ComponentChart, PodChange, pod_specs

__all__ = ["ComponentChart", "PodChange", "pod_specs"]
