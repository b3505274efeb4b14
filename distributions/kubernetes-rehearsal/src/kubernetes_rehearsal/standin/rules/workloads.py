"""Deployments, StatefulSets, DaemonSets, ReplicaSets, Jobs, CronJobs, and what scales and protects them."""

import copy
import zoneinfo
from typing import Any

from kubernetes_rehearsal.standin.cron import schedule
from kubernetes_rehearsal.standin.errors import Object, Problems
from kubernetes_rehearsal.standin.formats import dns_label, path_segment, percentage
from kubernetes_rehearsal.standin.rules.common import (
    amount,
    check_text,
    count_or_percentage,
    label_selector,
    not_negative,
    required_text,
    unchanged,
)
from kubernetes_rehearsal.standin.rules.pods import pod_template
from kubernetes_rehearsal.standin.rules.volumes import claim_spec
from kubernetes_rehearsal.standin.selectors import selects

_STATEFUL_CAN_CHANGE = {
    "replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy", "minReadySeconds",
}  # fmt: skip
_MOST_INDEXED = 100_000
_METRICS = ["ContainerResource", "External", "Object", "Pods", "Resource"]


def deployment(found: Object, problems: Problems) -> None:
    """Deployment."""
    spec = found.get("spec", {})
    for name in ("replicas", "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"):
        not_negative(spec, name, "spec", problems)
    _selected_template(spec, "deployment", problems)
    _always_running(spec, "Deployment", problems)
    strategy = spec.get("strategy", {})
    match strategy.get("type"):
        case "Recreate":
            if "rollingUpdate" in strategy:
                problems.forbidden(
                    "spec.strategy.rollingUpdate", "may not be specified when strategy `type` is 'Recreate'"
                )
        case "RollingUpdate":
            _rolling_update(strategy["rollingUpdate"], "spec.strategy.rollingUpdate", problems)
        case _:
            problems.unsupported("spec.strategy", strategy, ["Recreate", "RollingUpdate"])
    if spec and spec["progressDeadlineSeconds"] <= spec.get("minReadySeconds", 0):
        problems.invalid(
            "spec.progressDeadlineSeconds", spec["progressDeadlineSeconds"], "must be greater than minReadySeconds"
        )


def replica_set(found: Object, problems: Problems) -> None:
    """ReplicaSet."""
    spec = found.get("spec", {})
    for name in ("replicas", "minReadySeconds"):
        not_negative(spec, name, "spec", problems)
    _selected_template(spec, "deployment", problems)
    _always_running(spec, "ReplicaSet", problems)


def replication_controller(found: Object, problems: Problems) -> None:
    """ReplicationController, which kubectl lists when it prunes."""
    spec = found["spec"]
    for name in ("replicas", "minReadySeconds"):
        not_negative(spec, name, "spec", problems)
    selector: dict[str, str] = spec.get("selector", {})
    if not selector:
        problems.required("spec.selector")
    if "template" not in spec:
        problems.required("spec.template")
        return
    labels = spec["template"].get("metadata", {}).get("labels", {})
    if not selects({"matchLabels": selector}, labels):
        problems.invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")
    pod_template(spec["template"], "spec.template", problems)
    _always_running(spec, "ReplicationController", problems)


def daemon_set(found: Object, problems: Problems) -> None:
    """DaemonSet."""
    spec = found.get("spec", {})
    for name in ("minReadySeconds", "revisionHistoryLimit"):
        not_negative(spec, name, "spec", problems)
    _selected_template(spec, "daemonset", problems)
    _always_running(spec, "DaemonSet", problems)
    strategy = spec.get("updateStrategy", {})
    match strategy.get("type"):
        case "OnDelete":
            pass
        case "RollingUpdate":
            update, path = strategy["rollingUpdate"], "spec.updateStrategy.rollingUpdate"
            for name in ("maxUnavailable", "maxSurge"):
                count_or_percentage(update[name], f"{path}.{name}", problems)
                _at_most_all(update[name], f"{path}.{name}", problems)
            nothing = [_number(update[name]) == 0 for name in ("maxUnavailable", "maxSurge")]
            if all(nothing):
                problems.required(f"{path}.maxUnavailable", "cannot be 0 when maxSurge is 0")
            elif not any(nothing):
                problems.invalid(
                    f"{path}.maxSurge", update["maxSurge"], "may not be set when maxUnavailable is non-zero"
                )
        case kind:
            problems.unsupported("spec.updateStrategy", kind, ["OnDelete", "RollingUpdate"])


