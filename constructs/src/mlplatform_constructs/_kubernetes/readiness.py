from dataclasses import dataclass, replace

from .._arguments import ConfigurationError, check_fields

MAX_MINUTES = 14
"""The objects handler runs for at most 15 minutes, and needs the last one to report what is not ready."""

_ADVICE = {
    "RolledOut": "check that a node has room for its pods and that their image can be pulled: "
    "kubectl -n {namespace} describe pods",
    "Exists": "check the log of the controller that creates it",
    "CertificateInjected": "check the log of cert-manager's CA injector, which writes the CA bundle",
}
_ANY_ADVICE = "see its events: kubectl describe"


@dataclass(frozen=True, kw_only=True)
class Readiness:
    """A condition of an object that must be met before later objects are applied. Create it with a class method.

    A wait that times out fails the deployment, and reports the object, its state and the fix.
    """

    api_version: str
    kind: str
    name: str
    namespace: str = ""
    state: str
    minutes: int = 10
    advice: str = _ANY_ADVICE

    def __post_init__(self) -> None:
        check_fields(self, f"Readiness of {self.kind} {self.name}")

    @classmethod
    def rolled_out(cls, kind: str, name: str, *, namespace: str) -> "Readiness":
        """All pods of a Deployment, StatefulSet or DaemonSet are updated and available.

        :raises ConfigurationError: for any other kind.
        """
        if kind not in ("Deployment", "StatefulSet", "DaemonSet"):
            raise ConfigurationError(
                f"Readiness of {kind} {name}: only a Deployment, StatefulSet or DaemonSet has a rollout"
            )
        return cls._state("RolledOut", "apps/v1", kind, name, namespace)

    @classmethod
    def condition(cls, type: str, *, api_version: str, kind: str, name: str, namespace: str = "") -> "Readiness":
        """The status of the object has a condition, such as ``Available`` or ``Ready``, that is true."""
        return cls._state(type, api_version, kind, name, namespace)

    @classmethod
    def exists(cls, *, api_version: str, kind: str, name: str, namespace: str = "") -> "Readiness":
        """A controller has created the object."""
        return cls._state("Exists", api_version, kind, name, namespace)

    @classmethod
    def certificate_injected(cls, kind: str, name: str) -> "Readiness":
        """A webhook configuration has a CA bundle, with which the API server verifies the webhook's certificate."""
        return cls._state("CertificateInjected", "admissionregistration.k8s.io/v1", kind, name, "")

    @classmethod
    def _state(cls, state: str, api_version: str, kind: str, name: str, namespace: str) -> "Readiness":
        advice = _ADVICE.get(state, _ANY_ADVICE).format(namespace=namespace)
        return cls(api_version=api_version, kind=kind, name=name, namespace=namespace, state=state, advice=advice)

    def within(self, minutes: int) -> "Readiness":
        """Return a copy that waits for ``minutes`` instead of 10.

        :raises ConfigurationError: unless ``minutes`` is 1 to 14.
        """
        if not 1 <= minutes <= MAX_MINUTES:
            raise ConfigurationError(
                f"Readiness of {self.kind} {self.name}: must be within 1 to {MAX_MINUTES} minutes, got {minutes}; "
                "the handler that waits runs for at most 15"
            )
        return replace(self, minutes=minutes)

    def otherwise(self, advice: str) -> "Readiness":
        """Return a copy with different advice for a wait that times out."""
        return replace(self, advice=advice)
