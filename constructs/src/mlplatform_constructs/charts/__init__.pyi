from ._chart import ComponentChart, PodChange, identity, pod_specs
from ._defaults import Resources
from ._web_app import WebApp
from ._workload import TeamWorkload

__all__ = ["ComponentChart", "PodChange", "Resources", "TeamWorkload", "WebApp", "identity", "pod_specs"]