def stateful_set(found: Object, problems: Problems) -> None:
    """StatefulSet."""
    spec = found.get("spec", {})
    for name in ("replicas", "minReadySeconds"):
        not_negative(spec, name, "spec", problems)
    if spec.get("podManagementPolicy") not in ("OrderedReady", "Parallel"):
        problems.invalid(
            "spec.podManagementPolicy", spec.get("podManagementPolicy"), "must be 'OrderedReady' or 'Parallel'"
        )
    strategy = spec.get("updateStrategy", {})
    if strategy.get("type") not in ("OnDelete", "RollingUpdate"):
        problems.invalid("spec.updateStrategy", strategy, "must be 'RollingUpdate' or 'OnDelete'")
    elif strategy["type"] == "OnDelete" and "rollingUpdate" in strategy:
        problems.invalid(
            "spec.updateStrategy.rollingUpdate",
            strategy["rollingUpdate"],
            "only allowed for updateStrategy 'RollingUpdate'",
        )
    not_negative(strategy.get("rollingUpdate", {}), "partition", "spec.updateStrategy.rollingUpdate", problems)
    for name, policy in spec.get("persistentVolumeClaimRetentionPolicy", {}).items():
        problems.one_of(f"spec.persistentVolumeClaimRetentionPolicy.{name}", policy, ["Delete", "Retain"])
    if spec.get("serviceName"):
        check_text(dns_label, spec["serviceName"], "spec.serviceName", problems)
    for index, template in enumerate(spec.get("volumeClaimTemplates", [])):
        claim_spec(template.get("spec", {}), f"spec.volumeClaimTemplates[{index}].spec", problems)
    _selected_template(_with_claimed_volumes(spec), "statefulset", problems)
    _always_running(spec, "StatefulSet", problems)


def stateful_set_change(found: Object, old: Object, problems: Problems) -> None:
    """What its pods were made with cannot change."""

    def fixed(spec: Object) -> Object:
        return {key: value for key, value in spec.items() if key not in _STATEFUL_CAN_CHANGE}

    if fixed(found["spec"]) != fixed(old["spec"]):
        problems.forbidden(
            "spec",
            "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
            "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
        )


def selector_change(found: Object, old: Object, problems: Problems) -> None:
    """Pods are found by the selector, so it is for good."""
    unchanged(found["spec"], old["spec"], ["selector"], "spec", problems)


def job(found: Object, problems: Problems) -> None:
    """Job."""
    spec, name = found.get("spec", {}), found["metadata"].get("name", "")
    job_spec(spec, "spec", problems)
    if spec.get("completionMode") == "Indexed" and spec.get("completions", 0) > 0:
        last = f"{name}-{spec['completions'] - 1}"
        if dns_label(last):
            problems.invalid("metadata.name", name, f"will not able to create pod with invalid DNS label: {last}")


def job_spec(spec: Object, path: str, problems: Problems) -> None:
    """What a Job does, also as the template of a CronJob."""
    for name in (
        "parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished",
        "backoffLimitPerIndex", "maxFailedIndexes",
    ):  # fmt: skip
        not_negative(spec, name, path, problems)
    problems.one_of(f"{path}.completionMode", spec.get("completionMode", "NonIndexed"), ["Indexed", "NonIndexed"])
    if spec.get("completionMode") == "Indexed":
        if "completions" not in spec:
            problems.required(f"{path}.completions", "when completion mode is Indexed")
        if spec.get("parallelism", 0) > _MOST_INDEXED:
            detail = f"must be less than or equal to {_MOST_INDEXED} when completion mode is Indexed"
            problems.invalid(f"{path}.parallelism", spec["parallelism"], detail)
    else:
        for name in ("backoffLimitPerIndex", "maxFailedIndexes", "successPolicy"):
            if name in spec:
                problems.invalid(f"{path}.{name}", spec[name], "requires indexed completion mode")
    policies = ["Failed"] if "podFailurePolicy" in spec else ["Failed", "TerminatingOrFailed"]
    problems.one_of(f"{path}.podReplacementPolicy", spec.get("podReplacementPolicy", "Failed"), policies)
    template = spec.get("template", {})
    pod_template(template, f"{path}.template", problems)
    policy = template.get("spec", {}).get("restartPolicy", "Always")
    if policy == "Always":
        problems.required(f"{path}.template.spec.restartPolicy", 'valid values: "OnFailure", "Never"')
    elif policy not in ("Never", "OnFailure"):
        problems.unsupported(f"{path}.template.spec.restartPolicy", policy, ["Never", "OnFailure"])
    elif "podFailurePolicy" in spec and policy != "Never":
        problems.invalid(
            f"{path}.template.spec.restartPolicy",
            policy,
            'only "Never" is supported when podFailurePolicy is specified',
        )


