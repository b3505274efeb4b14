"""The permissions that the platform needs to work, and their comparison with the templates.

Each need has its source. A need is met if identity, resource, key and trust policy together allow it for the intended
caller. It is proved if the same request is refused for another account, for a role without permissions, for another
service, and on another key.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from assurance.permissions.evaluator import Caller, Decision, Request, ask
from assurance.permissions.world import World
from delivery.gate.policies import Names, Statement

_ELSEWHERE = "999900001111"
"""An account that is none of the platform's."""
UNTIED = frozenset({"codestar-notifications.amazonaws.com", "logdelivery.elasticloadbalancing.amazonaws.com"})
"""Services whose documented policies have no condition for the account on whose behalf they call. Load balancers write
the account into the name of each object instead.
https://docs.aws.amazon.com/dtconsole/latest/userguide/set-up-sns.html,
https://docs.aws.amazon.com/elasticloadbalancing/latest/application/enable-access-logging.html"""
_PUBLIC = "arn:aws:ssm:{region}::parameter/aws/service/"
"""Parameters that AWS publishes to every account.
https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-public-parameters.html"""
EVERYTHING = (Statement(True, Names(("*",), any_case=True), Names(("*",)), None, ()),)
"""Policy of an administrator."""


@dataclass(frozen=True)
class Need:
    """An action that must be allowed.

    :param on_behalf: construct path of the resource that needs it.
    :param region: region of the call.
    :param source: page that documents it.
    """

    on_behalf: str
    caller: Caller
    action: str
    resource: str
    region: str
    source: str
    context: Mapping[str, str] = field(default_factory=dict)

    @property
    def request(self) -> Request:
        return Request(self.caller, self.action, self.resource, self.region, self.context)

    def __str__(self) -> str:
        who = self.caller.name.rpartition("role/")[2]
        return f"{self.on_behalf}: {who} {self.action} on {self.resource}"


@dataclass(frozen=True)
class Table:
    """Creates the needs of one resource of a template, all with the same source."""

    world: World
    on_behalf: str
    account: str
    region: str
    source: str

    def assume(self, service: str, role: str, context: Mapping[str, str] | None = None) -> Iterator[Need]:
        """A service must be able to assume a role, on behalf of a resource of the account."""
        known = {"aws:SourceAccount": self.account, **(context or {})}
        yield self.need(Caller(service, self.account), "sts:AssumeRole", role, known)

    def service(
        self, service: str, actions: str, resource: str, context: Mapping[str, str] | None = None
    ) -> Iterator[Need]:
        """A service must be able to act on a resource with its own identity, on behalf of the account."""
        caller = Caller(service, self.account)
        for action in actions.split():
            yield self.need(caller, action, resource, {"aws:SourceAccount": self.account, **(context or {})})

    def use(self, role: str, actions: str, *resources: str, context: Mapping[str, str] | None = None) -> Iterator[Need]:
        """A role must be able to act on resources."""
        known = self.world.roles.get(role)
        if known is None:
            raise LookupError(f"{self.on_behalf}: {role}: no template has this role")
        for action in actions.split():
            for resource in resources or ("*",):
                yield self.need(Caller.role(known), action, resource, context or {})

    def caller(self, name: str, account: str = "") -> Caller:
        """A principal whose permissions are in no template, such as a service-linked role, or AWS's own account."""
        return Caller(name, account or self.account, EVERYTHING)

    def elsewhere(self, region: str) -> "Table":
        return replace(self, region=region)

    def need(self, caller: Caller, action: str, resource: str, context: Mapping[str, str] | None = None) -> Need:
        """A need of any caller."""
        return Need(self.on_behalf, caller, action, resource, self.region, self.source, context or {})


def by_way_of(world: World, need: Need) -> Iterator[Need]:
    """The use of a key that a call to an encrypted resource implies, by the same caller.

    https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html#conditions-kms-via-service
    """
    service, _, name = need.action.partition(":")
    resource = world.behind(need.resource)
    key = world.key_of(resource) if resource else None
    actions = _KEY_ACTIONS.get((service, name)) or _KEY_ACTIONS.get((service, "*"))
    if not key or not actions or resource is None:
        return
    place = world.place(resource)
    context = {"kms:ViaService": f"{service}.{place.region}.amazonaws.com"}
    if service == "s3":  # with bucket keys, which all of the platform's buckets have, the context is the bucket
        context["kms:EncryptionContext:aws:s3:arn"] = world.arn(resource)
    if need.caller.is_service:
        context["aws:SourceAccount"] = need.caller.account
        context |= {name: value for name, value in need.context.items() if name == "aws:SourceArn"}
    for action in actions:
        yield replace(need, action=f"kms:{action}", resource=key, region=place.region, context=context)


