"""The HTTP side of one stand-in cluster."""

import json
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, replace
from email.message import Message
from typing import Any, ClassVar
from urllib.parse import unquote, urlsplit

from kubernetes_rehearsal.interface import AUTHENTICATED, Authenticate, Identity
from kubernetes_rehearsal.listener import Handler, Listener
from kubernetes_rehearsal.standin import discovery
from kubernetes_rehearsal.standin.cluster import Cluster, as_version
from kubernetes_rehearsal.standin.errors import ApiError, Object, no_such_page
from kubernetes_rehearsal.standin.kinds import ResourceType
from kubernetes_rehearsal.standin.options import Options
from kubernetes_rehearsal.standin.reading import parse
from kubernetes_rehearsal.standin.requests import Query, Target, parse_target, verb_of
from kubernetes_rehearsal.standin.reviews import answer, is_review
from kubernetes_rehearsal.standin.roles import Access, Authorizer
from kubernetes_rehearsal.standin.scale import scale_of, scaled
from kubernetes_rehearsal.standin.selectors import field_matcher, label_matcher

_HEALTH = (["healthz"], ["livez"], ["readyz"])
_INITIAL_END = "k8s.io/initial-events-end"


@dataclass(frozen=True)
class Site:
    """A cluster, and the authenticator of its callers."""

    cluster: Cluster
    authenticate: Authenticate


class ClusterHandler(Handler):
    """Answers for one cluster."""

    site: ClassVar[Site]
    server: Listener

    def handle_any(self) -> None:
        content = self.body()
        try:
            identity = self.site.authenticate(self.bearer_token() or "")
            if identity is None:
                raise ApiError(401, "Unauthorized", "Unauthorized")
            self._answer(content, impersonated(self.site.cluster, identity, self.headers))
        except ApiError as error:
            self.reply(error.code, json.dumps(error.status()).encode())
        except OSError:
            raise  # the client is gone
        except Exception as error:
            traceback.print_exc()
            fault = ApiError(500, "InternalError", f"a fault of the stand-in: {error!r}")
            self.reply(fault.code, json.dumps(fault.status()).encode())

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

    def _answer(self, content: bytes, identity: Identity) -> None:
        url = urlsplit(self.path)
        parts = [unquote(part) for part in url.path.split("/") if part]
        query = Query.parse(url.query)
        accept = self.headers.get("Accept") or ""
        document = find_document(self.site.cluster, parts, accept)
        if document is not None:
            media = discovery.AGGREGATED if document.get("kind") == "APIGroupDiscoveryList" else "application/json"
            self.reply(200, json.dumps(document).encode(), media)
        elif parts == ["openapi", "v2"]:
            self.reply(200, b"", "application/com.github.proto-openapi.spec.v2.v1.0+protobuf")
        elif parts in _HEALTH:
            self.reply(200, b"ok", "text/plain")
        else:
            self._serve(parse_target(parts or [""]), query, content, identity)

    def _serve(self, target: Target, query: Query, content: bytes, identity: Identity) -> None:
        request = Request(self.site.cluster, target, query, self.headers.get("User-Agent") or "", identity)
        watching = self.command == "GET" and query.flag("watch")
        request.authorize(verb_of(self.command, target, watching))
        if watching:
            self._stream(request)
        else:
            media = (self.headers.get("Content-Type") or "").partition(";")[0].strip()
            status, found = request.perform(self.command, content, media)
            self.reply(status, json.dumps(found).encode())

    def _stream(self, request: "Request") -> None:
        events = request.watch(self.server.stopping.is_set)
        first = next(events)  # refusals come before the headers
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self._chunk(first)
        for event in events:
            self._chunk(event)
        self.wfile.write(b"0\r\n\r\n")

    def _chunk(self, event: Object | None) -> None:
        if event is not None:
            line = json.dumps(event).encode() + b"\n"
            self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
        self.wfile.flush()


def handler_for(cluster: Cluster, authenticate: Authenticate) -> type[Handler]:
    """The handler class of a cluster's listener."""
    return type("ClusterHandler", (ClusterHandler,), {"site": Site(cluster, authenticate)})


def impersonated(cluster: Cluster, identity: Identity, headers: Message) -> Identity:
    """The identity of a request: the caller's, or an impersonated one if RBAC allows it.

    :raises ApiError: 403, if RBAC does not allow it.
    """
    username, groups = headers.get("Impersonate-User"), headers.get_all("Impersonate-Group") or []
    if not username:
        return identity
    authorizer = Authorizer(cluster.store)
    authorizer.require(identity, Access("impersonate", "", "users", name=username))
    for group in groups:
        authorizer.require(identity, Access("impersonate", "", "groups", name=group))
    return Identity(username, tuple(dict.fromkeys((*groups, AUTHENTICATED))))


def find_document(cluster: Cluster, parts: list[str], accept: str) -> Object | None:
    """A document about the API itself, or None if the path is about objects.

    :raises ApiError: 404, where a group or version is not served.
    """
    types = cluster.types
    wants_all = "as=APIGroupDiscoveryList" in accept and "v=v2" in accept
    match parts:
        case ["version"]:
            return discovery.version(cluster.minor)
        case ["api"]:
            return discovery.aggregated(types, core=True) if wants_all else {"kind": "APIVersions", "versions": ["v1"]}
        case ["apis"]:
            return discovery.aggregated(types, core=False) if wants_all else discovery.group_list(types)
        case ["api", version]:
            return discovery.resource_list(types, "", version)
        case ["apis", group]:
            if group not in discovery.groups(types):
                raise no_such_page()
            return discovery.group_document(group, discovery.groups(types)[group])
        case ["apis", group, version]:
            return discovery.resource_list(types, group, version)
        case ["openapi", "v3"]:
            return discovery.openapi_index(types)
        case ["openapi", "v3", "api", version]:
            return discovery.openapi_document(types, "", version)
        case ["openapi", "v3", "apis", group, version]:
            return discovery.openapi_document(types, group, version)
    return None


