from typing import Any

import pytest

from mlplatform_components import ComponentError, JobFailed, TimedOut
from mlplatform_components.sagemaker import (
    LOCAL_DISKS,
    ProcessingJob,
    TrainingJob,
    process,
    processing_job,
    train,
    training_job,
)
from mlplatform_constructs import SageMakerJobs
from tests.pipeline_components.conftest import no_time

PLACEMENT = {
    "role_arn": "arn:aws:iam::111111111111:role/sagemaker-jobs",
    "subnet_ids": ["subnet-1"],
    "security_group_ids": ["sg-1"],
    "key_arn": "arn:aws:kms:eu-west-1:111111111111:key/0b6f7c3e-8a53-4b66-9b50-4a1c3f4f3f11",
}
IMAGE = "111111111111.dkr.ecr.eu-west-1.amazonaws.com/training:1.0"
TRAINING: dict[str, Any] = {
    "name": "trees-run-1",
    "image": IMAGE,
    "instance_type": "ml.g5.xlarge",
    "inputs": {"train": "s3://data/prepared/"},
    "output": "s3://artifacts/models/",
    "checkpoints": "s3://artifacts/checkpoints/trees/",
    "hyperparameters": {"max_depth": 6, "objective": "binary:logistic"},
    "max_seconds": 3600,
    "placement": PLACEMENT,
}
PROCESSING: dict[str, Any] = {
    "name": "prepare-run-1",
    "image": IMAGE,
    "instance_type": "ml.m5.xlarge",
    "command": ["python", "prepare.py"],
    "inputs": {"raw": "s3://data/raw/"},
    "outputs": {"prepared": "s3://data/prepared/"},
    "placement": PLACEMENT,
}
ARN = "arn:aws:sagemaker:eu-west-1:111111111111:{}/{}"


def trained(status: str, **more: Any) -> tuple[str, Any, Any]:
    answer = {
        "TrainingJobName": "trees-run-1",
        "TrainingJobArn": ARN.format("training-job", "trees-run-1"),
        "ModelArtifacts": {"S3ModelArtifacts": "s3://artifacts/models/trees-run-1/output/model.tar.gz"},
        "TrainingJobStatus": status,
        "SecondaryStatus": status,
        "AlgorithmSpecification": {"TrainingInputMode": "FastFile"},
        "ResourceConfig": {"VolumeSizeInGB": 50},
        "StoppingCondition": {},
        "CreationTime": 1793000000,
        **more,
    }
    return "describe_training_job", {"TrainingJobName": "trees-run-1"}, answer


def processed(status: str, **more: Any) -> tuple[str, Any, Any]:
    answer = {
        "ProcessingJobName": "prepare-run-1",
        "ProcessingJobArn": ARN.format("processing-job", "prepare-run-1"),
        "ProcessingResources": processing_job(PROCESSING).to_request()["ProcessingResources"],
        "AppSpecification": {"ImageUri": IMAGE},
        "ProcessingJobStatus": status,
        "CreationTime": 1793000000,
        **more,
    }
    return "describe_processing_job", {"ProcessingJobName": "prepare-run-1"}, answer


def created_training(job: TrainingJob) -> tuple[str, Any, Any]:
    return "create_training_job", job.to_request(), {"TrainingJobArn": ARN.format("training-job", job.name)}


def created_processing(job: ProcessingJob) -> tuple[str, Any, Any]:
    return "create_processing_job", job.to_request(), {"ProcessingJobArn": ARN.format("processing-job", job.name)}


@pytest.mark.promise("sagemaker-steps")
def test_training_on_spot_capacity_reports_its_model_and_what_it_saved(recorded: Any) -> None:
    job = training_job(TRAINING)
    done = trained("Completed", TrainingTimeInSeconds=1000, BillableTimeInSeconds=300)
    found = train(recorded("sagemaker", created_training(job), trained("InProgress"), done), job, no_time())
    assert found.model == "s3://artifacts/models/trees-run-1/output/model.tar.gz"
    assert found.savings == pytest.approx(0.7)


@pytest.mark.promise("sagemaker-steps")
def test_spot_is_the_default_with_checkpoints_and_a_bound_on_waiting() -> None:
    request = training_job(TRAINING).to_request()
    assert request["EnableManagedSpotTraining"] is True
    assert request["CheckpointConfig"] == {"S3Uri": "s3://artifacts/checkpoints/trees/"}
    assert request["StoppingCondition"] == {"MaxRuntimeInSeconds": 3600, "MaxWaitTimeInSeconds": 7200}
    assert request["HyperParameters"] == {"max_depth": "6", "objective": "binary:logistic"}
    on_demand = training_job({**TRAINING, "spot": False}).to_request()
    assert on_demand["StoppingCondition"] == {"MaxRuntimeInSeconds": 3600}


def test_volumes_and_models_are_encrypted_and_several_instances_talk_encrypted() -> None:
    request = training_job({**TRAINING, "instance_type": "ml.m5.xlarge", "instances": 2}).to_request()
    assert (
        request["OutputDataConfig"]["KmsKeyId"] == request["ResourceConfig"]["VolumeKmsKeyId"] == PLACEMENT["key_arn"]
    )
    assert request["EnableInterContainerTrafficEncryption"] is True
    assert request["VpcConfig"] == {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}


