"""Kinds that Helm charts and EKS add-ons bring, as far as the platform's own objects use them.

Synthesis checks resources against these, so that a misspelt field is found before anything is deployed; the projects'
own definitions, which the charts install, know more fields. Field names were read from the projects' releases in
``helm_charts.toml`` and from the add-ons' builds.
"""

from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]

_ANYTHING: Schema = {"x-kubernetes-preserve-unknown-fields": True}
_TEXT: Schema = {"type": "string"}
_NUMBER: Schema = {"type": "integer"}
_FLAG: Schema = {"type": "boolean"}
_OBJECT: Schema = {"type": "object", **_ANYTHING}
_PORT: Schema = {"x-kubernetes-int-or-string": True}


def _list(items: Schema = _ANYTHING) -> Schema:
    return {"type": "array", "items": items}


def _map(values: Schema) -> Schema:
    return {"type": "object", "additionalProperties": values}


def _fields(required: str = "", /, **properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, **({"required": required.split()} if required else {})}


def _one_of(*values: str) -> Schema:
    return {"type": "string", "enum": list(values)}


def _definition(address: str, kind: str, spec: Schema, *, namespaced: bool = True) -> Schema:
    """A CustomResourceDefinition.

    :param address: ``<plural>.<group>/<version>``; several versions are separated by commas, the stored one first.
    """
    name, _, versions = address.partition("/")
    plural, _, group = name.partition(".")
    schema = {"type": "object", "properties": {"spec": spec, "status": _OBJECT}}
    if "required" in spec:
        schema["required"] = ["spec"]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": name},
        "spec": {
            "group": group,
            "scope": "Namespaced" if namespaced else "Cluster",
            "names": {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower()},
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": number == 0,
                    "schema": {"openAPIV3Schema": schema},
                    "subresources": {"status": {}},
                }
                for number, version in enumerate(versions.split(","))
            ],
        },
    }


_TAINTS = _list(_fields("effect key", key=_TEXT, value=_TEXT, effect=_TEXT))
_KARPENTER = (
    _definition(
        "nodepools.karpenter.sh/v1",
        "NodePool",
        _fields(
            "template",
            disruption=_fields(
                "consolidateAfter",
                budgets=_list(_fields("nodes", duration=_TEXT, nodes=_TEXT, reasons=_list(_TEXT), schedule=_TEXT)),
                consolidateAfter=_TEXT,
                consolidationPolicy=_one_of("WhenEmpty", "WhenEmptyOrUnderutilized", "Balanced"),
            ),
            limits=_map(_PORT),
            template=_fields(
                "spec",
                metadata=_fields(annotations=_map(_TEXT), labels=_map(_TEXT)),
                spec=_fields(
                    "nodeClassRef requirements",
                    expireAfter=_TEXT,
                    nodeClassRef=_fields("group kind name", group=_TEXT, kind=_TEXT, name=_TEXT),
                    requirements=_list(
                        _fields(
                            "key operator",
                            key=_TEXT,
                            minValues=_NUMBER,
                            operator=_one_of("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt", "Gte", "Lte"),
                            values=_list(_TEXT),
                        )
                    ),
                    startupTaints=_TAINTS,
                    taints=_TAINTS,
                    terminationGracePeriod=_TEXT,
                ),
            ),
            weight=_NUMBER,
        ),
        namespaced=False,
    ),
    _definition("nodeclaims.karpenter.sh/v1", "NodeClaim", _OBJECT, namespaced=False),
    _definition(
        "ec2nodeclasses.karpenter.k8s.aws/v1",
        "EC2NodeClass",
        _fields(
            "amiSelectorTerms securityGroupSelectorTerms subnetSelectorTerms",
            amiFamily=_one_of("AL2023", "Bottlerocket", "Custom"),
            amiSelectorTerms=_list(_fields(alias=_TEXT, id=_TEXT)),
            blockDeviceMappings=_list(
                _fields(
                    deviceName=_TEXT,
                    ebs=_fields(
                        deleteOnTermination=_FLAG,
                        encrypted=_FLAG,
                        kmsKeyID=_TEXT,
                        volumeSize=_TEXT,
                        volumeType=_TEXT,
                    ),
                    rootVolume=_FLAG,
                )
            ),
            instanceProfile=_TEXT,
            kubelet=_fields(maxPods=_NUMBER),
            metadataOptions=_fields(
                httpEndpoint=_TEXT, httpProtocolIPv6=_TEXT, httpPutResponseHopLimit=_NUMBER, httpTokens=_TEXT
            ),
            securityGroupSelectorTerms=_list(_fields(id=_TEXT, tags=_map(_TEXT))),
            subnetSelectorTerms=_list(_fields(id=_TEXT, tags=_map(_TEXT))),
            tags=_map(_TEXT),
            userData=_TEXT,
        ),
        namespaced=False,
    ),
)

