"""An account: the root of the settings, and the rules that span sections."""

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from config.adviser import Adviser, problems_of_adviser
from config.alarms import Alarms
from config.audit import Audit
from config.clusters import (
    Cluster,
    Zone,
    named_for_their_purpose,
    problems_of_accounts,
    problems_of_addresses,
    problems_of_zones,
    shipped_clusters,
)
from config.database import Database
from config.identity import Identity, problems_of_identity, problems_of_secrets
from config.kubeflow import problems_of_kubeflow
from config.monitoring import problems_of_monitoring
from config.network import Bastion, Network
from config.people import Name, Person, Profile, Team, problems_of_people, problems_of_size, problems_of_teams, profiles
from config.section import AccountId, InstanceType, Mistake, Region, Section, key, problems_of_alike
from config.serving import problems_of_serving
from config.storage import Storage
from config.workloads import Workloads, problems_of_airflow, problems_of_jobs


class Logs(Section):
    """Logs of the platform."""

    retention_days: Literal[30, 60, 90, 180, 365, 731, 1827, 3653] = key(
        "Days that logs are kept: network flows, clusters, pods, access to buckets.", default=365
    )
    mesh_requests: Literal["errors", "all"] = key(
        "Requests between pods that the proxies of the mesh log: those that failed, or all. A request is logged twice, "
        "about 1 kB each time, and CloudWatch bills each GB that it takes in.",
        default="errors",
    )


