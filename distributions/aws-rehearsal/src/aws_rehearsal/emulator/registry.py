"""The table of resource types: the emulator's own, those of this package, and every other that the registry knows."""

from typing import Any, Literal

from ministack.core.responses import get_region
from ministack.services.cloudformation import provisioners, stacks

from aws_rehearsal.emulator import attributes, ec2, eks_parts, iam, other_services, schemas
from aws_rehearsal.emulator.deletion_protection import refuse_if_protected
from aws_rehearsal.emulator.names import BOOTSTRAP_STACK
from aws_rehearsal.emulator.observed import Observed, ignored
from aws_rehearsal.emulator.patching import wrap
from aws_rehearsal.emulator.provisioner import Provisioner, Resource
from aws_rehearsal.emulator.recorded import Recorded
from aws_rehearsal.emulator.schemas import Properties

Handler = dict[str, Any]
"""What the emulator keeps for a type: ``create``, ``update``, ``delete``, and flags of how to call them."""

_REF_IS_ARN = {"AWS::SecretsManager::Secret"}
"""Types of the emulator whose physical id is the ARN on AWS, and a name here, by which policies would name nothing."""
_names: dict[str, str] = {}
"""ARN to the name that the emulator keeps the resource by."""

created: dict[tuple[str, str], str] = {}
"""Physical id by stack and logical id of every resource that there was, also of those that are gone."""

Kind = Literal["real", "recorded"]

PROVISIONERS = (*ec2.PROVISIONERS, *eks_parts.PROVISIONERS, *iam.PROVISIONERS, *other_services.PROVISIONERS)
_UNSUPERVISED = ("AWS::CloudFormation::", "AWS::CDK::")
_CALLS_BACK = {"AWS::EKS::Cluster", "AWS::S3::Bucket"}
"""Types of the emulator that other modules of this package extend by calls to its API."""


class Registry(dict[str, Handler]):
    """Answers for every type of the region's registry; one without a provisioner is recorded only."""

    def __contains__(self, resource_type: object) -> bool:
        name = str(resource_type)
        return (name.startswith(_UNSUPERVISED) and super().__contains__(name)) or self._is_known(name)

    def __getitem__(self, resource_type: str) -> Handler:
        handler: Handler | None = self.get(resource_type)
        if handler is None:
            raise KeyError(resource_type)
        return handler

    def get(self, resource_type: str, default: Any = None) -> Any:
        handler = super().get(resource_type)
        if handler is None and self._is_known(resource_type):
            handler = self[resource_type] = _handler(Recorded(resource_type))
        return default if handler is None else handler

    def kind(self, resource_type: str) -> Kind:
        """Whether something of the emulator stands behind the type, or its description only."""
        handler = self.get(resource_type) or {}
        return "recorded" if isinstance(handler.get("provisioner"), Recorded) else "real"

    def _is_known(self, resource_type: str) -> bool:
        return (
            resource_type.startswith("AWS::")
            and not resource_type.startswith(_UNSUPERVISED)
            and schemas.schema(resource_type, get_region()) is not None
        )


registry = Registry()


def install() -> None:
    """Put :data:`registry` in the place of the emulator's table."""

    def extend(native: dict[str, Handler]) -> Registry:
        for resource_type, handler in native.items():
            unsupervised = resource_type.startswith(_UNSUPERVISED)
            registry[resource_type] = handler if unsupervised else _supervised(resource_type, handler)
        for provisioner in PROVISIONERS:
            registry[provisioner.type] = _handler(provisioner)
        return registry

    wrap(provisioners, "_RESOURCE_HANDLERS", extend)
    blocking = {provisioner.type for provisioner in PROVISIONERS} | _CALLS_BACK
    wrap(stacks, "_runs_on_worker_thread", lambda original: lambda name: name in blocking or original(name))


