import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Match, Template

from mlplatform_constructs import DataBucket, JarPipeline, PipelineSource
from tests.compliance import assert_complies
from tests.policies import allows, identity_statements

CONNECTION = "arn:aws:codeconnections:eu-west-1:111111111111:connection/0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f"


def template_of(stack: cdk.Stack, source: PipelineSource) -> Template:
    JarPipeline(stack, "Features", name="features", source=source, releases=DataBucket(stack, "Releases"))
    return Template.from_stack(stack)


def archive(stack: cdk.Stack) -> PipelineSource:
    return PipelineSource.bucket(DataBucket(stack, "Sources", events=True).bucket, object_key="features.zip")


def test_commits_of_a_branch_start_a_pipeline_and_are_cloned_with_their_tags(stack: cdk.Stack) -> None:
    source = PipelineSource.connection(CONNECTION, repository="example/features", branch="release")
    (found,) = template_of(stack, source).find_resources("AWS::CodePipeline::Pipeline").values()
    assert "Triggers" not in found["Properties"]
    assert found["Properties"]["Stages"][0]["Actions"][0]["Configuration"] == {
        "ConnectionArn": CONNECTION,
        "FullRepositoryId": "example/features",
        "BranchName": "release",
        "DetectChanges": "true",
        "OutputArtifactFormat": "CODEBUILD_CLONE_REF",
    }


@pytest.mark.parametrize("service", ["codeconnections", "codestar-connections"])
@pytest.mark.parametrize("role", ["Role", "TestRole", "BuildRole"])
def test_a_role_reads_one_repository_and_pushes_to_none(stack: cdk.Stack, role: str, service: str) -> None:
    source = PipelineSource.connection(CONNECTION, repository="example/features", branch="release")
    template = template_of(stack, source)
    (name,) = [each for each in template.find_resources("AWS::IAM::Role") if each.startswith(f"FeaturesStages{role}")]
    statements = identity_statements(template, name)

    def may(repository: str, permissions: str, **more: str) -> bool:
        keys = {
            f"{service}__FullRepositoryId".replace("-", "_"): repository,
            f"{service}__ProviderPermissionsRequired".replace("-", "_"): permissions,
            **more,
        }
        return allows(statements, f"{service}:UseConnection", CONNECTION, **keys)

    assert may("example/features", "read_only")
    assert not may("example/features", "read_write")
    assert not may("example/payroll", "read_only")
    branch = f"{service}__BranchName".replace("-", "_")
    assert may("example/features", "read_only", **{branch: "release"})
    assert not may("example/features", "read_only", **{branch: "other"})


def test_a_pipeline_that_tags_start_reads_commits_of_any_branch(stack: cdk.Stack) -> None:
    source = PipelineSource.connection(CONNECTION, repository="example/features", tags=True)
    policies = template_of(stack, source).find_resources("AWS::IAM::Policy")
    assert "FullRepositoryId" in str(policies)
    assert "BranchName" not in str(policies)


def test_tags_start_a_pipeline_where_that_is_requested(stack: cdk.Stack) -> None:
    source = PipelineSource.connection(CONNECTION, repository="example/features", tags=True)
    (found,) = template_of(stack, source).find_resources("AWS::CodePipeline::Pipeline").values()
    (trigger,) = found["Properties"]["Triggers"]
    assert trigger["GitConfiguration"] == {"SourceActionName": "Source", "Push": [{"Tags": {"Includes": ["v*"]}}]}
    assert found["Properties"]["Stages"][0]["Actions"][0]["Configuration"]["DetectChanges"] == "false"


def test_a_new_archive_starts_a_pipeline(stack: cdk.Stack) -> None:
    template = template_of(stack, archive(stack))
    made = Match.object_like({"object": {"key": ["features.zip"]}})
    template.has_resource_properties("AWS::Events::Rule", {"EventPattern": Match.object_like({"detail": made})})


def test_only_the_archive_is_read(stack: cdk.Stack) -> None:
    template = template_of(stack, archive(stack))
    (bucket,) = [id for id in template.find_resources("AWS::S3::Bucket") if id.startswith("SourcesBucket")]
    (role,) = [id for id in template.find_resources("AWS::IAM::Role") if id.startswith("FeaturesStagesRole")]
    statements = identity_statements(template, role)
    assert allows(statements, "s3:GetObjectVersion", f"<{bucket}.Arn>/features.zip")
    assert not allows(statements, "s3:GetObject", f"<{bucket}.Arn>/other.zip")


def test_an_archive_passes_the_compliance_pack(app: cdk.App, stack: cdk.Stack) -> None:
    template_of(stack, archive(stack))
    assert_complies(app)


def test_refuses_what_is_no_source(stack: cdk.Stack) -> None:
    with pytest.raises(ValueError, match="source: connection_arn must be the ARN of a connection, got 'github'"):
        PipelineSource.connection("github", repository="example/features")
    with pytest.raises(ValueError, match="source: repository must be 'owner/name', got 'features'"):
        PipelineSource.connection(CONNECTION, repository="features")
    with pytest.raises(ValueError, match="source: object_key must name a zip archive, got ''"):
        PipelineSource.bucket(DataBucket(stack, "Sources").bucket, object_key="")