class Account(Section):
    """One AWS account and region with one platform in it."""

    account: AccountId = key("AWS account id: twelve digits in quotes.")
    region: Region = key("AWS region of the platform.")
    production: bool = key("Whether this is a production account, which always retains its data.", default=True)
    removal_policy: Literal["retain", "destroy"] = key(
        "Removal policy of data when its stack is deleted. 'destroy' deletes buckets with their content "
        "and needs production = false.",
        default="retain",
    )
    network: Network = key("Network of the platform.")
    image_registry: Annotated[str, Field(pattern=r"^[a-z0-9-]+(\.[a-z0-9-]+)+(:\d+)?(/[a-z0-9._-]+)*$")] | None = key(
        "Registry that mirrors every image of charts/*/*/release.toml under its upstream name, and every chart "
        "below 'charts/', such as '012345678901.dkr.ecr.eu-west-1.amazonaws.com/mirror'. "
        "Required if network.nat is 'none'. Default: images and charts are pulled from their projects' registries.",
        default=None,
    )
    bastion: Bastion = key("Administration hosts.", default=Bastion())
    storage: Storage = key("Storage of the platform.", default=Storage())
    database: Database = key("Database of Kubeflow's services.", default=Database())
    logs: Logs = key("Logs of the platform.", default=Logs())
    alarms: Alarms = key("Recipient of alarms.", default=Alarms())
    audit: Audit = key("Audit trail of the account.", default=Audit())
    offerings: dict[Zone, tuple[InstanceType, ...]] = key(
        "Instance types in use that each zone offers, from this account's "
        "`aws ec2 describe-instance-type-offerings --location-type availability-zone`. Zones that are not listed are "
        "not checked.",
        default_factory=dict,
    )
    identity: Identity = key("Sign-in of people and machines.", default=Identity())
    people: dict[Name, Person] = key(
        "Users of the platform, by a short name that identifies a person everywhere.", default_factory=dict
    )
    teams: dict[Name, Team] = key(
        "Workspaces by the name of their namespace, the same in every account file that has them.", default_factory=dict
    )
    workloads: Workloads = key("Jobs that pipelines start in other AWS services.", default=Workloads())
    clusters: Annotated[
        dict[Annotated[str, Field(pattern=r"^[a-z]([-a-z0-9]{0,18}[a-z0-9])?$")], Cluster],
        BeforeValidator(named_for_their_purpose),
    ] = key("Kubernetes clusters by name. Default: 'training' and 'inference'.", default_factory=shipped_clusters)

    adviser: Adviser | None = key(
        "Advice on jobs. Default: none; needs identity.cognito with a machine that has the scope 'adviser'.",
        default=None,
    )

    @property
    def has_identity(self) -> bool:
        """Whether the account needs resources for the sign-in of people and machines."""
        return self.identity != Identity() or any(person.principal_arn for person in self.people.values())

    @property
    def own_names(self) -> tuple[str, ...]:
        """DNS names that the platform's own stacks create, and that no controller may change."""
        return _own_names(self.identity, self.network.domain)

    @property
    def profiles(self) -> tuple[Profile, ...]:
        """The Kubeflow profiles of the teams."""
        return profiles(self.people, self.teams)

    @field_validator("removal_policy")
    @classmethod
    def _production_keeps_its_data(cls, policy: str, info: ValidationInfo) -> str:
        if policy == "destroy" and info.data.get("production", False):
            raise Mistake("'destroy' needs production = false; production keeps its data")
        return policy

    @field_validator("network")
    @classmethod
    def _zones_are_in_the_region(cls, network: Network, info: ValidationInfo) -> Network:
        region = info.data.get("region")
        foreign = [zone for zone in network.availability_zones if region and zone[:-1] != region]
        if foreign:
            raise Mistake(f"availability_zones: {', '.join(foreign)} not in region {region}; name its own zones")
        return network

    @field_validator("image_registry")
    @classmethod
    def _closed_networks_have_a_registry(cls, registry: str | None, info: ValidationInfo) -> str | None:
        network = info.data.get("network")
        if network and network.nat == "none" and registry is None:
            raise Mistake("required if network.nat is 'none', because the network reaches no other registry")
        region = info.data.get("region")
        elsewhere = re.search(r"\.dkr\.ecr(?:-fips)?\.([a-z0-9-]+)\.", registry or "")
        if network and network.nat == "none" and elsewhere and region and elsewhere[1] != region:
            raise Mistake(
                f"must be in {region} if network.nat is 'none', got {elsewhere[1]}; endpoints reach only their own "
                "Region, so replicate the images with ECR"
            )
        return registry

    @field_validator("storage")
    @classmethod
    def _replica_is_elsewhere(cls, storage: Storage, info: ValidationInfo) -> Storage:
        if storage.replica_region and storage.replica_region == info.data.get("region"):
            raise Mistake(f"replica_region: {storage.replica_region} is the platform's own region; name another")
        return storage

    @field_validator("storage")
    @classmethod
    def _lustre_is_in_the_network(cls, storage: Storage, info: ValidationInfo) -> Storage:
        network, zone = info.data.get("network"), storage.lustre and storage.lustre.availability_zone
        if network and zone and zone not in network.availability_zones:
            zones = ", ".join(network.availability_zones)
            raise Mistake(f"lustre.availability_zone: {zone} is not in the network; name one of {zones}")
        return storage

    @field_validator("identity")
    @classmethod
    def _identity_fits_the_network(cls, identity: Identity, info: ValidationInfo) -> Identity:
        network = info.data.get("network")
        if network:
            internet_access = network.nat != "none"
            problems = list(problems_of_identity(identity, domain=network.domain, internet_access=internet_access))
            if region := info.data.get("region"):
                problems += problems_of_secrets(identity, region)
            if problems:
                raise Mistake(*problems)
        return identity

    @field_validator("workloads")
    @classmethod
    def _jobs_pull_from_repositories_that_exist(cls, workloads: Workloads, info: ValidationInfo) -> Workloads:
        storage = info.data.get("storage")
        if storage and workloads.sagemaker:
            absent = sorted(set(workloads.sagemaker.repositories) - set(storage.repositories))
            if absent:
                raise Mistake(
                    f"sagemaker.repositories: {absent[0]!r} is not in storage.repositories; name one of "
                    f"{', '.join(storage.repositories)}"
                )
        return workloads

    @field_validator("workloads")
    @classmethod
    def _jobs_belong_to_teams(cls, workloads: Workloads, info: ValidationInfo) -> Workloads:
        teams = info.data.get("teams")
        if teams is not None and (problems := list(problems_of_jobs(workloads, teams))):
            raise Mistake(*problems)
        return workloads

    @field_validator("workloads")
    @classmethod
    def _airflow_reaches_kubeflow(cls, workloads: Workloads, info: ValidationInfo) -> Workloads:
        identity, network = info.data.get("identity"), info.data.get("network")
        if identity and network and (problems := list(problems_of_airflow(workloads, identity, network))):
            raise Mistake(*problems)
        return workloads

    @field_validator("people")
    @classmethod
    def _people_are_distinct(cls, people: dict[str, Person], info: ValidationInfo) -> dict[str, Person]:
        problems = list(problems_of_alike(people))
        if identity := info.data.get("identity"):
            problems += problems_of_people(people, center=identity.center is not None)
        if problems:
            raise Mistake(*problems)
        return people

    @field_validator("teams")
    @classmethod
    def _teams_have_people(cls, teams: dict[str, Team], info: ValidationInfo) -> dict[str, Team]:
        people, identity = info.data.get("people"), info.data.get("identity")
        problems = list(problems_of_alike(teams))
        problems += problems_of_teams(teams, people) if people is not None else []
        if people and identity:
            invited = identity.cognito is not None and identity.cognito.invites
            problems += problems_of_size(people, teams, center=identity.center is not None, invited=invited)
        if problems:
            raise Mistake(*problems)
        return teams

    @field_validator("clusters")
    @classmethod
    def _clusters_fit_the_account(cls, clusters: dict[str, Cluster], info: ValidationInfo) -> dict[str, Cluster]:
        problems = list(problems_of_alike(clusters))
        if account := info.data.get("account"):
            problems += problems_of_accounts(clusters, account)
        network = info.data.get("network")
        if network:
            problems += problems_of_addresses(clusters, network.cidr)
            problems += problems_of_zones(clusters, network.availability_zones, info.data.get("offerings", {}))
        identity, people = info.data.get("identity"), info.data.get("people")
        has_teams = bool(teams) if (teams := info.data.get("teams")) is not None else None
        problems += problems_of_kubeflow(
            clusters,
            has_cognito=identity.cognito is not None if identity else None,
            has_people=bool(people) if people is not None else None,
            has_teams=has_teams,
            isolated=network is not None and network.nat == "none",
        )
        if network and identity:
            names = _own_names(identity, network.domain)
            problems += problems_of_serving(clusters, domain=network.domain, own_names=names, has_teams=has_teams)
        problems += problems_of_monitoring(
            clusters,
            account=info.data.get("account"),
            region=info.data.get("region"),
            isolated=network is not None and network.nat == "none",
        )
        if problems:
            raise Mistake(*problems)
        return clusters

    @field_validator("adviser")
    @classmethod
    def _the_adviser_has_clients(cls, adviser: Adviser | None, info: ValidationInfo) -> Adviser | None:
        identity = info.data.get("identity")
        if identity:
            account, region = info.data.get("account"), info.data.get("region")
            problems = list(problems_of_adviser(adviser, identity.cognito, account, region))
            if problems:
                raise Mistake(*problems)
        return adviser


def _own_names(identity: Identity, domain: str | None) -> tuple[str, ...]:
    return tuple(f"{part.host}.{domain}" for part in (identity.load_balancer, identity.cognito) if part)