class Request:
    """An authenticated request for objects."""

    def __init__(self, cluster: Cluster, target: Target, query: Query, user_agent: str, identity: Identity) -> None:
        self._cluster = cluster
        self._target = target
        self._query = query
        self._options = query.options(user_agent)
        self._identity = identity
        self._authorizer = Authorizer(cluster.store)
        self._type: ResourceType | None = None if is_review(target) else self._served(target)

    def authorize(self, verb: str) -> None:
        """:raises ApiError: 403, where the identity may not do this."""
        target = self._target
        if not is_review(target) or not target.plural.startswith("self"):
            namespace = target.name if target.plural == "namespaces" and not target.group else target.namespace
            self._authorizer.require(
                self._identity, Access(verb, target.group, target.resource, namespace, target.name)
            )

    def perform(self, method: str, content: bytes, media: str) -> tuple[int, Object]:
        """Do what is asked; HTTP status and body."""
        if self._type is None:
            return 201, answer(self._target, parse(content), self._identity, self._authorizer)
        kind, target, query = self._type, self._target, self._query
        if method == "GET":
            if target.name:
                found = self._cluster.get(kind, target.namespace, target.name)
                return 200, scale_of(found) if target.subresource == "scale" else found
            return 200, self._cluster.list(
                kind, target.namespace, query.text("labelSelector"), query.text("fieldSelector")
            )
        if method == "DELETE":
            return 200, self._delete(kind, parse(content))
        return self._write(kind, method, parse(content), media)

    def watch(self, stopping: Any) -> Iterator[Object | None]:
        """Events of the collection, the first one immediately: a bookmark, or None."""
        kind, query = self._type, self._query
        if kind is None:
            raise no_such_page()
        by_label, by_field = label_matcher(query.text("labelSelector")), field_matcher(query.text("fieldSelector"))

        def matches(found: Object | None) -> bool:
            inside = found is not None and (
                not self._target.namespace or found["metadata"].get("namespace") == self._target.namespace
            )
            return bool(found is not None and inside and by_label(found) and by_field(found))

        since = int(query.text("resourceVersion", "0"))
        if query.flag("sendInitialEvents") or since == 0:
            now = self._cluster.list(kind, self._target.namespace)
            since = int(now["metadata"]["resourceVersion"])
            yield from ({"type": "ADDED", "object": found} for found in now["items"] if matches(found))
            if query.flag("sendInitialEvents"):
                yield _bookmark(kind, since)
        yield None
        for event in self._cluster.store.watch((kind.group, kind.plural), since, stopping):
            if event is None:
                yield None
                continue
            was, fits = matches(event.before), matches(event.found)
            if was or fits:
                seen = event.kind if was == fits else "ADDED" if fits else "DELETED"
                seen = event.kind if event.kind != "MODIFIED" else seen
                yield {"type": seen, "object": as_version(kind, event.found)}

    def _served(self, target: Target) -> ResourceType:
        kind = self._cluster.type(target.group, target.version, target.plural)
        if target.subresource and target.subresource not in kind.subresources:
            raise no_such_page()
        if kind.namespaced and not target.namespace and target.name:
            raise no_such_page()
        if target.namespace and not kind.namespaced:
            raise no_such_page()
        return kind

    def _write(self, kind: ResourceType, method: str, content: Any, media: str) -> tuple[int, Object]:
        target, cluster = self._target, self._cluster
        options = replace(self._options, examine=self._examine)
        if method == "POST":
            if target.name or (kind.namespaced and not target.namespace):
                raise ApiError(
                    405, "MethodNotAllowed", "the server does not allow this method on the requested resource"
                )
            return 201, cluster.create(kind, target.namespace, content, options)
        if target.subresource == "finalize":
            return 200, cluster.finalize(target.name, content)
        if target.subresource == "scale":
            return 200, self._scale(kind, content, media, options)
        if method == "PUT":
            return 200, cluster.update(kind, target.namespace, target.name, content, options, target.subresource)
        return 200, cluster.patch(kind, target.namespace, target.name, content, media, options, target.subresource)

    def _examine(self, found: Object) -> None:
        self._authorizer.refuse_escalation(self._identity, found)

    def _scale(self, kind: ResourceType, content: Any, media: str, options: Options) -> Object:
        target = self._target
        found = self._cluster.get(kind, target.namespace, target.name)
        changed = self._cluster.update(kind, target.namespace, target.name, scaled(found, content, media), options)
        return scale_of(changed)

    def _delete(self, kind: ResourceType, content: Any) -> Object:
        target, cluster = self._target, self._cluster
        body = content if isinstance(content, dict) else {}
        options = Options(
            dry_run=self._options.dry_run or "All" in body.get("dryRun", []),
            policy=body.get("propagationPolicy") or self._options.policy,
        )
        if target.name:
            return cluster.delete(kind, target.namespace, target.name, options)
        found = cluster.list(
            kind, target.namespace, self._query.text("labelSelector"), self._query.text("fieldSelector")
        )
        for one in found["items"]:
            cluster.delete(kind, one["metadata"].get("namespace", ""), one["metadata"]["name"], options)
        return found


def _bookmark(kind: ResourceType, revision: int) -> Object:
    metadata = {"resourceVersion": str(revision), "annotations": {_INITIAL_END: "true"}}
    return {"type": "BOOKMARK", "object": {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata}}
