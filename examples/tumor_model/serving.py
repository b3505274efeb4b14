"""The servers of the model in a cluster: online behind Ambassador, and a nightly batch."""

from mlplatform_constructs.serving import (
    BatchPredictions,
    GraphStep,
    Metric,
    ModelContainer,
    Resources,
    Scaling,
    SeldonDeployment,
)

TEAM, MODEL = "churn", "tumor"


def online(image: str, *, region: str) -> SeldonDeployment:
    """The container that ``context.py`` makes, with a replica for each two requests that are worked on at a time."""
    container = ModelContainer(image=image, resources=Resources(cpu="500m", memory="1Gi"), port=8080, user=1000)
    step = GraphStep(name=MODEL, runs=container)
    scaling = Scaling(most=6, metrics=(Metric.cpu(70), Metric.in_flight(2)))
    return SeldonDeployment.single(MODEL, TEAM, step, region=region, replicas=scaling)


def nightly(image: str, *, models: str, data: str, predictions: str) -> BatchPredictions:
    """Predictions of all records of a data set, each night."""
    return BatchPredictions(
        name=f"{MODEL}-nightly",
        namespace=TEAM,
        image=image,
        resources=Resources(cpu="1", memory="2Gi"),
        models=models,
        model=MODEL,
        data=data,
        predictions=predictions,
        schedule="0 3 * * *",
    )
