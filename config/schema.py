"""An account: the root of the settings, and the rules that span sections."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from config.alarms import Alarms
from config.audit import Audit
from config.clusters import (
    Cluster,
    InstanceType,
    Zone,
    named_for_their_purpose,
    problems_of_accounts,
    problems_of_zones,
    shipped_clusters,
)
from config.database import Database
from config.identity import Identity, problems_of_identity
from config.network import Bastion, Network
from config.people import Name, Person, Profile, Team, problems_of_people, problems_of_teams, profiles
from config.section import AccountId, Region, Section, key
from config.storage import Storage


class Logs(Section):
    """How long the platform remembers."""

    retention_days: Literal[30, 60, 90, 180, 365, 731, 1827, 3653] = key(
        "Days that logs are kept: network flows, clusters, pods, access to buckets.", default=365
    )


class Account(Section):
    """One AWS account and region with one platform in it."""

    account: AccountId = key("AWS account id: twelve digits in quotes.")
    region: Region = key("AWS region of the platform.")
    production: bool = key("A production account keeps its data whatever happens.", default=True)
    removal_policy: Literal["retain", "destroy"] = key(
        "What becomes of data when a stack goes. 'destroy' deletes buckets with their content "
        "and needs production = false.",
        default="retain",
    )
    network: Network = key("Network of the platform.")
    image_registry: Annotated[str, Field(pattern=r"^[a-z0-9-]+(\.[a-z0-9-]+)+(:\d+)?(/[a-z0-9._-]+)*$")] | None = key(
        "Registry that mirrors every image of charts/images.toml under its upstream name, and every chart of "
        "charts/helm_charts.toml below 'charts/', such as '012345678901.dkr.ecr.eu-west-1.amazonaws.com/mirror'. "
        "Required when network.nat is 'none'. Default: images and charts come from their projects.",
        default=None,
    )
    bastion: Bastion = key("Administration hosts.", default=Bastion())
    storage: Storage = key("Storage of the platform.", default=Storage())
    database: Database = key("Database of Kubeflow's services.", default=Database())
    logs: Logs = key("Logs of the platform.", default=Logs())
    alarms: Alarms = key("Who is told when something goes wrong.", default=Alarms())
    audit: Audit = key("Audit trail of the account.", default=Audit())
    offerings: dict[Zone, tuple[InstanceType, ...]] = key(
        "Instance types that each zone offers, of those in use, as AWS answers in this account: "
        "`aws ec2 describe-instance-type-offerings --location-type availability-zone`. Zones that are not listed are "
        "not checked.",
        default_factory=dict,
    )
    clusters: Annotated[
        dict[Annotated[str, Field(pattern=r"^[a-z]([-a-z0-9]{0,18}[a-z0-9])?$")], Cluster],
        BeforeValidator(named_for_their_purpose),
    ] = key("Kubernetes clusters by name. Default: 'training' and 'inference'.", default_factory=shipped_clusters)
    identity: Identity = key("How people and machines come in.", default=Identity())
    people: dict[Name, Person] = key(
        "Who works with the platform, by a short name. Each is the same person everywhere.", default_factory=dict
    )
    teams: dict[Name, Team] = key(
        "Workspaces by the name of their namespace, the same in every account file that has them.", default_factory=dict
    )

    @property
    def has_identity(self) -> bool:
        """Whether anything is to be made for people and machines to come in."""
        return self.identity != Identity() or any(person.principal_arn for person in self.people.values())

    @property
    def profiles(self) -> tuple[Profile, ...]:
        """What Kubeflow is told of the teams."""
        return profiles(self.people, self.teams)

    @field_validator("removal_policy")
    @classmethod
    def _production_keeps_its_data(cls, policy: str, info: ValidationInfo) -> str:
        if policy == "destroy" and info.data.get("production", False):
            raise ValueError("'destroy' needs production = false; production keeps its data")
        return policy

    @field_validator("network")
    @classmethod
    def _zones_are_in_the_region(cls, network: Network, info: ValidationInfo) -> Network:
        region = info.data.get("region")
        strangers = [zone for zone in network.availability_zones if region and zone[:-1] != region]
        if strangers:
            raise ValueError(f"availability_zones: {', '.join(strangers)} not in region {region}; name its own zones")
        return network

    @field_validator("image_registry")
    @classmethod
    def _closed_networks_have_a_registry(cls, registry: str | None, info: ValidationInfo) -> str | None:
        network = info.data.get("network")
        if network and network.nat == "none" and registry is None:
            raise ValueError("required when network.nat is 'none'; no other registry can be reached from there")
        return registry

    @field_validator("storage")
    @classmethod
    def _replica_is_elsewhere(cls, storage: Storage, info: ValidationInfo) -> Storage:
        if storage.replica_region and storage.replica_region == info.data.get("region"):
            raise ValueError(f"replica_region: {storage.replica_region} is the platform's own region; name another")
        return storage

    @field_validator("storage")
    @classmethod
    def _lustre_is_in_the_network(cls, storage: Storage, info: ValidationInfo) -> Storage:
        network, zone = info.data.get("network"), storage.lustre and storage.lustre.availability_zone
        if network and zone and zone not in network.availability_zones:
            zones = ", ".join(network.availability_zones)
            raise ValueError(f"lustre.availability_zone: {zone} is not in the network; name one of {zones}")
        return storage

    @field_validator("clusters")
    @classmethod
    def _clusters_fit_the_account(cls, clusters: dict[str, Cluster], info: ValidationInfo) -> dict[str, Cluster]:
        problems: list[str] = []
        if account := info.data.get("account"):
            problems += problems_of_accounts(clusters, account)
        if network := info.data.get("network"):
            problems += problems_of_zones(clusters, network.availability_zones, info.data.get("offerings", {}))
        if problems:
            raise ValueError("; ".join(problems))
        return clusters

    @field_validator("identity")
    @classmethod
    def _identity_fits_the_network(cls, identity: Identity, info: ValidationInfo) -> Identity:
        network = info.data.get("network")
        if network:
            way_out = network.nat != "none"
            if problems := list(problems_of_identity(identity, domain=network.domain, way_out=way_out)):
                raise ValueError("; ".join(problems))
        return identity

    @field_validator("people")
    @classmethod
    def _people_are_told_apart(cls, people: dict[str, Person], info: ValidationInfo) -> dict[str, Person]:
        identity = info.data.get("identity")
        if identity and (problems := list(problems_of_people(people, center=identity.center is not None))):
            raise ValueError("; ".join(problems))
        return people

    @field_validator("teams")
    @classmethod
    def _teams_have_people(cls, teams: dict[str, Team], info: ValidationInfo) -> dict[str, Team]:
        if "people" in info.data and (problems := list(problems_of_teams(teams, info.data["people"]))):
            raise ValueError("; ".join(problems))
        return teams