_GROUP_ID = _fields("groupID", groupID=_TEXT)
_LOAD_BALANCERS = (
    _definition(
        "targetgroupbindings.elbv2.k8s.aws/v1beta1",
        "TargetGroupBinding",
        _fields(
            "serviceRef",
            ipAddressType=_one_of("ipv4", "ipv6"),
            networking=_fields(
                ingress=_list(
                    _fields(
                        "from ports",
                        ports=_list(_fields(port=_PORT, protocol=_one_of("TCP", "UDP"))),
                        **{"from": _list(_fields(ipBlock=_fields("cidr", cidr=_TEXT), securityGroup=_GROUP_ID))},
                    )
                )
            ),
            nodeSelector=_OBJECT,
            serviceRef=_fields("name port", name=_TEXT, port=_PORT),
            targetGroupARN=_TEXT,
            targetGroupName=_TEXT,
            targetGroupProtocol=_TEXT,
            targetType=_one_of("instance", "ip"),
            vpcID=_TEXT,
        ),
    ),
    _definition(
        "ingressclassparams.elbv2.k8s.aws/v1beta1",
        "IngressClassParams",
        _fields(
            certificateArn=_list(_TEXT),
            group=_fields("name", name=_TEXT),
            inboundCIDRs=_list(_TEXT),
            ipAddressType=_TEXT,
            loadBalancerAttributes=_list(_fields("key value", key=_TEXT, value=_TEXT)),
            namespaceSelector=_OBJECT,
            scheme=_one_of("internal", "internet-facing"),
            sslPolicy=_TEXT,
            sslRedirectPort=_TEXT,
            subnets=_OBJECT,
            tags=_list(_fields("key value", key=_TEXT, value=_TEXT)),
            targetType=_one_of("instance", "ip"),
            wafv2AclArn=_TEXT,
        ),
        namespaced=False,
    ),
)