def _supervised(resource_type: str, handler: Handler) -> Handler:
    """A handler of the emulator that is watched while it reads properties, and whose attributes are completed."""

    def create(logical_id: str, properties: Properties, stack: str) -> tuple[str, Properties]:
        observed = Observed(properties)
        physical_id, answered = _renamed(resource_type, *handler["create"](logical_id, observed, stack))
        created[stack, logical_id] = physical_id
        if stack != BOOTSTRAP_STACK:
            ignored[resource_type] |= observed.unread
        return physical_id, attributes.complete(resource_type, physical_id, properties, answered or {})

    def update(
        physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str | None = None
    ) -> tuple[str, Properties]:
        ids = [logical_id] if handler.get("update_with_logical_id") else []
        name = _names.get(physical_id, physical_id)
        physical_id, answered = _renamed(resource_type, *handler["update"](name, old, new, stack, *ids))
        return physical_id, attributes.complete(resource_type, physical_id, new, answered or {})

    def delete(physical_id: str, properties: Properties, *logical_id: str) -> None:
        refuse_if_protected(resource_type, physical_id, properties)
        handler["delete"](_names.pop(physical_id, physical_id), properties, *logical_id)
        attributes.forget(resource_type, physical_id)

    extended: Handler = {**handler, "create": create, "delete": delete}
    return extended | {"update": update, "update_with_logical_id": True} if "update" in handler else extended


def _renamed(resource_type: str, name: str, answered: Properties | None) -> tuple[str, Properties | None]:
    """The physical id as on AWS."""
    if resource_type not in _REF_IS_ARN or not answered:
        return name, answered
    _names[answered["Arn"]] = name
    return answered["Arn"], answered


def _handler(provisioner: Provisioner) -> Handler:
    """A provisioner of this package in the emulator's terms."""
    kind = provisioner.type
    nested = _replace_when_create_only_changes(kind)

    def create(logical_id: str, properties: Properties, stack: str) -> tuple[str, Properties]:
        resource = Resource(stack, logical_id, properties)
        made = provisioner.create(resource)
        try:
            provisioner.settle(made.physical_id, resource)
        except Exception:
            provisioner.delete(made.physical_id, properties)
            raise
        created[stack, logical_id] = made.physical_id
        return made.physical_id, attributes.complete(kind, made.physical_id, properties, made.attributes)

    def update(
        physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str
    ) -> tuple[str, Properties]:
        if any(schemas.value_at(old, path) != schemas.value_at(new, path) for path in nested):
            replaced: tuple[str, Properties] = provisioners._replace_resource(
                kind, physical_id, old, new, stack, logical_id
            )
            return replaced
        provisioner.update(physical_id, old, Resource(stack, logical_id, new))
        return physical_id, attributes.complete(kind, physical_id, new, {})

    def delete(physical_id: str, properties: Properties) -> None:
        refuse_if_protected(kind, physical_id, properties)
        provisioner.delete(physical_id, properties)
        attributes.forget(kind, physical_id)

    return {
        "create": create,
        "update": update,
        "update_with_logical_id": True,
        "delete": delete,
        "provisioner": provisioner,
    }


def _replace_when_create_only_changes(resource_type: str) -> list[tuple[str, ...]]:
    """Register the properties that replace a resource. Returns the nested ones, which the emulator does not compare."""
    paths = schemas.create_only(resource_type, get_region())
    provisioners._REPLACING_PROPERTIES.setdefault(resource_type, tuple(path[0] for path in paths if len(path) == 1))
    provisioners._CONDITIONALLY_REPLACING_PROPERTIES.setdefault(
        resource_type, tuple(path[0] for path in paths if len(path) > 1)
    )
    identifiers = schemas.identifiers(resource_type, get_region())
    if len(identifiers) == 1 and identifiers[0] in paths:
        provisioners._CUSTOM_NAME_REPLACEMENT.setdefault(resource_type, {"name": identifiers[0][0]})
    return [path for path in paths if len(path) > 1]
