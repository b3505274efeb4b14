"""Kubeflow as stacks of the training cluster: its options, its teams in AWS, and its objects as files."""

import itertools
import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from stacks.manifests import write_manifests
from tests.kubeflow_options import IDENTITIES, IN_AWS, OPTIONS, STACKS, TEAMS, WITH_MORE, Option, Platform
from tests.policies import allows


@pytest.fixture(scope="module")
def option(tmp_path_factory: pytest.TempPathFactory) -> Option:
    @cache
    def made(deployment: str) -> Platform:
        return Platform(tmp_path_factory.mktemp(deployment), deployment)

    return made


every_option = pytest.mark.parametrize("deployment", OPTIONS)


@pytest.mark.promise("deployment-options", "no-stack-cycles")
@every_option
def test_an_option_is_stacks_in_order_behind_the_services_of_the_cluster(option: Option, deployment: str) -> None:
    stacks = option(deployment).stacks
    for before, after in zip(STACKS, STACKS[1:], strict=False):
        assert f"some/{before}" in stacks[after].dependencies, after


IMPORT = re.compile(r'"Fn::ImportValue": "([^"]+)"')


BY_WORKLOAD_IDENTITY = r"ClusterOidcProvider|OpenIdConnectIssuerUrl"
"""Exports of clusters whose pods get roles by IRSA. Options are synthesized here with different identities of pods."""


def exports(platform: Platform) -> set[str]:
    outputs = [out for stack in platform.stacks.values() for out in stack.template.get("Outputs", {}).values()]
    return {output["Export"]["Name"] for output in outputs if "Export" in output}


@pytest.mark.promise("deployment-options")
@pytest.mark.parametrize(("before", "after"), list(itertools.permutations(OPTIONS, 2)))
def test_a_change_of_the_option_removes_no_export_that_a_stack_imports(option: Option, before: str, after: str) -> None:
    """CloudFormation refuses that until the importing stack is updated, which comes later."""
    imported = {name for stack in option(before).stacks.values() for name in IMPORT.findall(json.dumps(stack.template))}
    assert len(imported & exports(option(before))) > 10
    removed = sorted(imported & exports(option(before)) - exports(option(after)))
    assert [name for name in removed if not re.search(BY_WORKLOAD_IDENTITY, name)] == []


@every_option
def test_operators_of_training_jobs_come_with_their_definitions(option: Option, deployment: str) -> None:
    platform = option(deployment)
    jobs = {"tfjobs.kubeflow.org", "pytorchjobs.kubeflow.org", "xgboostjobs.kubeflow.org", "mpijobs.kubeflow.org"}
    jobs.add("sparkapplications.sparkoperator.k8s.io")
    new = {"jobsets.jobset.x-k8s.io", "trainjobs.trainer.kubeflow.org", "clusterqueues.kueue.x-k8s.io"}
    found = set(platform.of_kind("TrainingKubeflowTraining", "CustomResourceDefinition"))
    assert jobs <= found
    assert (new <= found) is (deployment in WITH_MORE)
    trials = platform.of_kind(PIPELINES, "ConfigMap")["katib-config"]["data"]["katib-config.yaml"]
    assert ("TrainJob.v1alpha1.trainer.kubeflow.org" in trials) is (deployment in WITH_MORE)
    homes = platform.of_kind("TrainingKubeflow", "Namespace")
    assert ({"kubeflow-system", "kueue-system"} <= set(homes)) is (deployment in WITH_MORE)
    queues = platform.of_kind("TrainingKubeflowTeams", "ClusterQueue")
    assert set(queues) == (set(TEAMS) if deployment in WITH_MORE else set())


PIPELINES = "TrainingKubeflowPipelines"
SERVICES = {
    "ml-pipeline": "pipelines",
    "metadata-grpc-server": "metadata",
    "kubeflow-pipelines-cache": "cache",
    "katib-db-manager": "katib",
}
"""The services with a database, by Deployment and service account, each with its consumer in the database."""


def roles_of(platform: Platform, stack: str) -> dict[str, list[Any]]:
    """What roles of a stack may do, by ``<namespace>/<service account>`` of their Pod Identity association."""
    policies = platform.resources(stack, "AWS::IAM::Policy").values()
    found: dict[str, list[Any]] = {}
    for tie in platform.resources(stack, "AWS::EKS::PodIdentityAssociation").values():
        role = json.dumps(tie["RoleArn"])
        mine = [policy for policy in policies if any(f'"{name}"' in role or name in role for name in policy["Roles"])]
        statements = [one for policy in mine for one in policy["PolicyDocument"]["Statement"]]
        found[f"{tie['Namespace']}/{tie['ServiceAccount']}"] = statements
    return found


