"""Questions about identity and access; answered, never stored."""

from kubernetes_rehearsal.interface import Identity
from kubernetes_rehearsal.standin.errors import Object
from kubernetes_rehearsal.standin.kinds import REVIEWS
from kubernetes_rehearsal.standin.requests import Target
from kubernetes_rehearsal.standin.roles import Access, Authorizer


def is_review(target: Target) -> bool:
    """Whether a target is such a question."""
    return (target.group, target.plural) in REVIEWS


def answer(target: Target, content: Object, identity: Identity, authorizer: Authorizer) -> Object:
    """The review with its status."""
    kind = REVIEWS[(target.group, target.plural)][0]
    spec = content.get("spec", {})
    if kind == "SelfSubjectReview":
        status: Object = {"userInfo": {"username": identity.username, "groups": list(identity.groups)}}
    else:
        asked = identity
        if not kind.startswith("Self"):
            asked = Identity(spec.get("user", ""), tuple(spec.get("groups", [])))
        attributes = spec.get("resourceAttributes", {})
        resource = "/".join(filter(None, (attributes.get("resource", ""), attributes.get("subresource", ""))))
        access = Access(
            attributes.get("verb", ""),
            attributes.get("group", ""),
            resource,
            attributes.get("namespace", ""),
            attributes.get("name", ""),
        )
        status = {"allowed": authorizer.allows(asked, access)}
    return {"apiVersion": f"{target.group}/v1", "kind": kind, "metadata": {}, "spec": spec, "status": status}
