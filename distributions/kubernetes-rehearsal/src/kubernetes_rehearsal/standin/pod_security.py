"""Pod security: what a namespace's level keeps pods from.

https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""

from collections.abc import Iterator
from typing import Any

from kubernetes_rehearsal.standin.errors import Object

_LABEL = "pod-security.kubernetes.io/enforce"
_DEFAULT_CAPABILITIES = {
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP",
    "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
}  # fmt: skip
_RESTRICTED_VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected", "secret",
}  # fmt: skip


def violation(namespace: Object, pod: Object) -> str | None:
    """Why a pod may not run in a namespace, as the message of the admission plugin, or None."""
    labels = namespace["metadata"].get("labels", {})
    level = labels.get(_LABEL, "privileged")
    if level == "privileged":
        return None
    spec = pod["spec"]
    broken = list(_baseline(spec))
    if level == "restricted":
        broken = [one for one in broken if not one.startswith(("non-default", "seccomp"))] + list(_restricted(spec))
    version = labels.get(f"{_LABEL}-version", "latest")
    return f'violates PodSecurity "{level}:{version}": {", ".join(broken)}' if broken else None


def _baseline(spec: Object) -> Iterator[str]:
    shared = [f"{name}=true" for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name)]
    if shared:
        yield f"host namespaces ({', '.join(shared)})"
    paths = [f'"{volume["name"]}"' for volume in spec.get("volumes", []) if "hostPath" in volume]
    if paths:
        yield f"hostPath volumes (volume{'s' if len(paths) > 1 else ''} {', '.join(paths)})"
    for container in _containers(spec):
        name = f'container "{container["name"]}"'
        context = container.get("securityContext", {})
        if context.get("privileged"):
            yield f"privileged ({name} must not set securityContext.privileged=true)"
        if added := sorted(set(context.get("capabilities", {}).get("add", [])) - _DEFAULT_CAPABILITIES):
            listed = ", ".join(f'"{one}"' for one in added)
            yield f"non-default capabilities ({name} must not include {listed} in securityContext.capabilities.add)"
        ports = [str(port["hostPort"]) for port in container.get("ports", []) if port.get("hostPort")]
        if ports:
            yield f"hostPort ({name} uses hostPort{'s' if len(ports) > 1 else ''} {', '.join(ports)})"
    for where, context in (("pod", spec.get("securityContext", {})), *_contexts(spec)):
        if context.get("seccompProfile", {}).get("type") == "Unconfined":
            yield f'seccompProfile ({where} must not set securityContext.seccompProfile.type to "Unconfined")'


def _restricted(spec: Object) -> Iterator[str]:
    for name, context in _contexts(spec):
        if context.get("allowPrivilegeEscalation") is not False:
            yield f"allowPrivilegeEscalation != false ({name} must set securityContext.allowPrivilegeEscalation=false)"
        capabilities = context.get("capabilities", {})
        if "ALL" not in capabilities.get("drop", []):
            yield f'unrestricted capabilities ({name} must set securityContext.capabilities.drop=["ALL"])'
        if others := sorted(set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}):
            listed = ", ".join(f'"{one}"' for one in others)
            yield f"unrestricted capabilities ({name} must not include {listed} in securityContext.capabilities.add)"
        if _effective(spec, context, "runAsNonRoot") is not True:
            yield f"runAsNonRoot != true (pod or {name} must set securityContext.runAsNonRoot=true)"
        if _effective(spec, context, "runAsUser") == 0:
            yield f"runAsUser=0 (pod or {name} must not set runAsUser=0)"
        profile = _effective(spec, context, "seccompProfile") or {}
        if profile.get("type") not in ("RuntimeDefault", "Localhost"):
            wanted = '"RuntimeDefault" or "Localhost"'
            yield f"seccompProfile (pod or {name} must set securityContext.seccompProfile.type to {wanted})"
    for volume in spec.get("volumes", []):
        for kind in volume.keys() - {"name"} - _RESTRICTED_VOLUMES:
            yield f'restricted volume types (volume "{volume["name"]}" uses restricted volume type "{kind}")'


def _containers(spec: Object) -> list[Object]:
    found: list[Object] = spec.get("initContainers", []) + spec.get("containers", [])
    return found


def _contexts(spec: Object) -> list[tuple[str, Object]]:
    return [(f'container "{one["name"]}"', one.get("securityContext", {})) for one in _containers(spec)]


def _effective(spec: Object, context: Object, name: str) -> Any:
    """A container's own setting, or else the pod's."""
    return context.get(name, spec.get("securityContext", {}).get(name))