_NETWORKING = "networking.istio.io/v1,v1beta1,v1alpha3"
_SECURITY = "security.istio.io/v1,v1beta1"
_WORKLOADS: Mapping[str, Schema] = {"selector": _OBJECT, "targetRef": _OBJECT, "targetRefs": _list()}
_MTLS = _fields(mode=_one_of("UNSET", "DISABLE", "PERMISSIVE", "STRICT"))
_MESH = (
    _definition(
        f"virtualservices.{_NETWORKING}",
        "VirtualService",
        _fields(
            exportTo=_list(_TEXT), gateways=_list(_TEXT), hosts=_list(_TEXT), http=_list(), tcp=_list(), tls=_list()
        ),
    ),
    _definition(f"gateways.{_NETWORKING}", "Gateway", _fields(selector=_map(_TEXT), servers=_list())),
    _definition(
        f"destinationrules.{_NETWORKING}",
        "DestinationRule",
        _fields(
            "host",
            exportTo=_list(_TEXT),
            host=_TEXT,
            subsets=_list(),
            trafficPolicy=_OBJECT,
            workloadSelector=_OBJECT,
        ),
    ),
    _definition(
        f"serviceentries.{_NETWORKING}",
        "ServiceEntry",
        _fields(
            "hosts",
            addresses=_list(_TEXT),
            endpoints=_list(),
            exportTo=_list(_TEXT),
            hosts=_list(_TEXT),
            location=_TEXT,
            ports=_list(),
            resolution=_TEXT,
            subjectAltNames=_list(_TEXT),
            workloadSelector=_OBJECT,
        ),
    ),
    _definition(
        f"sidecars.{_NETWORKING}",
        "Sidecar",
        _fields(
            egress=_list(),
            inboundConnectionPool=_OBJECT,
            ingress=_list(),
            outboundTrafficPolicy=_OBJECT,
            workloadSelector=_OBJECT,
        ),
    ),
    _definition(
        "envoyfilters.networking.istio.io/v1alpha3",
        "EnvoyFilter",
        _fields(configPatches=_list(), priority=_NUMBER, targetRefs=_list(), workloadSelector=_OBJECT),
    ),
    _definition(
        f"authorizationpolicies.{_SECURITY}",
        "AuthorizationPolicy",
        _fields(
            action=_one_of("ALLOW", "DENY", "AUDIT", "CUSTOM"),
            provider=_fields(name=_TEXT),
            rules=_list(),
            **_WORKLOADS,
        ),
    ),
    _definition(
        f"peerauthentications.{_SECURITY}",
        "PeerAuthentication",
        _fields(mtls=_MTLS, portLevelMtls=_map(_MTLS), selector=_OBJECT),
    ),
    _definition(
        f"requestauthentications.{_SECURITY}", "RequestAuthentication", _fields(jwtRules=_list(), **_WORKLOADS)
    ),
    _definition(
        "telemetries.telemetry.istio.io/v1,v1alpha1",
        "Telemetry",
        _fields(accessLogging=_list(), metrics=_list(), tracing=_list(), **_WORKLOADS),
    ),
)

_ISSUER = _fields("name", group=_TEXT, kind=_TEXT, name=_TEXT)
_ISSUERS = _fields(acme=_OBJECT, ca=_OBJECT, selfSigned=_OBJECT, vault=_OBJECT, venafi=_OBJECT)
_CERTIFICATES = (
    _definition(
        "certificates.cert-manager.io/v1",
        "Certificate",
        _fields(
            "issuerRef secretName",
            commonName=_TEXT,
            dnsNames=_list(_TEXT),
            duration=_TEXT,
            ipAddresses=_list(_TEXT),
            isCA=_FLAG,
            issuerRef=_ISSUER,
            privateKey=_OBJECT,
            renewBefore=_TEXT,
            revisionHistoryLimit=_NUMBER,
            secretName=_TEXT,
            secretTemplate=_OBJECT,
            subject=_OBJECT,
            uris=_list(_TEXT),
            usages=_list(_TEXT),
        ),
    ),
    _definition("issuers.cert-manager.io/v1", "Issuer", _ISSUERS),
    _definition("clusterissuers.cert-manager.io/v1", "ClusterIssuer", _ISSUERS, namespaced=False),
)

_SECRETS = (
    _definition(
        "secretproviderclasses.secrets-store.csi.x-k8s.io/v1",
        "SecretProviderClass",
        _fields(
            parameters=_map(_TEXT),
            provider=_TEXT,
            secretObjects=_list(
                _fields(
                    annotations=_map(_TEXT),
                    data=_list(_fields(key=_TEXT, objectName=_TEXT)),
                    labels=_map(_TEXT),
                    secretName=_TEXT,
                    type=_TEXT,
                )
            ),
        ),
    ),
)

DEFINITIONS: Mapping[str, tuple[Schema, ...]] = {
    "aws-load-balancer-controller": _LOAD_BALANCERS,
    "aws-secrets-store-csi-driver-provider": _SECRETS,
    "base": _MESH,
    "cert-manager": _CERTIFICATES,
    "karpenter-crd": _KARPENTER,
}
"""Chart or add-on to the CustomResourceDefinitions that it brings."""