def secrets_read(statements: list[Any]) -> str:
    return json.dumps([one["Resource"] for one in statements if "secretsmanager:GetSecretValue" in one["Action"]])


@pytest.mark.promise("state-options", "state-outside-cluster", "run-metadata", "experiments")
@pytest.mark.parametrize("deployment", IN_AWS)
def test_in_aws_each_service_reads_the_secret_of_its_own_database_user_alone(option: Option, deployment: str) -> None:
    platform = option(deployment)
    roles = roles_of(platform, PIPELINES)
    assert set(roles) == {f"kubeflow/{name}" for name in (*SERVICES, "ml-pipeline-ui")}
    for account, consumer in SERVICES.items():
        text = secrets_read(roles[f"kubeflow/{account}"])
        named = {each for each in SERVICES.values() if f"{each.capitalize()}Secret" in text}
        assert named == {consumer}, text
    assert secrets_read(roles["kubeflow/ml-pipeline-ui"]) == "[]"
    classes = platform.of_kind(PIPELINES, "SecretProviderClass")
    assert set(classes) == {f"{consumer}-database" for consumer in SERVICES.values()}
    workloads = platform.of_kind(PIPELINES, "Deployment")
    for account, consumer in SERVICES.items():
        volumes = json.dumps(workloads[account]["spec"]["template"]["spec"]["volumes"])
        assert f'"secretProviderClass": "{consumer}-database"' in volumes
    assert not platform.of_kind(PIPELINES, "StatefulSet")
    assert not platform.resources(PIPELINES, "AWS::SecretsManager::Secret")


@pytest.mark.promise("state-outside-cluster", "run-logs", "no-long-lived-keys")
@pytest.mark.parametrize("deployment", IN_AWS)
def test_in_aws_parts_of_pipelines_reach_their_prefixes_of_the_bucket_by_roles(option: Option, deployment: str) -> None:
    roles = roles_of(option(deployment), PIPELINES)

    def prefixes(account: str, action: str) -> set[str]:
        """What stands behind the bucket in the resources of an action."""
        resources = [one["Resource"] for one in roles[f"kubeflow/{account}"] if action in one["Action"]]
        found = [each for one in resources for each in (one if isinstance(one, list) else [one])]
        return {each.partition(".Arn")[2] for each in found}

    assert prefixes("ml-pipeline", "s3:PutObject") == {"/pipelines/*"}
    assert prefixes("ml-pipeline", "s3:DeleteObject") == {"/pipelines/*"}
    assert prefixes("ml-pipeline", "s3:GetObject") == {"/pipelines/*", "/*/pipelines/*"}
    assert prefixes("ml-pipeline-ui", "s3:GetObject") == {"/*/logs/*"}
    assert not prefixes("ml-pipeline-ui", "s3:PutObject")
    for account in ("metadata-grpc-server", "kubeflow-pipelines-cache", "katib-db-manager"):
        assert "s3:" not in json.dumps(roles[f"kubeflow/{account}"])
    text = json.dumps(option(deployment).objects(PIPELINES)).lower()
    assert "accesskeysecret" not in text
    assert "aws_secret_access_key" not in text


@pytest.mark.parametrize("deployment", IN_AWS)
def test_in_aws_pods_reach_the_database_by_a_rule_of_their_own_stack_and_verify_it(
    option: Option, deployment: str
) -> None:
    platform = option(deployment)
    (rule,) = platform.resources(PIPELINES, "AWS::EC2::SecurityGroupIngress").values()
    assert (rule["FromPort"], rule["ToPort"], rule["IpProtocol"]) == (3306, 3306, "tcp")
    assert "SourceSecurityGroupId" in rule
    assert "CidrIp" not in rule
    authorities = platform.of_kind(PIPELINES, "ConfigMap")["database-authorities"]["data"]["authorities.pem"]
    assert authorities.count("BEGIN CERTIFICATE") == 1  # of the account's Region