def job_change(found: Object, old: Object, problems: Problems) -> None:
    """A Job runs once, so its template is for good."""
    unchanged(
        found["spec"],
        old["spec"],
        ["completions", "selector", "template", "completionMode", "managedBy"],
        "spec",
        problems,
    )


def cron_job(found: Object, problems: Problems) -> None:
    """CronJob."""
    spec = found.get("spec", {})
    if len(found["metadata"].get("name", "")) > 52:
        problems.invalid("metadata.name", found["metadata"]["name"], "must be no more than 52 characters")
    text = spec.get("schedule", "")
    if not text:
        problems.required("spec.schedule")
    elif wrong := schedule(text.removeprefix("TZ=").removeprefix("CRON_TZ=")):
        problems.invalid("spec.schedule", text, wrong)
    if "TZ" in text:
        problems.invalid("spec.schedule", text, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead")
    if "timeZone" in spec and (not spec["timeZone"] or spec["timeZone"] not in zoneinfo.available_timezones()):
        problems.invalid("spec.timeZone", spec["timeZone"], f"unknown time zone {spec['timeZone']}")
    problems.one_of("spec.concurrencyPolicy", spec.get("concurrencyPolicy"), ["Allow", "Forbid", "Replace"])
    for name in ("startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
        not_negative(spec, name, "spec", problems)
    inner = spec.get("jobTemplate", {}).get("spec", {})
    job_spec(inner, "spec.jobTemplate.spec", problems)
    if inner.get("manualSelector"):
        problems.unsupported("spec.jobTemplate.spec.manualSelector", True, ["nil", "false"])
    if "selector" in inner:
        problems.invalid("spec.jobTemplate.spec.selector", inner["selector"], "`selector` will be auto-generated")


def disruption_budget(found: Object, problems: Problems) -> None:
    """PodDisruptionBudget."""
    spec = found.get("spec", {})
    if "minAvailable" in spec and "maxUnavailable" in spec:
        problems.invalid("spec", spec, "minAvailable and maxUnavailable cannot be both set")
    for name in ("minAvailable", "maxUnavailable"):
        if name in spec:
            count_or_percentage(spec[name], f"spec.{name}", problems)
            _at_most_all(spec[name], f"spec.{name}", problems)
    label_selector(spec.get("selector", {}), "spec.selector", problems)
    policy = spec.get("unhealthyPodEvictionPolicy", "IfHealthyBudget")
    problems.one_of("spec.unhealthyPodEvictionPolicy", policy, ["AlwaysAllow", "IfHealthyBudget"])


def autoscaler(found: Object, problems: Problems) -> None:
    """HorizontalPodAutoscaler."""
    spec = found.get("spec", {})
    least, most = spec.get("minReplicas", 1), spec.get("maxReplicas", 0)
    if least < 1:
        problems.invalid("spec.minReplicas", least, "must be greater than or equal to 1")
    if most < 1:
        problems.invalid("spec.maxReplicas", most, "must be greater than 0")
    if most < least:
        problems.invalid("spec.maxReplicas", most, "must be greater than or equal to `minReplicas`")
    target = spec.get("scaleTargetRef", {})
    for name in ("kind", "name"):
        required_text(path_segment, target.get(name), f"spec.scaleTargetRef.{name}", problems)
    if "/" not in target.get("apiVersion", ""):
        problems.invalid(
            "spec.scaleTargetRef.apiVersion", target.get("apiVersion", ""), "apiVersion must specify API group"
        )
    for index, metric in enumerate(spec.get("metrics", [])):
        _metric(metric, f"spec.metrics[{index}]", problems)
    for direction, rules in spec.get("behavior", {}).items():
        _scaling(rules, f"spec.behavior.{direction}", problems)


def _metric(metric: Object, path: str, problems: Problems) -> None:
    kind = metric.get("type", "")
    if kind not in _METRICS:
        if not kind:
            problems.required(f"{path}.type", "must specify a metric source type")
        problems.unsupported(f"{path}.type", kind, _METRICS)
        return
    field = kind[0].lower() + kind[1:]
    if field not in metric:
        problems.required(f"{path}.{field}", "must populate information for the given metric source")
        return
    for other in metric.keys() - {"type", field}:
        problems.forbidden(f"{path}.{other}", "must populate the given metric source only")
    source = metric[field]
    if kind in ("Resource", "ContainerResource") and not source.get("name"):
        problems.required(f"{path}.{field}.name", "must specify a resource name")
    if kind in ("Pods", "External", "Object") and not source.get("metric", {}).get("name"):
        problems.required(f"{path}.{field}.metric.name", "must specify a metric name")
    target = source.get("target", {})
    if not target.get("type"):
        problems.required(f"{path}.{field}.target.type", "must specify a metric target type")
    if target.get("type") not in ("AverageValue", "Utilization", "Value"):
        problems.invalid(
            f"{path}.{field}.target.type", target.get("type", ""), "must be either Utilization, Value, or AverageValue"
        )
    values = ("averageUtilization", "averageValue", "value")
    if not any(name in target for name in values):
        problems.required(
            f"{path}.{field}.target.averageUtilization", "must set either a target raw value or a target utilization"
        )
    if target.get("averageUtilization", 1) < 1:
        problems.invalid(
            f"{path}.{field}.target.averageUtilization", target["averageUtilization"], "must be greater than 0"
        )
    for name in values[1:]:
        if name in target and amount(target[name], f"{path}.{field}.target.{name}", problems) == 0:
            problems.invalid(f"{path}.{field}.target.{name}", str(target[name]), "must be positive")


def _scaling(rules: Object, path: str, problems: Problems) -> None:
    window = rules.get("stabilizationWindowSeconds", 0)
    if not 0 <= window <= 3600:
        problems.invalid(f"{path}.stabilizationWindowSeconds", window, "must be between 0 and 3600")
    problems.one_of(f"{path}.selectPolicy", rules.get("selectPolicy", "Max"), ["Disabled", "Max", "Min"])
    if "policies" in rules and not rules["policies"]:
        problems.required(f"{path}.policies", "must specify at least one Policy")
    for index, policy in enumerate(rules.get("policies", [])):
        place = f"{path}.policies[{index}]"
        problems.one_of(f"{place}.type", policy.get("type", ""), ["Percent", "Pods"])
        for name, most in (("value", 2**31), ("periodSeconds", 1800)):
            if not 0 < policy.get(name, 0) <= most:
                problems.invalid(f"{place}.{name}", policy.get(name, 0), "must be greater than zero")


def _selected_template(spec: Object, kind: str, problems: Problems) -> None:
    """A selector that finds the pods of the template."""
    selector, template = spec.get("selector"), spec.get("template", {})
    labels: dict[str, str] = template.get("metadata", {}).get("labels", {})
    if selector is None:
        if kind != "daemonset":
            problems.required("spec.selector")
        problems.invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")
    else:
        before = len(problems.causes)
        label_selector(selector, "spec.selector", problems)
        if not any(selector.values()):
            problems.invalid("spec.selector", selector, f"empty selector is invalid for {kind}")
        elif len(problems.causes) == before and not selects(selector, labels):
            problems.invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")
    pod_template(template, "spec.template", problems)


def _always_running(spec: Object, kind: str, problems: Problems) -> None:
    pod = spec.get("template", {}).get("spec", {})
    if pod.get("restartPolicy", "Always") != "Always":
        problems.unsupported("spec.template.spec.restartPolicy", pod["restartPolicy"], ["Always"])
    if "activeDeadlineSeconds" in pod:
        problems.forbidden(
            "spec.template.spec.activeDeadlineSeconds", f"activeDeadlineSeconds in {kind} is not Supported"
        )


def _with_claimed_volumes(spec: Object) -> Object:
    """The spec with a volume for each claim template, as its pods will have."""
    claims = [template.get("metadata", {}).get("name", "") for template in spec.get("volumeClaimTemplates", [])]
    pod = spec.get("template", {}).get("spec")
    if not claims or pod is None:
        return spec
    spec = copy.deepcopy(spec)
    pod = spec["template"]["spec"]
    pod["volumes"] = [volume for volume in pod.get("volumes", []) if volume.get("name") not in claims]
    pod["volumes"] += [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in dict.fromkeys(claims)]
    return spec


def _rolling_update(update: Object, path: str, problems: Problems) -> None:
    for name in ("maxUnavailable", "maxSurge"):
        count_or_percentage(update[name], f"{path}.{name}", problems)
    if _number(update["maxUnavailable"]) == 0 and _number(update["maxSurge"]) == 0:
        problems.invalid(f"{path}.maxUnavailable", update["maxUnavailable"], "may not be 0 when `maxSurge` is 0")
    _at_most_all(update["maxUnavailable"], f"{path}.maxUnavailable", problems)


def _number(value: Any) -> int:
    if isinstance(value, int):
        return value
    return int(value[:-1]) if percentage(value) else 0


def _at_most_all(value: Any, path: str, problems: Problems) -> None:
    if isinstance(value, str) and _number(value) > 100:
        problems.invalid(path, value, "must not be greater than 100%")
