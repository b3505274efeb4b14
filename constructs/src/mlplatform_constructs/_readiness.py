from dataclasses import dataclass, replace

MAX_MINUTES = 14
"""The function that waits lives 15 minutes, and needs the last of them to say what it waited for in vain."""

_ADVICE = {
    "RolledOut": "see whether there is a node for its pods and whether their image can be pulled: "
    "kubectl -n {namespace} describe pods",
    "Exists": "see the log of the controller that should create it",
    "CertificateInjected": "see the log of cert-manager's CA injector, which should write the CA there",
}
_ANY_ADVICE = "see its events: kubectl describe"


@dataclass(frozen=True, kw_only=True)
class Readiness:
    """What must be true of an object before anything that comes later is applied. Made by its named constructors.

    A wait that ends in vain fails the deployment and says which object, in which state it is, and what to do.
    """

    api_version: str
    kind: str
    name: str
    namespace: str = ""
    state: str
    minutes: int = 10
    advice: str = _ANY_ADVICE

    @classmethod
    def rolled_out(cls, kind: str, name: str, *, namespace: str) -> "Readiness":
        """All pods of a Deployment, StatefulSet or DaemonSet are of the newest generation and available.

        :raises ValueError: for any other kind.
        """
        if kind not in ("Deployment", "StatefulSet", "DaemonSet"):
            raise ValueError(f"Readiness of {kind} {name}: only a Deployment, StatefulSet or DaemonSet rolls out")
        return cls._state("RolledOut", "apps/v1", kind, name, namespace)

    @classmethod
    def condition(cls, type: str, *, api_version: str, kind: str, name: str, namespace: str = "") -> "Readiness":
        """The object reports a condition, such as ``Available`` or ``Ready``, as true."""
        return cls._state(type, api_version, kind, name, namespace)

    @classmethod
    def exists(cls, *, api_version: str, kind: str, name: str, namespace: str = "") -> "Readiness":
        """A controller has made the object."""
        return cls._state("Exists", api_version, kind, name, namespace)

    @classmethod
    def certificate_injected(cls, kind: str, name: str) -> "Readiness":
        """A webhook configuration holds the certificate authority by which its calls are verified."""
        return cls._state("CertificateInjected", "admissionregistration.k8s.io/v1", kind, name, "")

    @classmethod
    def _state(cls, state: str, api_version: str, kind: str, name: str, namespace: str) -> "Readiness":
        advice = _ADVICE.get(state, _ANY_ADVICE).format(namespace=namespace)
        return cls(api_version=api_version, kind=kind, name=name, namespace=namespace, state=state, advice=advice)

    def within(self, minutes: int) -> "Readiness":
        """The same, waited for so many minutes instead of 10.

        :raises ValueError: unless it is 1 to 14.
        """
        if not 1 <= minutes <= MAX_MINUTES:
            raise ValueError(
                f"Readiness of {self.kind} {self.name}: must be within 1 to {MAX_MINUTES} minutes, got {minutes}; "
                "the function that waits ends after 15"
            )
        return replace(self, minutes=minutes)

    def otherwise(self, advice: str) -> "Readiness":
        """The same, with other words on what to do when the wait ends in vain."""
        return replace(self, advice=advice)