@pytest.mark.promise("state-options", "no-long-lived-keys")
@pytest.mark.parametrize("deployment", ["vanilla", "cognito"])
def test_in_the_cluster_state_has_generated_secrets_that_its_servers_alone_read(
    option: Option, deployment: str
) -> None:
    platform = option(deployment)
    assert set(platform.of_kind(PIPELINES, "StatefulSet")) == {"mysql", "seaweedfs"}
    owners = TEAMS if deployment in WITH_MORE else ()
    workloads = platform.of_kind(PIPELINES, "Deployment")
    admitted = platform.of_kind(PIPELINES, "AuthorizationPolicy")["mysql"]["spec"]["rules"][0]["from"][0]["source"]
    services = [f"cluster.local/ns/kubeflow/sa/{name}" for name in SERVICES]
    assert admitted["principals"] == [*services, *map(identity_of, owners)]
    for name in SERVICES:
        labels = workloads[name]["spec"]["template"]["metadata"]["labels"]
        assert labels["sidecar.istio.io/inject"] == "true", "outside the mesh it would have no identity"
    secrets = platform.resources(PIPELINES, "AWS::SecretsManager::Secret")
    assert len(secrets) == 3 + len(TEAMS) + len(owners)
    for found in secrets.values():
        assert found["GenerateSecretString"]["PasswordLength"] == 32
        assert "SecretString" not in found
        assert "KmsKeyId" in found
    roles = roles_of(platform, PIPELINES)
    assert set(roles) == {"kubeflow/mysql", "kubeflow/seaweedfs"}
    assert "Keys" not in secrets_read(roles["kubeflow/mysql"])
    assert "Password" not in secrets_read(roles["kubeflow/seaweedfs"])
    proxies = roles_of(platform, "TrainingKubeflowTeams")
    for team in TEAMS:
        read = secrets_read(proxies[f"{team}/ml-pipeline-ui-artifact"])
        assert [other for other in TEAMS if f"Keys{other}" in read] == [team], read
    assert {account for account, statements in proxies.items() if "secretsmanager" in json.dumps(statements)} == {
        *(f"{team}/ml-pipeline-ui-artifact" for team in TEAMS),
        *(f"{team}/{REGISTRY}" for team in owners),
    }


REGISTRY = "model-registry-server"
"""Service account and Deployment of a team's model registry; the page is the platform's."""


def identity_of(team: str) -> str:
    return f"cluster.local/ns/{team}/sa/{REGISTRY}"


@pytest.mark.promise("model-registry", "team-isolation")
@every_option
def test_each_team_has_a_model_registry_if_the_account_file_asks_for_it(option: Option, deployment: str) -> None:
    platform = option(deployment)
    wanted = deployment in WITH_MORE
    teams = platform.objects("TrainingKubeflowTeams")
    servers = {one["metadata"]["namespace"] for one in teams if one["metadata"]["name"] == "model-registry"}
    assert servers == (set(TEAMS) if wanted else set())
    assert ("model-registry-ui" in platform.of_kind("TrainingKubeflow", "Deployment")) is wanted
    menu = platform.of_kind("TrainingKubeflow", "ConfigMap")["dashboard-config"]["data"]["links"]
    assert ("/model-registry/" in menu) is wanted
    logins = [name for name in platform.resources("Metadata", "AWS::SecretsManager::Secret") if "Registry" in name]
    assert len(logins) == (len(TEAMS) if wanted and deployment in IN_AWS else 0)


@pytest.mark.promise("model-registry", "team-isolation", "no-long-lived-keys")
@pytest.mark.parametrize("deployment", WITH_MORE)
def test_a_model_registry_reads_the_login_of_its_own_database_alone(option: Option, deployment: str) -> None:
    platform = option(deployment)
    roles = roles_of(platform, "TrainingKubeflowTeams")
    for team in TEAMS:
        text = secrets_read(roles[f"{team}/{REGISTRY}"])
        assert [other for other in TEAMS if f"Registry{other}" in text] == [team], text
        assert "s3:" not in json.dumps(roles[f"{team}/{REGISTRY}"])


def registries(platform: Platform) -> dict[str, Any]:
    """The pods of model registries, by team."""
    found = [one for one in platform.objects("TrainingKubeflowTeams") if one["kind"] == "Deployment"]
    mine = [one for one in found if one["metadata"]["name"] == "model-registry"]
    return {one["metadata"]["namespace"]: one["spec"]["template"] for one in mine}