_KEY_ACTIONS: dict[tuple[str, str], tuple[str, ...]] = {
    ("s3", "GetObject"): ("Decrypt",),
    ("s3", "PutObject"): ("GenerateDataKey",),
    ("s3", "AbortMultipartUpload"): (),
    ("secretsmanager", "GetSecretValue"): ("Decrypt",),
    ("secretsmanager", "PutSecretValue"): ("GenerateDataKey", "Decrypt"),
    ("sqs", "SendMessage"): ("GenerateDataKey", "Decrypt"),
    ("sns", "Publish"): ("GenerateDataKey", "Decrypt"),
    ("kinesis", "GetRecords"): ("Decrypt",),
    ("kinesis", "PutRecord"): ("GenerateDataKey",),
    ("dynamodb", "*"): ("Decrypt",),
}
"""https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html,
https://docs.aws.amazon.com/secretsmanager/latest/userguide/security-encryption.html,
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html,
https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html,
https://docs.aws.amazon.com/streams/latest/dev/permissions-user-key-KMS.html,
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/encryption.usagenotes.html"""


def judge(world: World, needs: Iterable[Need]) -> Iterator[str]:
    """Descriptions of needs that are not met, and of refusals that are missing. Empty if there are none."""
    for need in needs:
        decision = ask(world, need.request)
        if not decision:
            yield f"{need}: refused, {decision.why}; {need.source}"
        for who, request in strangers(world, need):
            if stranger := ask(world, request):
                yield f"{need}: allowed to {who}, too: {_by(stranger)}"


def _by(decision: Decision) -> str:
    return "; ".join(map(str, decision.by)) or decision.why


def strangers(world: World, need: Need) -> Iterator[tuple[str, Request]]:
    """The same request by other callers, and on other keys, for which it must be refused."""
    request = need.request
    other_account = Caller(f"arn:aws:iam::{_ELSEWHERE}:role/Stranger", _ELSEWHERE, EVERYTHING)
    public = (_PUBLIC.format(region=need.region), f"arn:aws:ec2:{need.region}::image/")
    if need.resource != "*" and not need.resource.startswith(public):
        yield "an administrator of another account", replace(request, caller=other_account, context={})
    account = need.caller.account
    yield "a role without rights", replace(request, caller=Caller(f"arn:aws:iam::{account}:role/Stranger", account))
    if need.caller.is_service:
        yield "another service", replace(request, caller=Caller("states.example.amazonaws.com", account))
        if need.caller.name not in UNTIED and (_tells_for_whom(need) or _is_tied(world, need)):
            context = {key: value.replace(account, _ELSEWHERE) for key, value in need.context.items()}
            caller = Caller(need.caller.name, _ELSEWHERE)
            yield "the service for another account", replace(request, caller=caller, context=context)
    elif need.action == "sts:AssumeRoleWithWebIdentity":
        yield from _other_tokens(need)
    elif need.action.startswith("kms:") and need.caller.name in world.roles:
        for key in _other_keys(world, need):
            yield f"its role on another key, {key}", replace(request, resource=key, region=key.split(":")[3])


def _other_tokens(need: Need) -> Iterator[tuple[str, Request]]:
    """Tokens of other service accounts, for another audience, and of another cluster."""
    for key, value in need.context.items():
        kind, _, account = value.rpartition("serviceaccount:")
        namespace, _, name = account.partition(":")
        for other in (f"{kind}serviceaccount:other:{name}", f"{kind}serviceaccount:{namespace}:other", "other"):
            yield f"a token with {key} {other}", replace(need.request, context={**need.context, key: other})
        missing = {other: text for other, text in need.context.items() if other != key}
        yield f"a token without {key}", replace(need.request, context=missing)
    caller = replace(need.caller, name=f"{need.caller.name}Other")
    yield "another cluster", replace(need.request, caller=caller)


def _is_tied(world: World, need: Need) -> bool:
    by = ask(world, need.request).by
    return any(need.caller.account in value for one in by for *_, values in one.conditions for value in values)


def _tells_for_whom(need: Need) -> bool:
    """Whether the service must be tied to an account. A role can be passed by its own account alone, so services
    that take a role need no such tie."""
    return need.action not in ("sts:AssumeRole", "sts:TagSession")


def _other_keys(world: World, need: Need) -> Iterator[str]:
    """A key of the account that no statement of the caller's role names, so its use must be refused."""
    own = {arn for one in need.caller.statements for arn in one.resources.patterns}
    for key in world.resources("AWS::KMS::Key"):
        arn = world.arn(key)
        if world.place(key).account == need.caller.account and arn not in own:
            yield arn
            return