@pytest.mark.parametrize(
    "instance_type", ["ml.g5.xlarge", "ml.g4dn.xlarge", "ml.p4d.24xlarge", "ml.p4de.24xlarge", "ml.m5d.large"]
)
def test_no_key_is_named_for_disks_that_the_instance_encrypts_itself(instance_type: str) -> None:
    training = training_job({**TRAINING, "instance_type": instance_type}).to_request()["ResourceConfig"]
    processing = processing_job({**PROCESSING, "instance_type": instance_type}).to_request()["ProcessingResources"]
    assert "VolumeKmsKeyId" not in training
    assert "VolumeKmsKeyId" not in processing["ClusterConfig"]


@pytest.mark.parametrize("instance_type", ["ml.m5.xlarge", "ml.t3.medium", "ml.p3.2xlarge", "ml.m5n.large"])
def test_a_key_is_named_for_all_other_disks(instance_type: str) -> None:
    training = training_job({**TRAINING, "instance_type": instance_type}).to_request()["ResourceConfig"]
    processing = processing_job({**PROCESSING, "instance_type": instance_type}).to_request()["ProcessingResources"]
    assert training["VolumeKmsKeyId"] == processing["ClusterConfig"]["VolumeKmsKeyId"] == PLACEMENT["key_arn"]


def test_the_policy_of_pipelines_admits_the_same_instance_types_without_a_key() -> None:
    assert tuple(SageMakerJobs.LOCAL_DISKS) == LOCAL_DISKS


def test_a_repeated_step_follows_the_job_of_the_first(recorded: Any) -> None:
    job = training_job(TRAINING)
    again = ("create_training_job", job.to_request(), "ResourceInUse")
    assert train(recorded("sagemaker", again, trained("Completed")), job, no_time()).billed_seconds == 0


def test_a_training_job_that_takes_too_long_is_stopped(recorded: Any) -> None:
    job = training_job(TRAINING)
    stop = ("stop_training_job", {"TrainingJobName": "trees-run-1"}, {})
    client = recorded("sagemaker", created_training(job), *[trained("InProgress")] * 2, stop)
    with pytest.raises(TimedOut, match="waited 10 s for training job 'trees-run-1' to end"):
        train(client, job, no_time(10))


def test_a_failed_training_job_is_reported_with_its_reason(recorded: Any) -> None:
    job = training_job(TRAINING)
    failed = trained("Failed", FailureReason="AlgorithmError: out of memory")
    with pytest.raises(JobFailed, match="'trees-run-1': Failed: AlgorithmError: out of memory"):
        train(recorded("sagemaker", created_training(job), failed), job, no_time())


@pytest.mark.promise("sagemaker-steps")
def test_processing_runs_a_container_until_it_is_completed(recorded: Any) -> None:
    job = processing_job(PROCESSING)
    client = recorded("sagemaker", created_processing(job), processed("InProgress"), processed("Completed"))
    assert process(client, job, no_time()).endswith("processing-job/prepare-run-1")


def test_a_failed_processing_job_is_reported_with_the_message_of_its_container(recorded: Any) -> None:
    job = processing_job(PROCESSING)
    client = recorded("sagemaker", created_processing(job), processed("Failed", ExitMessage="no such column"))
    with pytest.raises(JobFailed, match="'prepare-run-1': Failed: no such column"):
        process(client, job, no_time())


def test_a_processing_job_that_takes_too_long_is_stopped(recorded: Any) -> None:
    job = processing_job(PROCESSING)
    stop = ("stop_processing_job", {"ProcessingJobName": "prepare-run-1"}, {})
    client = recorded("sagemaker", created_processing(job), *[processed("InProgress")] * 2, stop)
    with pytest.raises(TimedOut):
        process(client, job, no_time(10))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"checkpoints": None}, "checkpoints is required with spot"),
        ({"name": "a_b"}, "name must be 1 to 63 letters, digits and hyphens, got 'a_b'"),
        ({"output": "artifacts"}, "output must be a prefix in S3 such as"),
        ({"inputs": {"train": "s3://data"}}, r"inputs\['train'\] must be a prefix in S3"),
        ({"max_wait_seconds": 60}, "max_wait_seconds must be 3600 or more"),
        ({"instances": 0}, "must be 1 or more"),
        ({"colour": "red"}, "see TrainingJob for its keys"),
        ({"placement": {**PLACEMENT, "subnet_ids": []}}, "placement: subnet_ids is empty"),
    ],
)
def test_refuses_a_training_job_that_sagemaker_would_refuse(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(ComponentError, match=problem):
        training_job({**TRAINING, **changes})


def test_refuses_a_processing_job_whose_input_is_its_output() -> None:
    with pytest.raises(ComponentError, match="'raw' is an input and an output"):
        processing_job({**PROCESSING, "outputs": {"raw": "s3://data/raw/"}})