def database_of(pod: Any) -> str:
    """The name of the database in the arguments of a registry."""
    (address,) = [one for one in pod["spec"]["containers"][0]["args"] if "dsn" in one]
    (name,) = re.findall(r"/(\w+)\?", address)
    return str(name)


PAST_THE_SIDECAR = "traffic.sidecar.istio.io/excludeOutboundPorts"


@pytest.mark.promise("model-registry")
def test_in_aws_a_model_registry_verifies_the_database_itself(option: Option) -> None:
    pods = registries(option("rds-s3"))
    assert set(pods) == set(TEAMS)
    for team, pod in pods.items():
        assert pod["metadata"]["annotations"][PAST_THE_SIDECAR] == "3306"
        assert "&tls=true" in json.dumps(pod["spec"]["containers"][0]["args"]), team
        assert {"configMap": {"name": "database-authorities"}, "name": "database-authorities"} in pod["spec"]["volumes"]


@pytest.mark.promise("model-registry", "team-isolation")
def test_in_the_cluster_a_model_registry_has_a_user_of_its_own_and_calls_through_the_mesh(option: Option) -> None:
    platform = option("cognito")
    pods = registries(platform)
    names = {team: database_of(pod) for team, pod in pods.items()}
    assert len(set(names.values())) == len(TEAMS)
    for pod in pods.values():
        assert PAST_THE_SIDECAR not in pod["metadata"].get("annotations", {})
    (server,) = [
        one for one in platform.of_kind(PIPELINES, "StatefulSet").values() if one["metadata"]["name"] == "mysql"
    ]
    (writing,) = server["spec"]["template"]["spec"]["initContainers"]
    assert writing["command"][4:] == [names[team] for team in TEAMS]
    admitted = platform.of_kind(PIPELINES, "AuthorizationPolicy")["mysql"]["spec"]["rules"][0]["from"][0]["source"]
    assert admitted["principals"][-len(TEAMS) :] == [identity_of(team) for team in TEAMS]
    peers = platform.of_kind(PIPELINES, "NetworkPolicy")["mysql"]["spec"]["ingress"][0]["from"]
    homes = [peer["namespaceSelector"]["matchLabels"] for peer in peers if "namespaceSelector" in peer]
    assert [home["kubernetes.io/metadata.name"] for home in homes] == list(TEAMS)
    logins = [
        json.loads(secret["GenerateSecretString"]["SecretStringTemplate"]).get("username")
        for secret in platform.resources(PIPELINES, "AWS::SecretsManager::Secret").values()
    ]
    assert sorted(name for name in logins if name in names.values()) == sorted(names.values())


def readers_of_logins(platform: Platform) -> set[tuple[str, str]]:
    """Deployments whose pods mount the login of a database, by namespace and name."""
    return {
        (one["metadata"]["namespace"], one["metadata"]["name"])
        for stack in STACKS
        for one in platform.objects(stack)
        if one["kind"] == "Deployment"
        and '-database"' in json.dumps(one["spec"]["template"]["spec"].get("volumes", []))
    }


@pytest.mark.promise("database-logins-renewed")
@every_option
def test_every_reader_of_a_password_that_is_rotated_restarts_each_week(option: Option, deployment: str) -> None:
    """The passwords of the database in the cluster are not rotated."""
    platform = option(deployment)
    restarted = set()
    for stack in STACKS:
        for one in platform.objects(stack):
            if one["kind"] == "CronJob" and one["metadata"]["name"] == "database-login-renewal":
                (ran,) = one["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
                home = one["metadata"]["namespace"]
                restarted |= {(home, each.removeprefix("deployment/")) for each in ran["args"] if "/" in each}
    assert restarted == (readers_of_logins(platform) if deployment in IN_AWS else set())
    services = {("kubeflow", name) for name in SERVICES}
    teams = {(team, "model-registry") for team in TEAMS if deployment in WITH_MORE}
    assert restarted == ((services | teams) if deployment in IN_AWS else set())


@pytest.mark.promise("deployment-options")
def test_no_stack_holds_the_state_that_another_option_removes(option: Option) -> None:
    """A stack that imports an export of another one would keep it from losing what the new option does not have."""
    for deployment in OPTIONS:
        for name in (PIPELINES, "TrainingKubeflowTeams"):
            text = json.dumps(option(deployment).stacks[name].template)
            held = set(re.findall(r'"Fn::ImportValue": "some-(\w+):', text))
            assert held <= {"Security", "TrainingCluster"}, (deployment, name)


@pytest.mark.promise("dashboard")
@every_option
def test_every_entry_of_the_menu_leads_to_a_page_that_is_installed(option: Option, deployment: str) -> None:
    platform = option(deployment)
    found = json.loads(platform.of_kind("TrainingKubeflow", "ConfigMap")["dashboard-config"]["data"]["links"])
    items = [item for one in found["menuLinks"] for item in one.get("items", [one])]
    links = [item["link"] for item in [*items, *found["quickLinks"]]]
    routes = [
        match["uri"]["prefix"]
        for stack in STACKS
        for route in platform.objects(stack)
        if route["kind"] == "VirtualService"
        for http in route["spec"]["http"]
        for match in http["match"]
    ]
    assert len(links) > 10
    assert ("/spark-history/{ns}/" in links) is (deployment in WITH_MORE)
    for link in [link.replace("{ns}", team) for link in links for team in TEAMS]:
        assert any(link.startswith(prefix) for prefix in routes if prefix != "/"), link


@pytest.mark.promise("team-artifacts", "run-logs")
@every_option
def test_runs_of_a_team_keep_artifacts_and_logs_under_its_own_prefix(option: Option, deployment: str) -> None:
    platform = option(deployment)
    roots = {
        one["metadata"]["namespace"]: one["data"]["defaultPipelineRoot"]
        for one in platform.objects("TrainingKubeflowTeams")
        if one["kind"] == "ConfigMap" and one["metadata"]["name"] == "kfp-launcher"
    }
    assert set(roots) == set(TEAMS)
    for team, root in roots.items():
        assert str(root).endswith(f"/{team}/pipelines")
    argo = platform.of_kind(PIPELINES, "ConfigMap")["workflow-controller-configmap"]["data"]
    assert '"keyFormat": "{{workflow.namespace}}/logs/' in str(argo["artifactRepository"])


@pytest.mark.promise("deployment-options", "identity-in-mesh")
@every_option
def test_the_gateway_verifies_tokens_of_who_signs_people_in(option: Option, deployment: str) -> None:
    platform = option(deployment)
    (found,) = platform.of_kind("TrainingKubeflow", "RequestAuthentication").values()
    (people, *machines) = found["spec"]["jwtRules"]
    assert people["outputClaimToHeaders"] == [{"header": "kubeflow-userid", "claim": "email"}]
    workloads = set(platform.of_kind("TrainingKubeflow", "Deployment"))
    if deployment.startswith("cognito"):
        assert people["fromHeaders"] == [{"name": "x-amzn-oidc-accesstoken"}]
        assert [rule["fromHeaders"][0]["name"] for rule in machines] == ["authorization"]
        assert not workloads & {"dex", "oauth2-proxy"}
    else:
        assert people["issuer"] == "http://dex.kubeflow-auth.svc.cluster.local:5556/dex"
        assert not machines
        assert workloads >= {"dex", "oauth2-proxy"}


@pytest.mark.promise("deployment-options")
@every_option
def test_the_mesh_knows_whom_to_ask_where_dex_signs_people_in(option: Option, deployment: str) -> None:
    releases = option(deployment).resources("TrainingServices", "Custom::AWSCDK-EKS-HelmChart").values()
    (values,) = [json.loads(each["Values"]) for each in releases if each["Chart"] == "istiod"]
    providers = values["meshConfig"].get("extensionProviders", [])
    services = [each["envoyExtAuthzHttp"]["service"] for each in providers]
    asked = ["oauth2-proxy.kubeflow-auth.svc.cluster.local"]
    assert services == ([] if deployment.startswith("cognito") else asked)


@pytest.mark.promise("dashboard")
@every_option
def test_only_the_load_balancer_reaches_the_gateway(option: Option, deployment: str) -> None:
    platform = option(deployment)
    (bound,) = platform.of_kind("TrainingKubeflow", "TargetGroupBinding").values()
    assert bound["spec"]["serviceRef"] == {"name": "istio-ingressgateway", "port": 80}
    opened = platform.resources("TrainingKubeflow", "AWS::EC2::SecurityGroupIngress").values()
    assert sorted(rule["FromPort"] for rule in opened) == [80, 15021]
    assert all("SourceSecurityGroupId" in rule and "CidrIp" not in rule for rule in opened)


def test_the_controller_may_register_targets_with_the_group(option: Option) -> None:
    """It may change only what carries the name of its cluster."""
    platform = option("cognito")
    (group,) = [
        each
        for each in platform.resources("Identity", "AWS::ElasticLoadBalancingV2::TargetGroup").values()
        if each["TargetType"] == "ip"
    ]
    tags = {tag["Key"]: tag["Value"] for tag in group["Tags"]}
    assert tags["elbv2.k8s.aws/cluster"] == platform.synthesis.stage.clusters["training"].cluster.cluster.cluster_name


def statements_of_teams(platform: Platform) -> dict[str, list[Any]]:
    """What the role of each team may do in AWS."""
    found: dict[str, list[Any]] = {}
    for policy in platform.resources("TrainingKubeflowTeams", "AWS::IAM::Policy").values():
        (role,) = policy["Roles"]
        statements = policy["PolicyDocument"]["Statement"]
        if "Roles" not in role or {one["Action"] for one in statements if isinstance(one["Action"], str)} == {
            "sts:AssumeRole"
        }:
            continue  # of nodes with kube2iam, of the wait for credentials, and of proxies that read keys of a store
        (name,) = [team for team in TEAMS if team in role]
        found[name] = statements
    return found


def reached_in_aws(statements: list[Any], team: str) -> set[str]:
    """Actions by which a role reaches data of a team: artifacts and logs in the bucket, secrets, volumes."""
    bucket = "some-Storage//ArtifactsBucket88671897.Arn"
    tried = [
        *((f"s3:{action}", f"{bucket}/{team}/pipelines/run/model") for action in ("GetObject", "PutObject")),
        ("s3:DeleteObject", f"{bucket}/{team}/logs/run/step/main.log"),
        ("secretsmanager:GetSecretValue", f"arn:aws:secretsmanager:eu-west-1:111111111111:secret:{team}-AbCdEf"),
        ("elasticfilesystem:ClientMount", "arn:aws:elasticfilesystem:eu-west-1:111111111111:file-system/fs-1"),
        ("ec2:AttachVolume", "arn:aws:ec2:eu-west-1:111111111111:volume/vol-1"),
    ]
    found = {action for action, resource in tried if allows(statements, action, resource)}
    listing = allows(statements, "s3:ListBucket", bucket, s3__prefix=f"{team}/pipelines/")
    return found | ({"s3:ListBucket"} if listing else set())


OWN = {"s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket"}


@pytest.mark.promise("role-per-team", "team-artifacts", "team-isolation")
@every_option
def test_the_role_of_a_team_reaches_its_own_data_and_of_no_other_team(option: Option, deployment: str) -> None:
    by_team = statements_of_teams(option(deployment))
    assert set(by_team) == set(TEAMS)
    for team, other in itertools.product(TEAMS, TEAMS):
        assert reached_in_aws(by_team[team], other) == (OWN if team == other else set()), (team, other)
    assert not re.search(r'"(\*|s3:\*|kms:\*)"', json.dumps(by_team))


@pytest.mark.promise("spark-interfaces", "team-isolation")
@pytest.mark.parametrize("deployment", WITH_MORE)
def test_the_history_server_of_a_team_reads_its_event_logs_and_nothing_else(option: Option, deployment: str) -> None:
    roles = roles_of(option(deployment), "TrainingKubeflowTeams")
    for team, other in itertools.product(TEAMS, TEAMS):
        statements = roles[f"{team}/spark-history"]
        assert reached_in_aws(statements, other) == set()
        bucket = "some-Storage//ArtifactsBucket88671897.Arn"
        log = f"{bucket}/{other}/spark-events/eventlog_v2_1/events_1"
        assert allows(statements, "s3:GetObject", log) is (team == other)
        listing = allows(statements, "s3:ListBucket", bucket, s3__prefix=f"{other}/spark-events/")
        assert listing is (team == other)
        assert not any(allows(statements, f"s3:{action}", log) for action in ("PutObject", "DeleteObject"))


def test_without_its_prefix_a_statement_of_a_team_reaches_another(option: Option) -> None:
    """Or the answers above would be worth nothing."""
    statements = statements_of_teams(option("rds-s3"))["churn"]
    limited = [number for number, one in enumerate(statements) if "churn/*" in json.dumps(one)]
    assert limited
    for number in limited:
        weaker = [*statements]
        weaker[number] = json.loads(json.dumps(weaker[number]).replace("churn/*", "*"))
        assert reached_in_aws(weaker, "fraud"), statements[number]


@pytest.mark.promise("pod-roles", "pod-permissions")
def test_pods_of_a_team_get_its_role_as_the_account_file_says(option: Option) -> None:
    """By association, by annotation of the service account, or by annotation of pods that ask for storage."""
    tied = option("cognito-rds-s3").resources("TrainingKubeflowTeams", "AWS::EKS::PodIdentityAssociation").values()
    assert {(each["Namespace"], each["ServiceAccount"]) for each in tied} == {
        (team, "default-editor") for team in TEAMS
    }
    irsa = option("cognito")
    associated = irsa.resources("TrainingKubeflowTeams", "AWS::EKS::PodIdentityAssociation").values()
    assert "default-editor" not in {each["ServiceAccount"] for each in associated}
    (account, *_) = [
        one
        for one in irsa.objects("TrainingKubeflowTeams")
        if one["kind"] == "ServiceAccount" and one["metadata"]["name"] == "default-editor"
    ]
    assert "eks.amazonaws.com/role-arn" in account["metadata"]["annotations"]
    legacy = option("vanilla")
    defaults = [one for one in legacy.objects("TrainingKubeflowTeams") if one["kind"] == "PodDefault"]
    storage = [one["spec"] for one in defaults if one["metadata"]["name"] == "platform-storage"]
    assert all("iam.amazonaws.com/role" in spec["annotations"] for spec in storage)
    homes = legacy.of_kind("TrainingKubeflowTeams", "Namespace").values()
    assert all("iam.amazonaws.com/allowed-roles" in home["metadata"]["annotations"] for home in homes)


@pytest.mark.promise("team-namespaces")
@every_option
def test_every_team_of_the_account_file_has_a_profile_with_its_quota(option: Option, deployment: str) -> None:
    profiles = option(deployment).of_kind("TrainingKubeflowTeams", "Profile")
    assert {name: found["spec"]["owner"]["name"] for name, found in profiles.items()} == {
        "churn": "ana@example.com",
        "fraud": "ben@example.com",
        "risk": "ana@example.com",
    }
    quotas = {name: found["spec"]["resourceQuotaSpec"]["hard"] for name, found in profiles.items()}
    assert quotas == {
        "churn": {"requests.nvidia.com/gpu": "3"},
        "fraud": {"requests.nvidia.com/gpu": "0"},
        "risk": {"requests.nvidia.com/gpu": "0"},
    }


def test_settings_of_notebooks_reach_their_controller_and_their_page(option: Option) -> None:
    platform = option("cognito-rds-s3")
    controller = platform.of_kind("TrainingKubeflow", "Deployment")["notebook-controller"]
    variables = controller["spec"]["template"]["spec"]["containers"][0]["env"]
    assert {"name": "CULL_IDLE_TIME", "value": "45"} in variables
    page = platform.of_kind("TrainingKubeflow", "ConfigMap")["jupyter-web-app-config"]["data"]
    form = json.loads(page["spawner_ui_config.yaml"])["spawnerFormDefaults"]
    disk = form["workspaceVolume"]["value"]["newPvc"]["spec"]["resources"]["requests"]["storage"]
    assert disk == "7Gi"
    assert [group["groupKey"] for group in form["tolerationGroup"]["options"]] == ["training"]


@pytest.mark.promise("no-long-lived-keys")
def test_passwords_are_generated_and_encrypted_and_only_dex_reads_them(option: Option) -> None:
    platform = option("vanilla")
    secrets = platform.resources("TrainingKubeflow", "AWS::SecretsManager::Secret")
    assert len(secrets) == 4  # two people, the client, the cookies
    for found in secrets.values():
        assert found["GenerateSecretString"]["PasswordLength"] == 32
        assert "SecretString" not in found
        assert "KmsKeyId" in found
    passwords = {name for name in secrets if "Password" in name}
    readers: dict[str, set[str]] = {}
    for policy in platform.resources("TrainingKubeflow", "AWS::IAM::Policy").values():
        (role,) = policy["Roles"]
        text = json.dumps(policy["PolicyDocument"])
        readers[role] = {name for name in secrets if name in text}
    assert [role for role, read in readers.items() if passwords & read] == [role for role in readers if "Dex" in role]


@pytest.mark.promise("deployment-options")
def test_from_rds_s3_to_cognito_rds_s3_is_an_update_in_place(option: Option, tmp_path: Path) -> None:
    """Of every stack with state or with teams, not one resource is created, replaced or removed."""
    before = Platform(tmp_path, "rds-s3", identity=IDENTITIES["cognito-rds-s3"], more=False)
    after = option("cognito-rds-s3")
    types = [
        {
            (name, id): each["Type"]
            for name, stack in platform.stacks.items()
            for id, each in stack.template["Resources"].items()
        }
        for platform in (before, after)
    ]
    changed = {place for place in types[0].keys() | types[1].keys() if types[0].get(place) != types[1].get(place)}
    assert {name for name, _ in changed} == {"Identity", "EdgeCertificate", "TrainingKubeflow"}
    gone = {place: types[0][place] for place in changed if place in types[0]}
    secrets = {id for (_, id), kind in gone.items() if kind == "AWS::SecretsManager::Secret"}
    assert {re.sub("[0-9A-F]{8}$", "", id) for id in secrets} == {
        "SignInClient",
        "SignInCookie",
        "SignInPasswordana",
        "SignInPasswordben",
    }
    assert not {kind for kind in gone.values() if re.search("::(Bucket|DBInstance|FileSystem|Volume)$", kind)}


@pytest.fixture(scope="module")
def files(option: Option, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[Path]]:
    @cache
    def written(deployment: str) -> list[Path]:
        return write_manifests(option(deployment).synthesis, tmp_path_factory.mktemp("manifests"))

    return written


@every_option
def test_the_objects_of_an_option_are_files_in_order_of_application(
    files: Callable[[str], list[Path]], deployment: str
) -> None:
    names = [file.stem for file in files(deployment)]
    assert names == sorted(names)
    components = [name.partition("-")[2] for name in names]
    assert components.index("base-namespaces") < components.index("edge-istio")
    ours = [each for each in components if each.startswith("kubeflow-")]
    assert components.index("edge-istio") < components.index(ours[0])
    assert ours[0] == "kubeflow-kubeflow_base"  # the namespace of the others
    assert components.index("kubeflow-profiles") < components.index("kubeflow-teams")
    after = components[components.index("kubeflow-teams") + 1 :]
    names = [name.removesuffix("-training-kubeflow-teams").removeprefix("kubeflow-") for name in after]
    more = ["database_access", "kueue", "model_registry", "spark_history_server"] if deployment in WITH_MORE else []
    assert sorted(names) == sorted([*more, "pipelines"])
    assert names[0] == ("database_access" if more else "pipelines")
    assert ("kubeflow-dex" in components) is not deployment.startswith("cognito")


def key_of(found: Any) -> tuple[str, str, str]:
    about = found["metadata"]
    return found["kind"], str(about.get("namespace")), about["name"]


EXAMPLE_FILE_SYSTEM = "fs-0123456789abcdef0"
"""In the files; the name of a volume has it, too, where the template has a reference."""


@every_option
def test_every_object_is_in_one_file_with_example_values(
    option: Option, files: Callable[[str], list[Path]], deployment: str
) -> None:
    keys: list[tuple[str, str, str]] = []
    for file in files(deployment):
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"Fn::|\$\{Token|\bRef\b: ", text), file.name
        for kind, namespace, name in map(key_of, yaml.safe_load_all(text)):
            keys.append((kind, namespace, name.replace(EXAMPLE_FILE_SYSTEM, "?")))
    delivered = [key_of(one) for stack in STACKS for one in option(deployment).objects(stack)]
    assert sorted(keys) == sorted(delivered)
    assert len(keys) > 200


@every_option
def test_files_of_a_second_run_are_equal_byte_by_byte(option: Option, deployment: str, tmp_path: Path) -> None:
    first = {file.name: file.read_bytes() for file in write_manifests(option(deployment).synthesis, tmp_path / "one")}
    again = Platform(tmp_path, deployment)
    second = {file.name: file.read_bytes() for file in write_manifests(again.synthesis, tmp_path / "two")}
    assert first == second


def test_files_of_components_that_are_gone_are_deleted(option: Option, tmp_path: Path) -> None:
    old = tmp_path / "some" / "training" / "99-kubeflow-gone.yaml"
    old.parent.mkdir(parents=True)
    old.touch()
    assert write_manifests(option("cognito").synthesis, tmp_path)
    assert not old.exists()
